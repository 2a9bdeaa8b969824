package edgewise.device;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import edgewise.device.transport.BrokerAddress;
import edgewise.device.transport.Papers;
import edgewise.wire.Json;
import edgewise.wire.Topics;
import edgewise.wire.VerifyKey;
import edgewise.wire.errors.ConfigError;
import javax.net.SocketFactory;

/**
 * A device's bundle: the one file that {@code edgewise fleet enroll} writes. It holds the device's private key.
 *
 * @param coordinatorKey base64; the rest of the papers are PEM
 * @param expires seconds since the epoch
 */
public record Bundle(String fleet, String device, String broker, String ca, String cert, String coordinatorKey,
        double expires, String key) {
    private static final int FORMAT = 1, BYTES_MAX = 1 << 20;

    /** Throws {@link ConfigError} if a name or the broker's address is not one. */
    public Bundle {
        Topics.checkName("fleet", fleet);
        Topics.checkName("device", device);
        if (!BrokerAddress.parse(broker).tls()) {
            throw new ConfigError("bundle: broker '" + broker + "': expected mqtts://, certificates are of no use without");
        }
    }

    /** Reads a bundle. Throws {@link ConfigError} if it is none. */
    public static Bundle parse(byte[] data) {
        JsonElement found = data.length > BYTES_MAX ? null : Json.parse(data);
        if (found == null || !found.isJsonObject()) {
            throw new ConfigError("not a bundle; `edgewise fleet enroll` makes one");
        }
        JsonObject object = found.getAsJsonObject();
        Long format = Json.whole(object.get("format"));
        if (format == null || format != FORMAT) throw new ConfigError("a bundle of another format; update this app");
        return new Bundle(text(object, "fleet"), text(object, "device"), text(object, "broker"), text(object, "ca"),
                text(object, "cert"), text(object, "coordinator_key"), Json.number(object.get("expires"), 0),
                text(object, "key"));
    }

    private static String text(JsonObject object, String name) {
        JsonElement value = object.get(name);
        if (value == null || !Json.isText(value)) throw new ConfigError("bundle: '" + name + "' is missing or no text");
        return value.getAsString();
    }

    public BrokerAddress address() {
        return BrokerAddress.parse(broker);
    }

    /** Returns the sockets of the link to the broker. */
    public SocketFactory sockets() {
        return Papers.sockets(ca, cert, key);
    }

    /** Returns what vouches for assignments and for other devices. Throws {@link ConfigError} if a paper is none. */
    public Trust trust() {
        return new Trust(VerifyKey.fromText(coordinatorKey), Papers.enrolled(cert, key), Papers.register(ca));
    }

    @Override
    public String toString() {
        return "bundle of " + device + " in fleet " + fleet; // never the key
    }
}
