package edgewise.device;

import com.google.gson.JsonObject;
import edgewise.wire.Blobs;
import edgewise.wire.Bytes;
import edgewise.wire.Files;
import edgewise.wire.Json;
import edgewise.wire.Messages.Assignment;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The note, in a device's folder, of the latest graph and weights; written only when both blobs are whole. */
public final class LatestModel {
    /** A graph and weights by their hashes, and the round and model version they came with. */
    public record Latest(byte[] graph, byte[] weights, long round, long version) {}

    private final File path;

    public LatestModel(Home home) {
        path = home.model;
    }

    /** Notes that an assignment's graph and weights are here. */
    void save(Assignment asked, long round) {
        JsonObject plain = new JsonObject();
        plain.addProperty("graph", Bytes.hex(asked.graph().hash()));
        plain.addProperty("weights", Bytes.hex(asked.weights().hash()));
        plain.addProperty("round", round);
        plain.addProperty("version", asked.version());
        Files.writeDurably(path, (plain + "\n").getBytes(StandardCharsets.UTF_8));
    }

    /** Returns the note, {@code null} if there is none or it is torn. */
    public Latest load() {
        JsonObject plain = Json.readObject(path);
        try {
            byte[] graph = Bytes.unhex(plain.get("graph").getAsString());
            byte[] weights = Bytes.unhex(plain.get("weights").getAsString());
            if (graph.length != Blobs.HASH_BYTES || weights.length != Blobs.HASH_BYTES) return null;
            return new Latest(graph, weights, plain.get("round").getAsLong(), plain.get("version").getAsLong());
        } catch (RuntimeException error) { // a key is missing, or is something else
            return null;
        }
    }

    /** Returns the blobs to keep. */
    List<byte[]> hashes() {
        Latest latest = load();
        return latest == null ? Collections.emptyList() : Arrays.asList(latest.graph, latest.weights);
    }
}
