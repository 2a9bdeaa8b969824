package edgewise.desktop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import edgewise.device.store.ExampleStore;
import edgewise.device.store.ExampleStore.Limits;
import edgewise.wire.Files;
import edgewise.wire.errors.DataError;
import edgewise.wire.errors.RefusedError;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Examples stay on the device, within limits, and are gone when forgotten. */
class StoresTest {
    @TempDir
    File folder;

    private double now = 1000;

    private ExampleStore store(Limits limits) {
        return new ExampleStore(new File(folder, "examples.sqlite"), JdbcDatabase::new, () -> limits, () -> now);
    }

    @Test
    void everyFifthIsHeldOutAndForgettingMovesNone() {
        try (ExampleStore store = store(new Limits(0, 0, 0))) {
            for (int i = 0; i < 12; i++) store.add(" text " + i + " ");
            assertEquals(10, store.count(false));
            assertEquals(List.of("text 4", "text 9"), store.texts(true));
            assertTrue(store.forget(1));
            assertFalse(store.forget(1));
            assertEquals(List.of("text 4", "text 9"), store.texts(true));
        }
    }

    @Test
    void forgottenTextIsNotInAnyFile() {
        try (ExampleStore store = store(new Limits(0, 0, 0))) {
            for (int i = 0; i < 50; i++) store.add("zanzibarquux " + i);
            assertEquals(50, store.forgetAll());
            for (File file : folder.listFiles()) {
                String bytes = new String(Files.read(file, 1 << 24), StandardCharsets.ISO_8859_1);
                assertFalse(bytes.contains("zanzibarquux"), file.getName());
            }
        }
    }

    @Test
    void theOldestGoFirst() {
        try (ExampleStore store = store(new Limits(100, 3, 20))) {
            for (String text : List.of("one", "two", "three", "four")) {
                store.add(text);
                now++;
            }
            assertEquals(List.of("two", "three", "four"), store.list(10).stream().map(ExampleStore.Example::text).toList());
            store.add("a long sentence of 28 bytes.");
            assertEquals(0, store.list(10).size());
            store.add("new");
            now += 101;
            store.enforce();
            assertEquals(0, store.count(false) + store.count(true));
        }
    }

    @Test
    void whatIsNoExampleOrNoStoreIsRefused() throws Exception {
        try (ExampleStore store = store(new Limits(0, 0, 0))) {
            assertThrows(DataError.class, () -> store.add("  \n"));
            assertThrows(DataError.class, () -> store.add("x".repeat(4097)));
            store.setPaused(true);
            assertThrows(RefusedError.class, () -> store.add("now"));
        }
        try (ExampleStore again = store(new Limits(0, 0, 0))) {
            assertTrue(again.paused());
        }
        File other = new File(folder, "other.sqlite");
        try (JdbcDatabase db = new JdbcDatabase(other)) {
            db.execute("CREATE TABLE somebody (else TEXT)".replace("else", "elses"));
        }
        assertThrows(DataError.class, () -> new ExampleStore(other, JdbcDatabase::new, () -> null, () -> 0));
    }
}
