package edgewise.device;

import edgewise.device.LocalTraining.Result;
import edgewise.device.LocalTraining.Step;
import edgewise.wire.Files;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.Kind;
import edgewise.wire.Weights;
import edgewise.wire.errors.ModelError;
import edgewise.wire.errors.RunError;
import edgewise.wire.random.Pcg64;
import java.io.File;
import java.util.function.Function;

/** Trains, evaluates or votes, one batch at a time; the result is there when it is finished. */
final class Compute extends Phase {
    private final Host host;
    private final Clock clock;
    private final Work work;
    private final String device;
    private final File graph;
    private final File weights;
    private final int most;
    private final Function<Trainer, Correction> correction;
    private LocalTraining running;
    private Step step = Step.NONE;
    private Result result;

    Compute(Host host, Clock clock, Work work, String device, File graph, File weights, int most,
            Function<Trainer, Correction> correction) {
        this.host = host;
        this.clock = clock;
        this.work = work;
        this.device = device;
        this.graph = graph;
        this.weights = weights;
        this.most = most;
        this.correction = correction;
    }

    @Override
    DeviceState state() {
        return DeviceState.TRAINING;
    }

    @Override
    boolean busy() {
        return true;
    }

    @Override
    boolean finished() {
        return result != null;
    }

    @Override
    Step progress() {
        return step;
    }

    /** Loads what is needed, then computes one batch a call. */
    @Override
    void compute() {
        double began = clock.now();
        try {
            if (running == null) running = begin();
            step = running.next();
            result = running.result();
        } finally {
            seconds += clock.now() - began;
        }
    }

    /** Returns the result and lets go of it: an update is as large as the model. */
    Result takeResult() {
        Result taken = result;
        result = null;
        running = null;
        if (taken == null) throw new RunError("the computation is not finished");
        return taken;
    }

    private LocalTraining begin() {
        Assignment asked = work.asked();
        Pcg64 rng = Pcg64.ofDevice(asked.seed(), work.round(), device);
        if (asked.kind() == Kind.DISCOVER) {
            long votes = Math.min(asked.discovery().votes(), most);
            return new Votes(host.texts(), weights, asked.discovery().length(), votes, rng);
        }
        Trainer trainer = host.trainer(graph, asked.graph().hash());
        float[] start = readWeights(weights, trainer, "weights");
        Examples examples = host.examples(trainer.manifest(), asked.kind());
        if (examples.size() == 0) {
            throw new RunError("none of this device's examples has anything that the model can learn from");
        }
        if (asked.kind() == Kind.EVALUATE) return new LocalTraining.Evaluate(trainer, start, examples, most);
        int epochs = (int) Math.min(asked.epochs(), Integer.MAX_VALUE);
        return new LocalTraining.Train(trainer, start, examples, epochs, asked.learningRate(), most, rng,
                correction.apply(trainer));
    }

    /** Returns a round's weights. Throws {@link ModelError} if they are not as many as the graph has, or not finite. */
    static float[] readWeights(File path, Trainer trainer, String what) {
        int count = Weights.parameters(trainer.manifest().weights());
        if (path.length() != 4L * count) {
            throw new ModelError("the round's " + what + " are " + path.length() + " bytes, the graph has " + count
                    + " parameters of 4 bytes");
        }
        float[] weights = Weights.fromBytes(Files.read(path, 4L * count), count);
        if (!Weights.finite(weights)) throw new ModelError("the round's " + what + " have numbers that are not finite");
        return weights;
    }
}
