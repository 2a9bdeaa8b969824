package edgewise.device;

import edgewise.wire.Weights;
import edgewise.wire.errors.InputError;
import edgewise.wire.errors.ModelError;
import edgewise.wire.model.Artifact;
import edgewise.wire.model.Manifest;
import edgewise.wire.model.TensorSpec;
import edgewise.wire.model.Variant;
import edgewise.wire.model.WeightSpec;
import java.io.Closeable;
import java.io.File;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Trains, evaluates and predicts with one model file, through its signatures. Names, shapes and sizes are the manifest's.
 *
 * <p>The container and the manifest are checked before the runtime sees the file. Weights go in and out as one flat
 * vector, float32[parameters] in the manifest's order.
 */
public final class Trainer implements Closeable {
    private final Artifact artifact;
    private final Manifest manifest;
    private final Runtime.Session session;
    private final List<Variant> variants;

    /** Throws {@link ModelError} if the file is no model of edgewise or the runtime refuses it. */
    public Trainer(File model, Runtime runtime) {
        artifact = Artifact.load(model);
        manifest = artifact.manifest();
        for (WeightSpec spec : manifest.averaged()) {
            if (!spec.dtype().equals("float32")) {
                throw new ModelError("weight '" + spec.name() + "': expected float32, got " + spec.dtype());
            }
        }
        session = runtime.open(model, artifact);
        variants = new ArrayList<>(manifest.variants());
        variants.sort(Comparator.comparingInt(Variant::steps).thenComparingLong(Variant::rows));
    }

    public Manifest manifest() {
        return manifest;
    }

    public byte[] graphHash() {
        return artifact.graphHash();
    }

    /** What one training step says: the weighted mean loss before the step, and the sum of the weights. */
    public record Step(float loss, float weightSum) {}

    /** Returns all averaged weights. */
    public float[] getWeights() {
        Map<String, Tensor> found = session.call("get_weights", dummy());
        float[] flat = new float[Weights.parameters(manifest.weights())];
        int at = 0;
        for (WeightSpec spec : manifest.averaged()) {
            float[] part = taken("get_weights", found, spec.name()).floats();
            if (part.length != spec.size()) throw new ModelError("weight '" + spec.name() + "': " + part.length + " numbers");
            System.arraycopy(part, 0, flat, at, part.length);
            at += part.length;
        }
        return flat;
    }

    /** Sets all averaged weights. Throws {@link InputError} if there are too few or too many numbers. */
    public void setWeights(float[] flat) {
        session.call("set_weights", named(flat, manifest.averaged()));
    }

    /** Sets the offset of every trainable weight out of a vector as long as the weights. */
    public void setOffset(float[] flat) {
        needs("set_offset");
        Map<String, Tensor> all = named(flat, manifest.averaged());
        for (WeightSpec spec : manifest.weights()) if (!spec.role().equals("trainable")) all.remove(spec.name());
        session.call("set_offset", all);
    }

    private Map<String, Tensor> named(float[] flat, List<WeightSpec> specs) {
        int count = Weights.parameters(specs);
        if (flat.length != count) {
            throw new InputError("flat weights: expected float32[" + count + "], got float32[" + flat.length + "]");
        }
        Map<String, Tensor> inputs = new LinkedHashMap<>();
        int at = 0;
        for (WeightSpec spec : specs) {
            int size = (int) spec.size();
            float[] part = new float[size];
            System.arraycopy(flat, at, part, 0, size);
            inputs.put(spec.name(), Tensor.of(part, sides(spec.shape())));
            at += size;
        }
        return inputs;
    }

    /**
     * Takes one optimizer step on a batch: the model's inputs, {@code labels} and {@code weight} by name. The step takes
     * the shortest graph in the file that the batch's labels fit into.
     *
     * @throws InputError if the batch lacks something or has another shape or dtype
     */
    public Step trainStep(Map<String, Tensor> batch, float learningRate, int seed) {
        Map<String, Tensor> inputs = checked("train", batch);
        String signature = "train";
        if (!variants.isEmpty()) {
            Variant shortest = shortest(inputs.get(manifest.weight().name()));
            if (shortest != null) {
                signature = shortest.signature();
                inputs.replaceAll((name, tensor) -> tensor.cut(shortest.steps()));
            }
        }
        return step(signature, inputs, learningRate, seed);
    }

    /** Takes one step along gradient + mu · weights + offset (FedProx, SCAFFOLD). */
    public Step trainCorrectedStep(Map<String, Tensor> batch, float learningRate, float mu, int seed) {
        needs("train_corrected");
        Map<String, Tensor> inputs = checked("train_corrected", batch);
        inputs.put("mu", Tensor.scalar(mu));
        return step("train_corrected", inputs, learningRate, seed);
    }

    /** Returns the batch's sums by metric: {@code loss_sum}, {@code weight_sum}, {@code top1}, … */
    public Map<String, Double> evaluateStep(Map<String, Tensor> batch) {
        Map<String, Double> sums = new LinkedHashMap<>();
        session.call("evaluate", checked("evaluate", batch))
                .forEach((name, tensor) -> sums.put(name, (double) tensor.floats()[0]));
        return sums;
    }

    /** Returns what an app shows; a next-word model takes {@code tokens} and returns {@code ids, probabilities}. */
    public Map<String, Tensor> infer(Map<String, Tensor> inputs) {
        List<TensorSpec> specs = new ArrayList<>();
        artifact.signatures().get("infer").inputs().forEach((name, tensor) ->
                specs.add(new TensorSpec(name, tensor.spec().shape(), tensor.spec().dtype())));
        return session.call("infer", checked("infer", inputs, specs));
    }

    /** Sets the optimizer's slots back to their beginning, as each round must; without slots nothing happens. */
    public void resetOptimizer() {
        if (artifact.signatures().containsKey("reset_optimizer")) session.call("reset_optimizer", dummy());
    }

    @Override
    public void close() {
        session.close();
    }

    private Step step(String signature, Map<String, Tensor> inputs, float learningRate, int seed) {
        inputs.put("learning_rate", Tensor.scalar(learningRate));
        if (manifest.seed()) inputs.put("seed", Tensor.scalar(seed & 0x7FFFFFFF));
        Map<String, Tensor> found = session.call(signature, inputs);
        return new Step(taken(signature, found, "loss").floats()[0], taken(signature, found, "weight_sum").floats()[0]);
    }

    private static Tensor taken(String signature, Map<String, Tensor> found, String name) {
        Tensor tensor = found.get(name);
        if (tensor == null) throw new ModelError("signature '" + signature + "' gave no '" + name + "'");
        return tensor;
    }

    private void needs(String signature) {
        if (!artifact.signatures().containsKey(signature)) {
            throw new ModelError("the model '" + manifest.name() + "' was exported without '" + signature
                    + "': export it again with it");
        }
    }

    private Variant shortest(Tensor weight) {
        int columns = weight.shape().length > 1 ? weight.shape()[1] : 1, steps = 0, rows = 0;
        float[] values = weight.floats();
        for (int i = 0; i < values.length; i++) {
            if (values[i] == 0) continue;
            rows++;
            steps = Math.max(steps, i % columns + 1);
        }
        for (Variant variant : variants) if (rows <= variant.rows() && steps <= variant.steps()) return variant;
        return null;
    }

    private Map<String, Tensor> checked(String signature, Map<String, Tensor> batch) {
        List<TensorSpec> specs = new ArrayList<>(manifest.inputs());
        specs.add(manifest.labels());
        specs.add(manifest.weight());
        return checked(signature, batch, specs);
    }

    private static Map<String, Tensor> checked(String signature, Map<String, Tensor> given, List<TensorSpec> specs) {
        Map<String, Tensor> out = new HashMap<>();
        for (TensorSpec spec : specs) {
            Tensor tensor = given.get(spec.name());
            String got = tensor == null ? "nothing" : tensor.words();
            if (!got.equals(spec.words())) {
                throw new InputError("input '" + spec.name() + "' of '" + signature + "': expected " + spec.words()
                        + ", got " + got);
            }
            out.put(spec.name(), tensor);
        }
        for (String name : given.keySet()) {
            if (!out.containsKey(name)) throw new InputError("input '" + name + "' of '" + signature + "': not known");
        }
        return out;
    }

    static int[] sides(List<Integer> shape) {
        int[] sides = new int[shape.size()];
        for (int i = 0; i < sides.length; i++) sides[i] = shape.get(i);
        return sides;
    }

    private static Map<String, Tensor> dummy() {
        return Collections.singletonMap("dummy", Tensor.scalar(0f));
    }
}
