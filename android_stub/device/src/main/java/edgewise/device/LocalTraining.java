package edgewise.device;

import edgewise.wire.errors.RunError;
import edgewise.wire.model.WeightSpec;
import edgewise.wire.random.Pcg64;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * What one device does with a round's weights (McMahan et al. 2017, algorithm 1), one batch a call, so that whoever drives
 * it decides between any two batches whether to go on. Sample, order and seeds are those of a Python device.
 */
public abstract class LocalTraining {
    /** Said after every batch: {@code done} of {@code total}, and the mean loss so far in this epoch. */
    public record Step(int done, int total, float loss) {
        public static final Step NONE = new Step(0, 0, 0f);
    }

    /** What it yields. */
    public interface Result {
        /** Returns how many different examples were used. */
        int examples();
    }

    /**
     * What training yields.
     *
     * @param update float32[parameters], local weights minus the round's; with SCAFFOLD Δc follows, as long again
     * @param control with SCAFFOLD the device's own variate from now on; it stays on the device
     */
    public record LocalUpdate(float[] update, int examples, float loss, int steps, float[] control) implements Result {
        /** Returns the L2 norm of the change of the weights. */
        public double norm() {
            int count = control == null ? update.length : control.length;
            double sum = 0;
            for (int i = 0; i < count; i++) sum += (double) update[i] * update[i];
            return Math.sqrt(sum);
        }
    }

    /** What evaluation yields: sums by metric, in the order of their names. */
    public record LocalSums(Map<String, Double> sums, int examples) implements Result {}

    /** Computes one batch. Throws {@link RunError} if training diverges. */
    public abstract Step next();

    /** Returns the result once every batch is computed, else {@code null}. */
    public abstract Result result();

    /** Trains from {@code weights}. */
    public static final class Train extends LocalTraining {
        private final Trainer trainer;
        private final float[] weights;
        private final Examples examples;
        private final int epochs;
        private final float learningRate;
        private final Pcg64 rng;
        private final Correction correction;
        private final int[] chosen;
        private List<List<Examples.Place>> plan;
        private int epoch;
        private int at;
        private int steps;
        private double loss;
        private double lossSum;
        private double weightSum;
        private LocalUpdate result;

        /** {@code maxExamples} 0 means all; {@code correction} may be {@code null}. */
        public Train(Trainer trainer, float[] weights, Examples examples, int epochs, float learningRate,
                int maxExamples, Pcg64 rng, Correction correction) {
            this.trainer = trainer;
            this.weights = weights;
            this.examples = examples;
            this.epochs = epochs;
            this.learningRate = learningRate;
            this.rng = rng;
            this.correction = correction;
            trainer.setWeights(weights);
            trainer.resetOptimizer();
            if (correction != null) trainer.setOffset(correction.offset(weights));
            int[] all = rng.permutation(examples.size());
            chosen = maxExamples > 0 && maxExamples < all.length ? Arrays.copyOf(all, maxExamples) : all;
            plan = examples.plan(chosen);
        }

        @Override
        public Step next() {
            Map<String, Tensor> batch = examples.batch(plan.get(at++));
            int seed = (int) rng.integers(1L << 31);
            Trainer.Step step = correction == null ? trainer.trainStep(batch, learningRate, seed)
                    : trainer.trainCorrectedStep(batch, learningRate, correction.mu(), seed);
            steps++;
            if (!Float.isFinite(step.loss())) {
                throw new RunError("training diverged: the loss of step " + steps + " is " + step.loss()
                        + " at learning rate " + learningRate);
            }
            lossSum += (double) step.loss() * step.weightSum();
            weightSum += step.weightSum();
            loss = weightSum == 0 ? 0 : lossSum / weightSum;
            int left = plan.size() - at + (epochs - epoch - 1) * plan.size(); // another order may take one more or less
            if (at >= plan.size()) endEpoch();
            return new Step(steps, steps + left, (float) loss);
        }

        private void endEpoch() {
            if (++epoch == epochs) {
                finish();
                return;
            }
            plan = examples.plan(rng.permutation(chosen));
            at = 0;
            lossSum = weightSum = 0;
        }

        private void finish() {
            float[] update = trainer.getWeights();
            int place = 0;
            for (WeightSpec spec : trainer.manifest().averaged()) {
                for (int end = place + (int) spec.size(); place < end; place++) {
                    update[place] -= weights[place];
                    if (!Float.isFinite(update[place])) {
                        throw new RunError("training diverged: '" + spec.name()
                                + "' is not finite any more; a lower learning rate may help");
                    }
                }
            }
            float[] control = null;
            if (correction != null && correction.server() != null) {
                float[] change = correction.change(update, trainer.manifest().weights(), steps, learningRate);
                control = change.clone();
                if (correction.own() != null) for (int i = 0; i < control.length; i++) control[i] += correction.own()[i];
                float[] both = Arrays.copyOf(update, 2 * update.length);
                System.arraycopy(change, 0, both, update.length, change.length);
                update = both;
            }
            result = new LocalUpdate(update, chosen.length, (float) loss, steps, control);
        }

        @Override
        public LocalUpdate result() {
            return result;
        }
    }

    /** Evaluates {@code weights} on the first {@code maxExamples} (0 = all). */
    public static final class Evaluate extends LocalTraining {
        private final Trainer trainer;
        private final Examples examples;
        private final List<List<Examples.Place>> plan;
        private final int count;
        private final Map<String, Double> sums = new TreeMap<>();
        private int done;

        public Evaluate(Trainer trainer, float[] weights, Examples examples, int maxExamples) {
            this.trainer = trainer;
            this.examples = examples;
            trainer.setWeights(weights);
            count = maxExamples > 0 ? Math.min(maxExamples, examples.size()) : examples.size();
            int[] order = new int[count];
            for (int i = 0; i < count; i++) order[i] = i;
            plan = examples.plan(order);
        }

        @Override
        public Step next() {
            trainer.evaluateStep(examples.batch(plan.get(done++))).forEach((name, value) -> {
                Double sum = sums.get(name);
                sums.put(name, sum == null ? value : sum + value);
            });
            return new Step(done, plan.size(), 0f);
        }

        @Override
        public LocalSums result() {
            if (done < plan.size()) return null;
            sums.forEach((name, value) -> {
                if (Double.isNaN(value) || Double.isInfinite(value)) {
                    throw new RunError("evaluation: the sum '" + name + "' is " + value
                            + "; the round's weights are of no use");
                }
            });
            return new LocalSums(sums, count);
        }
    }
}
