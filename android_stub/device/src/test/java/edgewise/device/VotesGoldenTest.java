package edgewise.device;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import edgewise.wire.Files;
import edgewise.wire.random.Pcg64;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** A device votes for the words that a Python device with its texts and its name would vote for. */
class VotesGoldenTest {
    @Test
    void theVotesArePythonsThoseDrawnAmongThem() {
        byte[] golden = Files.read(new File(System.getProperty("edgewise.golden"), "client.json"), 1 << 24);
        JsonArray entries = JsonParser.parseString(new String(golden, StandardCharsets.UTF_8)).getAsJsonObject()
                .getAsJsonArray("votes");
        for (JsonElement one : entries) {
            JsonObject entry = one.getAsJsonObject();
            Pcg64 rng = Pcg64.ofDevice(entry.get("seed").getAsLong(), entry.get("round").getAsLong(),
                    entry.get("device").getAsString());
            assertEquals(texts(entry, "votes"), Votes.votes(texts(entry, "texts"), texts(entry, "found"),
                    entry.get("length").getAsInt(), entry.get("most").getAsInt(), rng), entry.toString());
        }
        assertEquals(10, entries.size());
    }

    private static List<String> texts(JsonObject entry, String name) {
        List<String> found = new ArrayList<>();
        for (JsonElement one : entry.getAsJsonArray(name)) found.add(one.getAsString());
        return found;
    }
}
