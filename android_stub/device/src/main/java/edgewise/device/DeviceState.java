package edgewise.device;

import java.util.Locale;

/** Where a device stands in its session (Bonawitz et al. 2019, §3); the ordinals are the numbers on the wire. */
public enum DeviceState {
    IDLE, ELIGIBLE, CHECKED_IN, ASSIGNED, DOWNLOADING, TRAINING, UPLOADING, REPORTED;

    /** Returns how people read it: {@code checked-in}. */
    public String word() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
