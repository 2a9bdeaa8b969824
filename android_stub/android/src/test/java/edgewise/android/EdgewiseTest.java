package edgewise.android;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import android.app.Application;
import android.app.job.JobInfo;
import android.app.job.JobScheduler;
import android.content.Context;
import edgewise.device.Agent;
import edgewise.device.DeviceState;
import edgewise.device.Host;
import edgewise.wire.Files;
import edgewise.wire.errors.ConfigError;
import edgewise.wire.errors.DataError;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import org.junit.After;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.annotation.Config;

/** The three calls and what an owner can do, on the framework of API 24 with its own SQLite. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 35)
public class EdgewiseTest {
    private final Application app = RuntimeEnvironment.getApplication();

    @Before
    public void begin() {
        Edgewise.reset(new NoRuntime(), new SoftKeys(1));
    }

    @After
    public void end() {
        Edgewise.reset(null, new Vault.KeystoreKeys());
    }

    private static byte[] bundle() throws IOException {
        try (InputStream in = EdgewiseTest.class.getResourceAsStream("phone-1.bundle")) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            for (int n; (n = in.read()) >= 0; ) out.write(n);
            return out.toByteArray();
        }
    }

    private JobInfo planned() {
        return ((JobScheduler) app.getSystemService(Context.JOB_SCHEDULER_SERVICE)).getPendingJob(TrainingJob.ID);
    }

    private static void until(int examples) throws InterruptedException {
        for (int i = 0; i < 200 && Edgewise.examples() != examples; i++) Thread.sleep(10);
        assertEquals(examples, Edgewise.examples());
    }

    @Test
    public void joiningSealsTheBundleAndPlansAJobThatWaitsForPowerIdlenessAndWifi() throws Exception {
        assertThrows(ConfigError.class, Edgewise::isJoined); // nothing was opened yet
        Edgewise.open(app);
        assertFalse(Edgewise.isJoined());
        assertNull(planned());
        Edgewise.join(app, bundle());
        assertTrue(Edgewise.isJoined());
        JobInfo job = planned();
        assertTrue(job.isRequireCharging() && job.isRequireDeviceIdle() && job.isPersisted() && job.isPeriodic());
        assertEquals(JobInfo.NETWORK_TYPE_UNMETERED, job.getNetworkType());
        assertEquals(TrainingJobService.class.getName(), job.getService().getClassName());
        for (File file : new File(app.getNoBackupFilesDir(), "edgewise").listFiles()) {
            if (!file.isFile()) continue;
            String bytes = new String(Files.read(file, 1 << 24), StandardCharsets.ISO_8859_1);
            assertFalse(file.getName(), bytes.contains("PRIVATE KEY"));
        }
        Edgewise.leave();
        assertFalse(Edgewise.isJoined());
        assertNull(planned());
    }

    @Test
    public void whatIsNoBundleIsRefused() throws Exception {
        assertThrows(ConfigError.class, () -> Edgewise.join(app, "{}".getBytes(StandardCharsets.UTF_8)));
        String broken = new String(bundle(), StandardCharsets.UTF_8).replace("BEGIN PRIVATE KEY", "BEGIN NO KEY");
        assertThrows(ConfigError.class, () -> Edgewise.join(app, broken.getBytes(StandardCharsets.UTF_8)));
    }

    @Test
    public void sentencesStayUntilTheyAreForgotten() throws Exception {
        Edgewise.open(app);
        for (int i = 0; i < 10; i++) Edgewise.addExample("zanzibarquux " + i);
        Edgewise.addExample("   ");
        until(10);
        assertEquals("zanzibarquux 9", Edgewise.kept(1).get(0).text());
        Edgewise.reset(new NoRuntime(), new SoftKeys(1)); // another process
        Edgewise.open(app);
        assertEquals(10, Edgewise.examples());
        Edgewise.forget();
        assertEquals(0, Edgewise.examples());
        for (File file : new File(app.getNoBackupFilesDir(), "edgewise").listFiles()) {
            if (!file.isFile()) continue;
            String bytes = new String(Files.read(file, 1 << 24), StandardCharsets.ISO_8859_1);
            assertFalse(file.getName(), bytes.contains("zanzibarquux"));
        }
    }

    @Test
    public void whatAnAgentReadBeforeItWasForgottenIsNotSent() {
        Edgewise.open(app);
        Host.Condition before = Edgewise.get(app).notForgotten();
        assertNull(before.obstacle());
        Edgewise.forget();
        assertEquals("its owner has forgotten everything", before.obstacle()); // asked between any two batches
        assertNull(Edgewise.get(app).notForgotten().obstacle()); // the next job begins with nothing
    }

    @Test
    public void pausedNothingIsKeptAndNothingIsSent() throws Exception {
        Edgewise.open(app);
        Edgewise.setPaused(true);
        Edgewise.addExample("not kept");
        Edgewise.setPaused(false);
        Edgewise.addExample("kept");
        until(1);
        assertEquals("kept", Edgewise.kept(5).get(0).text());
    }

    @Test
    public void withoutAModelThereAreNoSuggestionsAndNoRounds() {
        Edgewise.open(app);
        assertTrue(Edgewise.predict("see you").isEmpty());
        assertTrue(Edgewise.suggestions().words().isEmpty());
        assertTrue(Edgewise.history(10).isEmpty());
        assertEquals(20, Edgewise.policy().get("max_epochs"), 0);
        Edgewise.setPolicy(Edgewise.policy().with("max_epochs", 2));
        assertEquals(2, Edgewise.policy().get("max_epochs"), 0);
    }

    @Test
    public void theAgentRunsOnThePhonesOwnStores() throws Exception {
        Edgewise.join(app, bundle());
        try (Agent agent = Edgewise.get(app).agent()) {
            for (int i = 0; i < 3; i++) agent.step(0.01);
            assertEquals(DeviceState.IDLE, agent.state()); // no power, or too few examples: not eligible
            assertFalse(agent.working());
        }
        assertTrue(new File(app.getNoBackupFilesDir(), "edgewise/status.json").isFile());
    }

    @Test
    public void aVaultOfAnotherPhoneIsNotOpened() throws Exception {
        File path = new File(app.getNoBackupFilesDir(), "sealed");
        byte[] secret = {1, 2, 3};
        Vault vault = new Vault(path, new SoftKeys(1));
        vault.put(secret);
        byte[] first = Files.read(path, 100);
        assertArrayEquals(secret, vault.get());
        assertThrows(DataError.class, () -> new Vault(path, new SoftKeys(2)).get());
        vault.put(secret);
        byte[] copy = Files.read(path, 100);
        vault.delete();
        assertFalse(vault.exists());
        Files.writeDurably(path, copy); // whoever kept the file has nothing without the key
        assertThrows(DataError.class, vault::get);
        vault.put(secret);
        assertNotEquals(new String(first, StandardCharsets.ISO_8859_1),
                new String(Files.read(path, 100), StandardCharsets.ISO_8859_1)); // another nonce
        first[14] ^= 1;
        Files.writeDurably(path, first);
        assertThrows(DataError.class, vault::get);
    }
}
