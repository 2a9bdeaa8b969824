package edgewise.wire;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import edgewise.wire.Messages.BlobRef;
import edgewise.wire.errors.ConfigError;
import edgewise.wire.errors.EdgewiseError;
import edgewise.wire.errors.InputError;
import edgewise.wire.errors.ProtocolError;
import edgewise.wire.random.Pcg64;
import edgewise.wire.transforms.Codec;
import edgewise.wire.transforms.Codecs;
import edgewise.wire.transforms.Key;
import edgewise.wire.transforms.Numbers;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Draws, blobs, signatures and encodings are Python's, bit for bit. */
class ClientGoldenTest {
    private static final JsonObject GOLDEN = Golden.json("client.json");

    @Test
    void theGeneratorDrawsWhatNumPyDraws() {
        for (JsonElement one : GOLDEN.getAsJsonArray("random")) {
            JsonObject entry = one.getAsJsonObject();
            Pcg64 rng = Pcg64.ofDevice(Long.parseUnsignedLong(entry.get("seed").getAsString()),
                    Long.parseUnsignedLong(entry.get("round").getAsString()), entry.get("device").getAsString());
            int[] first = rng.permutation(entry.get("count").getAsInt());
            assertArrayEquals(ints(entry.getAsJsonArray("permutation")), first);
            for (JsonElement seed : entry.getAsJsonArray("seeds")) assertEquals(seed.getAsLong(), rng.integers(1L << 31));
            assertArrayEquals(ints(entry.getAsJsonArray("again")), rng.permutation(first));
            long[] ends = {1, 2, 3, 1000, (1L << 31) + 11};
            for (int i = 0; i < ends.length; i++) {
                assertEquals(entry.getAsJsonArray("small").get(i).getAsLong(), rng.integers(ends[i]));
            }
            for (JsonElement value : entry.getAsJsonArray("random")) {
                assertEquals(Double.parseDouble(value.getAsString()), rng.random());
            }
            for (JsonElement raw : entry.getAsJsonArray("raw")) {
                assertEquals(Long.parseUnsignedLong(raw.getAsString()), rng.next64());
            }
        }
    }

    @Test
    void blobsHaveTheSameChunksAndHashes() {
        for (JsonElement one : GOLDEN.getAsJsonArray("blobs")) {
            JsonObject entry = one.getAsJsonObject();
            byte[] data = new byte[entry.get("size").getAsInt()];
            for (int i = 0; i < data.length; i++) data[i] = (byte) ((long) i * i + i / 251);
            if (entry.get("zeroed").getAsBoolean()) Arrays.fill(data, 200, 300, (byte) 0);
            BlobRef ref = Blobs.makeRef(data, entry.get("chunk_bytes").getAsInt());
            assertEquals(entry.get("hash").getAsString(), Bytes.hex(ref.hash()));
            assertEquals(entry.get("chunk_hashes").getAsString(), Bytes.hex(ref.chunkHashes()));
            List<Integer> zeros = new ArrayList<>();
            for (int i = 0; i < Blobs.chunkCount(ref); i++) if (Blobs.isZeros(ref, i)) zeros.add(i);
            assertArrayEquals(ints(entry.getAsJsonArray("zeros")), zeros.stream().mapToInt(i -> i).toArray());
        }
    }

    @Test
    void anAssignmentIsTakenOnlyIfTheCoordinatorSignedIt() {
        JsonObject entry = GOLDEN.getAsJsonObject("signed");
        VerifyKey key = VerifyKey.fromText(entry.get("key").getAsString());
        byte[] payload = Bytes.unhex(entry.get("payload").getAsString());
        byte[] signature = Bytes.unhex(entry.get("signature").getAsString());
        assertTrue(key.vouchesFor(entry.get("device").getAsString(), payload, signature));
        assertFalse(key.vouchesFor("pi-8", payload, signature));
        assertFalse(key.vouchesFor("pi-7", Bytes.unhex(entry.get("forged").getAsString()), signature));
        assertFalse(key.vouchesFor("pi-7", payload, new byte[64]));
        assertFalse(key.vouchesFor("pi-7", payload, Bytes.NONE));
        assertThrows(ConfigError.class, () -> VerifyKey.fromText("AAAA"));
        assertThrows(ConfigError.class, () -> VerifyKey.fromText("no base64!"));
    }

    @Test
    void smallUpdatesAreEncodedToPythonsBytes() {
        for (JsonElement one : Golden.json("encodings.json").getAsJsonArray("entries")) {
            JsonObject entry = one.getAsJsonObject();
            String what = entry.get("name") + " of " + entry.get("parameters");
            Codec codec = Codecs.get(entry.get("name").getAsString());
            Key key = new Key(Long.parseUnsignedLong(entry.get("seed").getAsString()), entry.get("round").getAsLong(),
                    entry.get("device").getAsString());
            int count = entry.get("parameters").getAsInt();
            byte[] data = Bytes.unhex(entry.get("data").getAsString());
            assertEquals(entry.get("decoded").getAsString(), Bytes.hex(Weights.toBytes(codec.decode(data, count, key))), what);
            float[] update = Weights.fromBytes(Bytes.unhex(entry.get("update").getAsString()), count);
            assertEquals(Bytes.hex(data), Bytes.hex(codec.encode(update, key, null).data()), what);
            assertEquals(data.length, codec.size(count), what);
        }
    }

    @Test
    void largeUpdatesAreEncodedToPythonsBytes() {
        for (JsonElement one : GOLDEN.getAsJsonArray("encodings")) {
            JsonObject entry = one.getAsJsonObject();
            int count = entry.get("parameters").getAsInt();
            String what = entry.get("name") + " of " + count;
            Codec codec = Codecs.get(entry.get("name").getAsString());
            Key key = new Key((1L << 63) + 5, 41, "pi-7");
            float[] update = Golden.numbers(count);
            Codec.Encoded sent = codec.encode(update, key, null);
            assertEquals(entry.get("bytes").getAsInt(), sent.data().length, what);
            assertEquals(entry.get("data").getAsString(), Bytes.hex(Bytes.hash(sent.data())), what);
            assertEquals(entry.get("decoded").getAsString(), hash(codec.decode(sent.data(), count, key)), what);
            if (!entry.has("residual")) {
                assertNull(sent.residual());
                continue;
            }
            assertEquals(entry.get("residual").getAsString(), hash(sent.residual()), what);
            byte[] second = codec.encode(update, key, sent.residual()).data();
            assertEquals(entry.get("second").getAsString(), Bytes.hex(Bytes.hash(second)), what);
        }
    }

    @Test
    void versionsAreFollowedToPythonsBits() {
        float[] base = Golden.numbers(5000), fresh = new float[5000];
        for (int i = 0; i < 5000; i++) fresh[i] = base[4999 - i];
        for (JsonElement one : GOLDEN.getAsJsonArray("deltas")) {
            JsonObject entry = one.getAsJsonObject();
            String name = entry.get("name").getAsString();
            byte[] baseHash = Bytes.unhex(entry.get("base_hash").getAsString());
            float[] difference = fresh.clone();
            boolean whole = baseHash.length == 0;
            for (int i = 0; i < 5000 && !whole; i++) difference[i] -= base[i];
            byte[] data = Codecs.get(name).encode(difference, new Key(0, 0, Bytes.hex(baseHash)), null).data();
            assertEquals(entry.get("data").getAsString(), Bytes.hex(Bytes.hash(data)), name);
            assertEquals(entry.get("weights").getAsString(),
                    hash(Codecs.follow(name, data, whole ? null : base, baseHash, 5000)), name);
        }
    }

    @Test
    void anEncodingHasOneNameAndBadOnesAreRefused() {
        for (String name : Arrays.asList("eden-5", "eden-01", "topk-1e-2", "topk-0.6", "clip-0", "clip--1", "clip-nan",
                "zip", "eden", "eden-", "float16+eden-2", "clip-1+topk-0.1", "clip-1+clip-2", "clip-1+", "rotated-9",
                "clip-1.0", String.join("", Collections.nCopies(80, "x")))) {
            assertThrows(ConfigError.class, () -> Codecs.get(name), name);
        }
        assertEquals("float32", Codecs.get("").name());
        assertEquals("clip-1e-05+lloyd-3", Codecs.get("clip-1e-05+lloyd-3").name());
        assertEquals("1e+06", Numbers.general(1e6));
        assertEquals("0.000123457", Numbers.general(0.000123456789));
        assertEquals("100000", Numbers.general(99999.99));
    }

    @Test
    void whateverBytesComeADecoderGivesFiniteNumbersOrRefuses() {
        Random dice = new Random(2);
        Key key = new Key(1, 2, "d");
        for (String name : Arrays.asList("float32", "float16", "rotated-3", "eden-2", "lloyd-4", "topk-0.1")) {
            Codec codec = Codecs.get(name);
            byte[] good = codec.encode(Golden.numbers(300), key, null).data();
            for (int i = 0; i < 2000; i++) {
                byte[] data = dice.nextInt(10) == 0 ? Arrays.copyOf(good, dice.nextInt(good.length)) : good.clone();
                for (int n = 0; n < 3 && data.length > 0; n++) data[dice.nextInt(data.length)] = (byte) dice.nextInt(256);
                try {
                    assertTrue(Weights.finite(codec.decode(data, 300, key)), name);
                } catch (ProtocolError refused) {
                    assertTrue(refused.getMessage().length() > 10);
                }
            }
        }
    }

    @Test
    void anUpdateThatCannotBeSentIsRefused() {
        for (String name : Arrays.asList("float32", "float16", "eden-2", "topk-0.5", "clip-1", "rotated-1")) {
            for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, 0x1.0p101f}) {
                if (name.equals("clip-1") && bad == 0x1.0p101f) continue; // clipped, it can be sent
                assertThrows(InputError.class, () -> Codecs.get(name).encode(new float[] {1, bad}, new Key(0, 0, ""), null));
            }
            assertThrows(EdgewiseError.class, () -> Codecs.get(name).encode(new float[0], new Key(0, 0, ""), null));
        }
    }

    private static String hash(float[] values) {
        return Bytes.hex(Bytes.hash(Weights.toBytes(values)));
    }

    private static int[] ints(JsonArray array) {
        int[] out = new int[array.size()];
        for (int i = 0; i < out.length; i++) out[i] = array.get(i).getAsInt();
        return out;
    }
}
