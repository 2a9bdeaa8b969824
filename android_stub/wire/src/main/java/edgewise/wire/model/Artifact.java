package edgewise.wire.model;

import edgewise.wire.Bytes;
import edgewise.wire.Files;
import edgewise.wire.Weights;
import edgewise.wire.errors.DataError;
import edgewise.wire.errors.InputError;
import edgewise.wire.errors.ModelError;
import edgewise.wire.model.TfliteFile.Signature;
import edgewise.wire.model.TfliteFile.Span;
import edgewise.wire.model.TfliteFile.Tensor;
import java.io.File;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A checked model file: its manifest, its weights, its hashes. Needs no TFLite runtime; {@code artifact.py} is the same
 * in Python, and {@code tests/golden/artifact.json} pins both.
 */
public final class Artifact {
    private static final List<String> REQUIRED =
            Arrays.asList("train", "evaluate", "infer", "get_weights", "set_weights");
    private static final byte[] CHECKSUM_KEY = {'"', 'c', 'h', 'e', 'c', 'k', 's', 'u', 'm', '"', ':', '"'};
    private static final int CHECKSUM_DIGITS = 64;

    private final byte[] data;
    private final TfliteFile file;
    private final Manifest manifest;
    private final Map<String, Span> spans = new LinkedHashMap<>();

    private Artifact(byte[] data) {
        this.data = data;
        file = new TfliteFile(data);
        Integer entry = file.metadata.get(Manifest.ENTRY);
        if (entry == null) {
            throw new ModelError("a TFLite file without an edgewise manifest: make one with `edgewise export`");
        }
        Span span = file.buffers.get(entry);
        manifest = Manifest.fromJson(Arrays.copyOfRange(data, span.start(), span.stop()));
        checkSignatures();
        findSpans();
        if (!Bytes.hex(digest(checksumPlace(span))).equals(manifest.checksum())) {
            throw new ModelError("damaged: its checksum is not the one in its manifest; fetch or export it again");
        }
    }

    /**
     * Reads and checks a model file.
     *
     * @throws ModelError if it is no TFLite file, torn, not made by edgewise, or its manifest and graph contradict
     */
    public static Artifact load(byte[] data) {
        return new Artifact(data);
    }

    /** Reads and checks a model file. Throws {@link ModelError} as {@link #load(byte[])}, naming the file. */
    public static Artifact load(File path) {
        try {
            return new Artifact(Files.read(path, Integer.MAX_VALUE - 16));
        } catch (ModelError | DataError error) {
            throw new ModelError(path + ": " + error.getMessage(), error);
        }
    }

    public Manifest manifest() {
        return manifest;
    }

    /** Returns the entry points by name. */
    public Map<String, Signature> signatures() {
        return file.signatures;
    }

    /** Returns the SHA-256 of the file with the bytes of all averaged weights read as zeros. */
    public byte[] graphHash() {
        return digest(null);
    }

    /** Returns the SHA-256 of the weights as they travel. */
    public byte[] weightsHash() {
        return Bytes.hash(Weights.toBytes(weights()));
    }

    /** Returns the averaged weights that the file starts with: float32[parameters]. */
    public float[] weights() {
        float[] flat = new float[Weights.parameters(manifest.weights())];
        int at = 0;
        for (WeightSpec spec : manifest.averaged()) {
            float32(spec);
            float[] part = Weights.floats(data, spans.get(spec.name()).start(), (int) spec.size());
            System.arraycopy(part, 0, flat, at, part.length);
            at += part.length;
        }
        return flat;
    }

    /**
     * Returns the file with other averaged weights in it; nothing else changes.
     *
     * @throws InputError if there are too few or too many numbers, or one is not finite
     */
    public byte[] withWeights(float[] flat) {
        int count = Weights.parameters(manifest.weights());
        if (flat.length != count) {
            throw new InputError("flat weights: expected float32[" + count + "], got float32[" + flat.length + "]");
        }
        if (!Weights.finite(flat)) throw new InputError("weights: expected finite numbers, got NaN or infinity");
        byte[] out = data.clone();
        int at = 0;
        for (WeightSpec spec : manifest.averaged()) {
            float32(spec);
            int start = spans.get(spec.name()).start();
            for (int i = 0; i < spec.size(); i++) Bytes.putF32(out, start + 4 * i, flat[at++]);
        }
        return out;
    }

    private static void float32(WeightSpec spec) {
        if (!spec.dtype().equals("float32")) {
            throw new ModelError("weight '" + spec.name() + "': this client reads float32 only, got " + spec.dtype());
        }
    }

    private void checkSignatures() {
        List<String> wanted = new ArrayList<>(REQUIRED);
        for (Variant variant : manifest.variants()) wanted.add(variant.signature());
        for (String name : wanted) {
            if (!file.signatures.containsKey(name)) {
                throw new ModelError("without the signature '" + name + "' (it has: " + file.signatures.keySet()
                        + "): export it again with `edgewise export`");
            }
        }
        for (WeightSpec spec : manifest.averaged()) {
            same("weight '" + spec.name() + "' of 'get_weights'", spec.tensor(),
                    file.signatures.get("get_weights").outputs().get(spec.name()));
            same("weight '" + spec.name() + "' of 'set_weights'", spec.tensor(),
                    file.signatures.get("set_weights").inputs().get(spec.name()));
        }
        List<TensorSpec> inputs = new ArrayList<>(manifest.inputs());
        inputs.add(manifest.labels());
        inputs.add(manifest.weight());
        for (TensorSpec spec : inputs) {
            same("input '" + spec.name() + "' of 'train'", spec,
                    file.signatures.get("train").inputs().get(spec.name()));
        }
    }

    private static void same(String what, TensorSpec said, Tensor found) {
        String got = found == null ? "nothing" : found.spec().words();
        if (!got.equals(said.words())) {
            throw new ModelError(what + ": the manifest says " + said.words() + ", the graph has " + got);
        }
    }

    /** Finds where the averaged weights lie, checked so that patching one changes nothing else. */
    private void findSpans() {
        Map<Integer, String> owners = new HashMap<>();
        for (int i = 0; i < manifest.weights().size(); i++) {
            WeightSpec spec = manifest.weights().get(i);
            if (!spec.averaged()) continue;
            long number = manifest.buffers().get(i);
            if (number >= file.buffers.size()) {
                throw new ModelError("weight '" + spec.name() + "': buffer " + number
                        + " is not in the file, which has " + file.buffers.size());
            }
            String other = owners.put((int) number, spec.name());
            if (other != null) throw new ModelError("weights '" + other + "' and '" + spec.name() + "' share buffer " + number);
            spans.put(spec.name(), span(spec, file.buffers.get((int) number)));
        }
        checkAlone(owners);
    }

    private static Span span(WeightSpec spec, Span span) {
        int item = switch (spec.dtype()) {
            case "float16" -> 2;
            case "float32", "int32" -> 4;
            case "float64", "int64" -> 8;
            default -> throw new ModelError("weight '" + spec.name() + "': the dtype '" + spec.dtype()
                    + "' cannot be averaged");
        };
        if (span.size() == 0 || span.size() != spec.size() * item) {
            throw new ModelError("weight '" + spec.name() + "': " + spec.tensor().words() + " takes "
                    + spec.size() * item + " bytes, its buffer has " + span.size());
        }
        return span;
    }

    /** Checks that a weight's bytes belong to one tensor and to one buffer. */
    private void checkAlone(Map<Integer, String> owners) {
        int[] uses = new int[file.buffers.size()];
        for (List<Tensor> tensors : file.subgraphs) for (Tensor tensor : tensors) uses[tensor.buffer()]++;
        owners.forEach((number, name) -> {
            if (uses[number] != 1) {
                throw new ModelError("weight '" + name + "': its buffer " + number + " is used by " + uses[number]
                        + " tensors, expected 1");
            }
        });
        List<Integer> filled = new ArrayList<>();
        for (int i = 0; i < uses.length; i++) if (file.buffers.get(i).size() > 0) filled.add(i);
        filled.sort(Comparator.comparingInt(i -> file.buffers.get(i).start()));
        for (int i = 1; i < filled.size(); i++) {
            int first = filled.get(i - 1), second = filled.get(i);
            boolean overlap = file.buffers.get(second).start() < file.buffers.get(first).stop();
            if (overlap && (owners.containsKey(first) || owners.containsKey(second))) {
                throw new ModelError("weight '" + owners.getOrDefault(first, owners.get(second))
                        + "': another buffer shares its bytes");
            }
        }
    }

    /** Returns where the manifest's checksum stands; in canonical JSON only the batch precedes it. */
    private Span checksumPlace(Span manifestSpan) {
        int last = manifestSpan.stop() - CHECKSUM_KEY.length - CHECKSUM_DIGITS - 1;
        for (int at = manifestSpan.start(); at <= last; at++) {
            if (!Arrays.equals(Arrays.copyOfRange(data, at, at + CHECKSUM_KEY.length), CHECKSUM_KEY)) continue;
            int place = at + CHECKSUM_KEY.length;
            if (data[place + CHECKSUM_DIGITS] == '"') return new Span(place, CHECKSUM_DIGITS);
            break;
        }
        throw new ModelError("manifest: the key 'checksum' is missing or not 64 hexadecimal digits");
    }

    /** Returns the SHA-256 of the file with the weights and one more place read as zeros. */
    private byte[] digest(Span more) {
        List<Span> zeros = new ArrayList<>(spans.values());
        if (more != null) zeros.add(more);
        zeros.sort(Comparator.comparingInt(Span::start));
        MessageDigest digest = Bytes.sha256();
        byte[] blank = new byte[1 << 14];
        int at = 0;
        for (Span span : zeros) {
            digest.update(data, at, span.start() - at);
            for (int left = span.size(); left > 0; left -= blank.length) {
                digest.update(blank, 0, Math.min(left, blank.length));
            }
            at = span.stop();
        }
        digest.update(data, at, data.length - at);
        return digest.digest();
    }
}
