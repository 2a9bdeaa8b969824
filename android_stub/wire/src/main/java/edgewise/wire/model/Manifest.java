package edgewise.wire.model;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import edgewise.wire.Bytes;
import edgewise.wire.Json;
import edgewise.wire.errors.ModelError;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * What a model file says about itself, as JSON in its TFLite metadata entry {@code edgewise.manifest}. Unknown keys are
 * skipped; a missing or wrong one is refused by its name. {@code wire/edgewise_wire/manifest.py} says what each means.
 */
public record Manifest(
        String task, String name, List<WeightSpec> weights, List<Long> buffers, int batch, int steps,
        List<TensorSpec> inputs, TensorSpec labels, TensorSpec weight, List<String> metrics, List<String> operators,
        String minRuntime, long flops, long peakMemory, boolean seed, String tokenizer, List<String> vocabulary,
        String vocabularyHash, List<Variant> variants, boolean packs, String checksum) {
    public static final String ENTRY = "edgewise.manifest";
    private static final int FORMAT = 1;
    private static final int BYTES_MAX = 32 << 20;
    private static final int ITEMS_MAX = 1_000_000;
    private static final List<String> ROLES = Arrays.asList("trainable", "state", "slot");

    /** Returns the weights that travel: all but the optimizer's slots. */
    public List<WeightSpec> averaged() {
        List<WeightSpec> found = new ArrayList<>();
        for (WeightSpec spec : weights) if (spec.averaged()) found.add(spec);
        return found;
    }

    /**
     * Reads a manifest.
     *
     * @throws ModelError naming the key that is missing or not what it must be, or the format that is too new
     */
    public static Manifest fromJson(byte[] data) {
        if (data.length > BYTES_MAX) {
            throw new ModelError("manifest: " + data.length + " bytes, expected at most " + BYTES_MAX);
        }
        JsonElement found = Json.parse(data);
        if (found == null) throw new ModelError("manifest: not JSON in UTF-8");
        return read(new Keys("manifest", found));
    }

    private static Manifest read(Keys keys) {
        long version = keys.count("format", 1, 1L << 62);
        if (version > FORMAT) {
            throw new ModelError("manifest: format " + version + " is newer than " + FORMAT
                    + ", which this edgewise reads: update edgewise");
        }
        List<Long> buffers = new ArrayList<>();
        List<WeightSpec> weights = keys.each("weights", false, (where, value) -> {
            Keys one = new Keys(where, value);
            String role = one.text("role", null);
            if (!ROLES.contains(role)) {
                throw new ModelError(where + ": 'role' must be one of trainable, state, slot, got '" + role + "'");
            }
            buffers.add(one.count("buffer", 0, 0xFFFFFFFFL));
            TensorSpec tensor = tensor(where, value);
            return new WeightSpec(tensor.name(), tensor.shape(), tensor.dtype(), role);
        });
        Set<String> names = new HashSet<>();
        for (WeightSpec spec : weights) names.add(spec.name());
        if (weights.isEmpty() || names.size() != weights.size()) {
            throw new ModelError("manifest: expected one weight or more with different names, got " + names);
        }
        List<String> words = keys.each("vocabulary", true, Manifest::text);
        String hash = keys.text("vocabulary_hash", "");
        if (!words.isEmpty() && !hash.equals(vocabularyHash(words))) {
            throw new ModelError("manifest: the vocabulary of " + words.size() + " words does not have the hash '"
                    + hash + "'");
        }
        return new Manifest(
                keys.text("task", null), keys.text("name", null), weights, buffers,
                (int) keys.count("batch", 1, Integer.MAX_VALUE), (int) keys.count("steps", 0, Integer.MAX_VALUE),
                keys.each("inputs", false, Manifest::tensor), tensor("manifest: labels", keys.value("labels")),
                tensor("manifest: weight", keys.value("weight")), keys.each("metrics", false, Manifest::text),
                keys.each("operators", false, Manifest::text), keys.text("min_runtime", null),
                keys.count("flops", 0, 1L << 62), keys.count("peak_memory", 0, 1L << 62), keys.flag("seed"),
                keys.text("tokenizer", ""), words, hash,
                keys.each("variants", true, Manifest::variant), keys.flag("packs"), keys.text("checksum", null));
    }

    /** Returns the SHA-256 of a word list, a line feed after each word, in hexadecimal. */
    public static String vocabularyHash(List<String> words) {
        MessageDigest digest = Bytes.sha256();
        for (String word : words) digest.update((word + "\n").getBytes(StandardCharsets.UTF_8));
        return Bytes.hex(digest.digest());
    }

    private static String text(String where, JsonElement value) {
        if (!Json.isText(value)) throw new ModelError(where + ": expected a string, got " + Json.brief(value));
        return value.getAsString();
    }

    private static TensorSpec tensor(String where, JsonElement value) {
        Keys keys = new Keys(where, value);
        return new TensorSpec(keys.text("name", null), keys.each("shape", false, Manifest::side), keys.text("dtype", null));
    }

    private static int side(String where, JsonElement value) {
        Long side = Json.whole(value);
        if (side == null || side < 0 || side > Integer.MAX_VALUE) {
            throw new ModelError(where + ": expected the length of an axis, got " + Json.brief(value));
        }
        return (int) (long) side;
    }

    private static Variant variant(String where, JsonElement value) {
        Keys keys = new Keys(where, value);
        return new Variant(keys.text("signature", null), (int) keys.count("steps", 1, Integer.MAX_VALUE),
                keys.count("rows", 1, 1L << 62));
    }

    /** Reads one element of a list. */
    private interface Read<T> {
        T read(String where, JsonElement value);
    }

    /** A JSON object whose values are taken out by key and checked; {@code where} names it in errors. */
    private static final class Keys {
        private final String where;
        private final JsonObject object;

        Keys(String where, JsonElement value) {
            if (!value.isJsonObject()) throw new ModelError(where + ": expected an object, got " + Json.brief(value));
            this.where = where;
            this.object = value.getAsJsonObject();
        }

        JsonElement value(String key) {
            JsonElement value = object.get(key);
            if (value == null || value.isJsonNull()) throw new ModelError(where + ": the key '" + key + "' is missing");
            return value;
        }

        String text(String key, String absent) {
            if (absent != null && !object.has(key)) return absent;
            JsonElement value = value(key);
            if (!Json.isText(value)) throw wrong(key, "a string", value);
            return value.getAsString();
        }

        boolean flag(String key) {
            if (!object.has(key)) return false;
            JsonElement value = value(key);
            if (!value.isJsonPrimitive() || !value.getAsJsonPrimitive().isBoolean()) throw wrong(key, "a bool", value);
            return value.getAsBoolean();
        }

        long count(String key, long least, long most) {
            JsonElement value = value(key);
            Long number = Json.whole(value);
            if (number == null) throw wrong(key, "a whole number", value);
            if (number < least || number > most) {
                throw new ModelError(where + ": '" + key + "' must be " + least + " to " + most + ", got " + number);
            }
            return number;
        }

        <T> List<T> each(String key, boolean optional, Read<T> read) {
            if (optional && !object.has(key)) return Collections.emptyList();
            JsonElement value = value(key);
            if (!value.isJsonArray()) throw wrong(key, "a list", value);
            int count = value.getAsJsonArray().size();
            if (count > ITEMS_MAX) {
                throw new ModelError(where + ": '" + key + "' has " + count + " items, expected at most " + ITEMS_MAX);
            }
            List<T> found = new ArrayList<>(count);
            for (int i = 0; i < count; i++) {
                found.add(read.read(where + ": " + key + "[" + i + "]", value.getAsJsonArray().get(i)));
            }
            return Collections.unmodifiableList(found);
        }

        private ModelError wrong(String key, String expected, JsonElement value) {
            return new ModelError(where + ": '" + key + "' must be " + expected + ", got " + Json.brief(value));
        }
    }
}
