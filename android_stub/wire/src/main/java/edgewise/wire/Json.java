package edgewise.wire;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/** JSON that somebody else may have written: strict, of bounded depth, {@code null} where it is none. */
public final class Json {
    private static final int FILE_BYTES_MAX = 1 << 20;

    private Json() {}

    /** Returns what {@code data} says, {@code null} if it is not JSON in UTF-8. */
    public static JsonElement parse(byte[] data) {
        InputStreamReader text = new InputStreamReader(new ByteArrayInputStream(data),
                StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT));
        try (JsonReader reader = new JsonReader(text)) {
            reader.setStrictness(Strictness.STRICT);
            JsonElement found = JsonParser.parseReader(reader);
            return reader.peek() == JsonToken.END_DOCUMENT ? found : null;
        } catch (IOException | JsonParseException | IllegalStateException error) {
            return null;
        }
    }

    /** Returns the object in a small file, an empty one if there is none or it is torn. */
    public static JsonObject readObject(File path) {
        try {
            JsonElement found = parse(Files.read(path, FILE_BYTES_MAX));
            if (found != null && found.isJsonObject()) return found.getAsJsonObject();
        } catch (edgewise.wire.errors.DataError error) {
            // as none
        }
        return new JsonObject();
    }

    public static boolean isText(JsonElement value) {
        return value.isJsonPrimitive() && value.getAsJsonPrimitive().isString();
    }

    /** Returns a whole number of 64 bits, {@code null} for anything else. */
    public static Long whole(JsonElement value) {
        if (value == null || !value.isJsonPrimitive() || !value.getAsJsonPrimitive().isNumber()) return null;
        try {
            return Long.valueOf(value.getAsString());
        } catch (NumberFormatException error) {
            return null;
        }
    }

    /** Returns a number, {@code absent} for anything else. */
    public static double number(JsonElement value, double absent) {
        if (value == null || !value.isJsonPrimitive() || !value.getAsJsonPrimitive().isNumber()) return absent;
        return value.getAsDouble();
    }

    /** Returns a value's beginning, for an error. */
    public static String brief(JsonElement value) {
        String text = value.toString();
        return text.length() <= 60 ? text : text.substring(0, 57) + "...";
    }
}
