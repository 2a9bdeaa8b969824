package edgewise.device;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import edgewise.wire.Files;
import edgewise.wire.errors.DataError;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Words, ids and rows are those of the golden file that Python reads too. */
class TokenizerGoldenTest {
    private static final JsonObject GOLDEN = JsonParser.parseString(new String(Files.read(
            new File(System.getProperty("edgewise.golden"), "tokenizer.json"), 1 << 20), StandardCharsets.UTF_8))
            .getAsJsonObject();

    private final WordTokenizer tokenizer = new WordTokenizer(texts(GOLDEN.getAsJsonArray("vocabulary")));

    @Test
    void theGoldenTextsHaveTheirWordsAndIds() {
        for (JsonElement one : GOLDEN.getAsJsonArray("encode")) {
            JsonObject entry = one.getAsJsonObject();
            String text = entry.get("text").getAsString();
            assertEquals(texts(entry.getAsJsonArray("words")), WordTokenizer.wordsOf(text), text);
            assertArrayEquals(ints(entry.getAsJsonArray("ids")), tokenizer.encode(text), text);
        }
        assertEquals(GOLDEN.get("hash").getAsString(), tokenizer.hash());
    }

    @Test
    void theGoldenRowsAreMade() {
        for (JsonElement one : GOLDEN.getAsJsonArray("rows")) {
            JsonObject entry = one.getAsJsonObject();
            for (String use : Arrays.asList("train", "evaluate")) {
                List<String> text = Collections.singletonList(entry.get("text").getAsString());
                Examples rows = new Examples.NextWord(text, tokenizer, 1, 5, false, use.equals("evaluate"));
                Map<String, Tensor> batch = rows.batch(rows.plan(new int[] {0}).get(0));
                assertArrayEquals(ints(entry.getAsJsonArray("tokens")), batch.get("tokens").ints());
                assertArrayEquals(ints(entry.getAsJsonArray("labels")), batch.get("labels").ints());
                float[] weight = batch.get("weight").floats();
                for (int i = 0; i < 5; i++) assertEquals(entry.getAsJsonArray(use).get(i).getAsFloat(), weight[i]);
            }
        }
    }

    @Test
    void theLastBatchIsFilledUpWithRowsOfZeros() {
        Examples rows = new Examples.NextWord(Arrays.asList("see you", "!", "at 7"), tokenizer, 4, 3, false, false);
        assertEquals(2, rows.size());
        Map<String, Tensor> batch = rows.batch(rows.plan(new int[] {1, 0}).get(0));
        assertArrayEquals(new int[] {2, 6, 7, 2, 4, 5, 0, 0, 0, 0, 0, 0}, batch.get("tokens").ints());
        assertArrayEquals(new int[] {6, 7, 3, 4, 5, 3, 0, 0, 0, 0, 0, 0}, batch.get("labels").ints());
        assertArrayEquals(new float[] {1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0}, batch.get("weight").floats());
    }

    @Test
    void sentencesShareRowsAsThePythonDevicesDo() {
        JsonObject golden = JsonParser.parseString(new String(Files.read(
                new File(System.getProperty("edgewise.golden"), "client.json"), 1 << 20), StandardCharsets.UTF_8))
                .getAsJsonObject();
        for (JsonElement one : golden.getAsJsonArray("packing")) {
            JsonObject entry = one.getAsJsonObject();
            int[] lengths = ints(entry.getAsJsonArray("lengths"));
            List<List<Examples.Place>> found = Packing.pack(ints(entry.getAsJsonArray("order")), i -> lengths[i],
                    entry.get("rows").getAsInt(), entry.get("columns").getAsInt());
            JsonArray batches = entry.getAsJsonArray("batches");
            assertEquals(batches.size(), found.size());
            for (int i = 0; i < found.size(); i++) {
                List<Examples.Place> wanted = new ArrayList<>();
                for (JsonElement place : batches.get(i).getAsJsonArray()) {
                    int[] at = ints(place.getAsJsonArray());
                    wanted.add(new Examples.Place(at[0], at[1], at[2]));
                }
                assertEquals(wanted, found.get(i));
            }
        }
        Examples rows = new Examples.NextWord(Arrays.asList("see", "you see", "you"), tokenizer, 2, 4, true, false);
        Map<String, Tensor> batch = rows.batch(rows.plan(new int[] {0, 1, 2}).get(0));
        assertArrayEquals(new int[] {2, 4, 2, 5, 2, 5, 4, 0}, batch.get("tokens").ints());
    }

    @Test
    void aBadVocabularyIsRefused() {
        for (List<String> bad : List.of(List.<String>of(), List.of("a", "B"), List.of("a", ""), List.of("a", "a"))) {
            assertThrows(DataError.class, () -> new WordTokenizer(bad));
        }
        assertThrows(DataError.class, () -> tokenizer.word(14));
    }

    private static List<String> texts(JsonArray array) {
        List<String> found = new ArrayList<>();
        for (JsonElement one : array) found.add(one.getAsString());
        return found;
    }

    private static int[] ints(JsonArray array) {
        int[] found = new int[array.size()];
        for (int i = 0; i < found.length; i++) found[i] = array.get(i).getAsInt();
        return found;
    }
}
