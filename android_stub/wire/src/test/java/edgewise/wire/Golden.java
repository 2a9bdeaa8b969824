package edgewise.wire;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.File;
import java.nio.charset.StandardCharsets;

/** The files of tests/golden, which Python and Java read alike. */
public final class Golden {
    private static final File FOLDER = new File(System.getProperty("edgewise.golden", "../../tests/golden"));

    private Golden() {}

    public static byte[] bytes(String name) {
        return Files.read(new File(FOLDER, name), 1 << 24);
    }

    public static JsonObject json(String name) {
        return JsonParser.parseString(new String(bytes(name), StandardCharsets.UTF_8)).getAsJsonObject();
    }

    public static JsonArray entries(String folder) {
        return json(folder + "/index.json").getAsJsonArray("entries");
    }

    /** The numbers of scripts/generate-golden-client: 25 bits of SplitMix64 less 2^24, times 2^-30. */
    public static float[] numbers(int count) {
        float[] out = new float[count];
        for (int i = 0; i < count; i++) {
            long state = (i + 1) * 0x9E3779B97F4A7C15L + 7;
            state = (state ^ state >>> 30) * 0xBF58476D1CE4E5B9L;
            state = (state ^ state >>> 27) * 0x94D049BB133111EBL;
            state ^= state >>> 31;
            out[i] = (float) (((state >>> 39) - (1L << 24)) * 0x1.0p-30);
        }
        return out;
    }
}
