package edgewise.android;

import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.net.ConnectivityManager;
import android.os.BatteryManager;
import android.os.PowerManager;
import edgewise.device.Host;
import edgewise.device.Policy;
import java.util.function.Supplier;

/**
 * Whether a phone may train now: charging, not in its owner's hands, on a network that costs nothing. The job scheduler
 * waits for the same before it starts a job; this is asked between any two batches, so that training stops at once.
 */
final class PhoneCondition implements Host.Condition {
    private static final int HOT_TENTHS = 420; // lithium cells age fast above; phones throttle there

    private final Context context;
    private final Supplier<Policy> policy;

    PhoneCondition(Context context, Supplier<Policy> policy) {
        this.context = context;
        this.policy = policy;
    }

    @Override
    public String obstacle() {
        Intent battery = context.registerReceiver(null, new IntentFilter(Intent.ACTION_BATTERY_CHANGED)); // sticky
        if (battery != null) {
            if (battery.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) == 0) return "not charging";
            int tenths = battery.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, 0);
            if (tenths > HOT_TENTHS) return "the battery is warm: " + tenths / 10 + " °C";
        }
        PowerManager power = (PowerManager) context.getSystemService(Context.POWER_SERVICE);
        if (power.isInteractive()) return "its owner uses the phone";
        if (policy.get().get("metered_megabytes") == 0 && metered(context)) return "the network is metered";
        return null;
    }

    static boolean metered(Context context) {
        return ((ConnectivityManager) context.getSystemService(Context.CONNECTIVITY_SERVICE)).isActiveNetworkMetered();
    }
}
