package edgewise.android;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import android.app.Application;
import android.content.Context;
import android.content.Intent;
import android.net.ConnectivityManager;
import android.net.NetworkInfo;
import android.os.BatteryManager;
import edgewise.device.Policy;
import org.junit.After;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.annotation.Config;
import org.robolectric.shadow.api.Shadow;
import org.robolectric.shadows.ShadowConnectivityManager;
import org.robolectric.shadows.ShadowNetworkInfo;
import org.robolectric.shadows.ShadowPowerManager;

/** Training stops at once when its owner takes up the phone, unplugs it, or leaves the unmetered network. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 35)
public class TrainingJobServiceTest {
    private final Application app = RuntimeEnvironment.getApplication();
    private Policy policy = new Policy();
    private final PhoneCondition condition = new PhoneCondition(app, () -> policy);

    @Before
    public void begin() {
        Edgewise.reset(new NoRuntime(), new SoftKeys(1));
        screen(false);
        network(ConnectivityManager.TYPE_WIFI);
        battery(BatteryManager.BATTERY_PLUGGED_AC, 250);
    }

    @After
    public void end() {
        Edgewise.reset(null, new Vault.KeystoreKeys());
    }

    @SuppressWarnings("deprecation") // what tells of the battery, to an API of 24, is a sticky broadcast
    private void battery(int plugged, int temperature) {
        app.sendStickyBroadcast(new Intent(Intent.ACTION_BATTERY_CHANGED)
                .putExtra(BatteryManager.EXTRA_PLUGGED, plugged)
                .putExtra(BatteryManager.EXTRA_TEMPERATURE, temperature));
    }

    private void network(int type) {
        NetworkInfo info = ShadowNetworkInfo.newInstance(NetworkInfo.DetailedState.CONNECTED, type, 0, true,
                NetworkInfo.State.CONNECTED);
        // Not `shadowOf`: its overloads name classes of newer frameworks than the one that this is compiled against.
        ShadowConnectivityManager networks = Shadow.extract(app.getSystemService(Context.CONNECTIVITY_SERVICE));
        networks.setActiveNetworkInfo(info);
    }

    private void screen(boolean on) {
        ShadowPowerManager power = Shadow.extract(app.getSystemService(Context.POWER_SERVICE));
        power.turnScreenOn(on);
    }

    @Test
    public void itTrainsOnlyWhileItChargesUnusedOnAFreeNetwork() {
        assertNull(condition.obstacle());
        battery(0, 250);
        assertEquals("not charging", condition.obstacle());
        battery(BatteryManager.BATTERY_PLUGGED_USB, 430);
        assertEquals("the battery is warm: 43 °C", condition.obstacle());
        battery(BatteryManager.BATTERY_PLUGGED_USB, 250);
        screen(true);
        assertEquals("its owner uses the phone", condition.obstacle());
        screen(false);
        network(ConnectivityManager.TYPE_MOBILE);
        assertEquals("the network is metered", condition.obstacle());
        policy = policy.with("metered_megabytes", 5);
        assertNull(condition.obstacle()); // its owner allows some
    }

    @Test
    public void aJobThatIsStoppedEndsSoonAndIsPlannedAnew() throws Exception {
        TrainingJobService service = Robolectric.setupService(TrainingJobService.class);
        assertTrue(service.onStartJob(null));
        long began = System.nanoTime();
        assertTrue(service.onStopJob(null)); // plan it anew
        assertTrue(System.nanoTime() - began < 1_000_000_000L);
        assertTrue(service.onStartJob(null)); // before the first has come to its end: it waits for it
        assertTrue(service.onStopJob(null));
        for (int i = 0; i < 400 && running(); i++) Thread.sleep(10);
        assertTrue("the thread has ended", !running());
    }

    private static boolean running() {
        return Thread.getAllStackTraces().keySet().stream().anyMatch(t -> t.getName().equals("edgewise-training"));
    }
}
