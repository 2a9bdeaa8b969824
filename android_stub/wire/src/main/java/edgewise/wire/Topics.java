package edgewise.wire;

import edgewise.wire.errors.ConfigError;
import java.util.regex.Pattern;

/** The MQTT topics of protocol 1; {@code wire/edgewise_wire/topics.py} is the same. */
public final class Topics {
    public static final int PROTOCOL = 1;
    public static final String ROOT = "ew/" + PROTOCOL;
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}");

    private Topics() {}

    /** Returns {@code name} if it may stand as one topic level, else throws {@link ConfigError}. */
    public static String checkName(String kind, String name) {
        if (!NAME.matcher(name).matches()) {
            String shown = name.length() > 80 ? name.substring(0, 80) : name;
            throw new ConfigError(kind + " name '" + shown + "': expected 1 to 64 letters, digits, '.', '-' or '_', "
                    + "beginning with a letter or digit");
        }
        return name;
    }

    /** Returns the retained presence topic of a device. */
    public static String deviceState(String fleet, String device) {
        return ROOT + "/" + fleet + "/device/" + device + "/state";
    }

    /** Returns the topic on which a device speaks. */
    public static String deviceUp(String fleet, String device) {
        return ROOT + "/" + fleet + "/device/" + device + "/up";
    }

    /** Returns the topic on which a device sends its update to an aggregator; it is under the device's own. */
    public static String deviceUpTo(String fleet, String device, String aggregator) {
        return deviceUp(fleet, device) + "/" + aggregator;
    }

    /** Returns the topic on which the coordinator speaks to a device. */
    public static String deviceDown(String fleet, String device) {
        return ROOT + "/" + fleet + "/device/" + device + "/down";
    }

    /** Returns the retained topic of one chunk of a blob; the hash stands in hexadecimal. */
    public static String blobChunk(String fleet, byte[] blobHash, long index) {
        return ROOT + "/" + fleet + "/blob/" + Bytes.hex(blobHash) + "/" + index;
    }
}
