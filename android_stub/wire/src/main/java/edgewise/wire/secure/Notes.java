package edgewise.wire.secure;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import edgewise.wire.Bytes;
import edgewise.wire.Json;
import edgewise.wire.errors.RefusedError;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a device has bound itself to in one attempt of one round; each field is set once. Law: whoever runs a
 * {@link Member} puts them on disk before what they gave rise to is sent.
 */
public final class Notes {
    static final String MASTER = "master", CERTIFICATE = "certificate", SIGNATURE = "signature", ROSTER = "roster",
            SHARERS = "sharers", INBOX = "inbox", SURVIVORS = "survivors";
    private static final List<String> NAMES =
            Arrays.asList(MASTER, CERTIFICATE, SIGNATURE, ROSTER, SHARERS, INBOX, SURVIVORS);

    private final Map<String, byte[]> values = new LinkedHashMap<>();

    public Notes(byte[] master) {
        for (String name : NAMES) values.put(name, Bytes.NONE);
        values.put(MASTER, master.clone());
    }

    /** Returns those of a new attempt, with new secrets. */
    public static Notes fresh() {
        byte[] master = new byte[32];
        new SecureRandom().nextBytes(master);
        return new Notes(master);
    }

    byte[] get(String name) {
        return values.get(name);
    }

    /** Returns the hash of the roster that the device takes part under, empty before. */
    public byte[] roster() {
        return get(ROSTER).clone();
    }

    /** Returns whether the device has been told who shared secrets. */
    public boolean shared() {
        return get(SHARERS).length > 0;
    }

    /** Sets a field. Throws {@link RefusedError} if it has another value already. */
    void bind(String name, byte[] value) {
        byte[] known = get(name);
        if (known.length > 0 && !Arrays.equals(known, value)) {
            throw new RefusedError("secure round: the coordinator told this device a second " + name);
        }
        values.put(name, value.clone());
    }

    /** Returns them for a file. */
    public byte[] toBytes() {
        JsonObject plain = new JsonObject();
        values.forEach((name, value) -> plain.addProperty(name, Bytes.hex(value)));
        return plain.toString().getBytes(StandardCharsets.UTF_8);
    }

    /** Reads them; {@code null} if they are torn. */
    public static Notes read(byte[] data) {
        JsonElement found = Json.parse(data);
        if (found == null || !found.isJsonObject() || !found.getAsJsonObject().keySet().containsAll(NAMES)) return null;
        Notes made = new Notes(Bytes.NONE);
        try {
            for (String name : NAMES) made.values.put(name, Bytes.unhex(found.getAsJsonObject().get(name).getAsString()));
        } catch (RuntimeException error) { // no hexadecimal, no text
            return null;
        }
        return made;
    }
}
