package edgewise.wire.secure;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import edgewise.wire.Bytes;
import edgewise.wire.Golden;
import edgewise.wire.Messages.SecureTerms;
import edgewise.wire.errors.ConfigError;
import edgewise.wire.errors.InputError;
import edgewise.wire.random.Pcg64;
import org.junit.jupiter.api.Test;

/** Words, noise and graphs of secure rounds are Python's. */
class ArithmeticTest {
    private static final byte[] KEY = new byte[32];

    static {
        for (int i = 0; i < 32; i++) KEY[i] = (byte) i;
    }

    private static Iterable<JsonElement> entries(String name) {
        return Golden.json("client.json").getAsJsonArray(name);
    }

    @Test
    void updatesBecomePythonsWords() {
        for (JsonElement one : entries("forms")) {
            JsonObject entry = one.getAsJsonObject();
            Form form = new Form(entry.get("cohort").getAsLong(), entry.get("value_bits").getAsInt(),
                    entry.get("range").getAsDouble(), entry.get("weight_max").getAsLong(), entry.get("noise").getAsDouble());
            assertEquals(entry.get("modulus_bits").getAsInt(), form.modulusBits());
            long[] noise = form.noise() > 0 ? Skellam.draw(40, form.noise(), KEY) : null;
            double norm = Double.parseDouble(entry.get("norm").getAsString());
            int[] words = form.encode(Golden.numbers(40), entry.get("examples").getAsInt(), entry.get("loss").getAsFloat(),
                    Pcg64.ofWords(entry.get("dice").getAsInt())::random, norm, noise);
            long[] expected = new long[42], got = new long[42];
            for (int i = 0; i < 42; i++) {
                expected[i] = entry.getAsJsonArray("words").get(i).getAsLong();
                got[i] = words[i] & 0xFFFFFFFFL;
            }
            assertArrayEquals(expected, got, entry.toString());
            assertEquals(entry.get("packed").getAsString(), Bytes.hex(form.pack(words)));
            assertEquals(form.pack(words).length, form.packedBytes(40));
        }
    }

    @Test
    void termsThatCannotBeAreRefused() {
        assertThrows(ConfigError.class, () -> new Form(4, 1, 1, 1, 0));
        assertThrows(ConfigError.class, () -> new Form(4, 25, 1, 1, 0));
        assertThrows(ConfigError.class, () -> new Form(4, 20, Double.NaN, 1, 0));
        assertThrows(ConfigError.class, () -> new Form(0, 20, 1, 1, 0));
        assertThrows(ConfigError.class, () -> new Form(4, 20, 1, 1L << 31, 0));
        assertThrows(ConfigError.class, () -> new Form(4, 20, 1, 1, Double.POSITIVE_INFINITY));
        assertThrows(ConfigError.class, () -> new Form(1024, 23, 1, 1, 0)); // the sum needs 33 bits
        assertThrows(InputError.class, () -> new Form(4, 20, 1, 1, 0).encode(new float[] {Float.NaN}, 1, 1, () -> 0.5,
                Double.POSITIVE_INFINITY, null));
        assertThrows(ConfigError.class, () -> Skellam.draw(1, 0, KEY));
    }

    @Test
    void noiseIsPythonsDrawForDraw() {
        for (JsonElement one : entries("noise")) {
            JsonObject entry = one.getAsJsonObject();
            long[] drawn = Skellam.draw(3000, entry.get("variance").getAsDouble(), KEY);
            byte[] all = new byte[8 * drawn.length];
            for (int i = 0; i < drawn.length; i++) Bytes.putI64(all, 8 * i, drawn[i]);
            for (int i = 0; i < 8; i++) assertEquals(entry.getAsJsonArray("first").get(i).getAsLong(), drawn[i]);
            assertEquals(entry.get("all").getAsString(), Bytes.hex(Bytes.hash(all)), entry.toString());
        }
    }

    @Test
    void aDeviceWorksOutTheNoiseOfASumAsPythonDoes() {
        for (JsonElement one : entries("multipliers")) {
            JsonObject entry = one.getAsJsonObject();
            SecureTerms terms = new SecureTerms(entry.get("cohort").getAsLong(), entry.get("least").getAsLong(),
                    entry.get("value_bits").getAsInt(), entry.get("range").getAsDouble(), 1, entry.get("noise").getAsDouble(),
                    entry.get("clip").getAsDouble());
            double expected = Double.parseDouble(entry.get("multiplier").getAsString());
            assertEquals(expected, Noise.multiplier(terms, entry.get("numbers").getAsLong()), 1e-12 * expected, entry.toString());
        }
    }

    @Test
    void aGraphIsTakenOrRefusedWherePythonDoes() {
        for (JsonElement one : entries("plans")) {
            JsonObject entry = one.getAsJsonObject();
            int size = entry.get("size").getAsInt();
            long degree = entry.get("degree").getAsLong(), quorum = entry.get("quorum").getAsLong();
            long least = entry.get("least_threshold").getAsLong();
            assertNull(new Plan(size, degree, entry.get("threshold").getAsLong(), quorum).unsafe(), entry.toString());
            assertNull(new Plan(size, degree, least, quorum).unsafe(), entry.toString());
            assertNotNull(new Plan(size, degree, least - 1, quorum).unsafe(), entry.toString());
            assertNotNull(new Plan(size, degree, degree + 2, quorum).unsafe(), entry.toString());
            assertNotNull(new Plan(size, degree, least, quorum - 1).unsafe(), entry.toString());
            assertNotNull(new Plan(size, degree, least, size + 1L).unsafe(), entry.toString());
        }
        assertNotNull(new Plan(100, 63, 39, 53).unsafe()); // no ring has an odd degree
        assertNotNull(new Plan(100, 0, 1, 53).unsafe());
        assertNotNull(new Plan(100, 1L << 31, 39, 53).unsafe());
    }
}
