package edgewise.desktop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import edgewise.device.store.ExampleStore;
import edgewise.device.store.ExampleStore.Limits;
import edgewise.device.store.ParticipationLog;
import edgewise.wire.Files;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.PrivacyTerms;
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
    void itsTablesAreThoseOfAPythonDevice() {
        store(new Limits(0, 0, 0)).close();
        byte[] golden = Files.read(new File(System.getProperty("edgewise.golden"), "client.json"), 1 << 24);
        JsonObject expected = JsonParser.parseString(new String(golden, StandardCharsets.UTF_8)).getAsJsonObject()
                .getAsJsonObject("store");
        JsonObject found = new JsonObject(), schema = new JsonObject();
        try (JdbcDatabase db = new JdbcDatabase(new File(folder, "examples.sqlite"))) {
            for (String name : List.of("application_id", "user_version")) {
                found.addProperty(name, (Long) db.query("PRAGMA " + name).get(0)[0]);
            }
            for (Object[] row : db.query("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")) {
                schema.addProperty((String) row[0], ((String) row[1]).replaceAll("\\s+", " ").replaceAll(" ?([(),;]) ?", "$1"));
            }
        }
        found.add("schema", schema);
        assertEquals(expected, found);
    }

    @Test
    void aLogOfTheFirstVersionGetsTheColumnsOfThisOne() {
        File path = new File(folder, "participation.sqlite");
        new ParticipationLog(path, JdbcDatabase::new).close();
        try (JdbcDatabase db = new JdbcDatabase(path)) {
            for (String column : List.of("run", "number", "clip", "noise")) {
                db.execute("ALTER TABLE participation DROP COLUMN " + column);
            }
            db.execute("PRAGMA user_version = 1");
            db.execute("INSERT INTO participation (digest, round, attempt, kind, outcome, reason, asked_epochs, began)"
                    + " VALUES ('00', 3, 1, 'train', 'reported', '', 1, 5.0)");
        }
        try (ParticipationLog log = new ParticipationLog(path, JdbcDatabase::new)) {
            assertEquals(3, log.entries(1).get(0).round());
            assertEquals(0, log.lastNumber(7));
            log.begin(new byte[] {1}, 4, Assignment.ABSENT.withEncoding("clip-0.5")
                    .withPrivacy(new PrivacyTerms("gaussian", 1.5, -1, 0, false, 7, 0)), 6, ParticipationLog.Outcome.WORKING, "");
            assertEquals(0.5, log.entries(1).get(0).clip());
            assertEquals(1.5, log.entries(1).get(0).noise());
            assertEquals(Long.MAX_VALUE, log.lastNumber(7)); // an unsigned number that SQLite cannot hold
        }
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
