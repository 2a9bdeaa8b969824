package edgewise.device;

import edgewise.wire.BlobStore;
import edgewise.wire.errors.ModelError;
import edgewise.wire.errors.UnavailableError;
import java.io.Closeable;
import java.io.File;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** Suggests words with the latest model that this device downloaded. */
public final class Predictor implements Closeable {
    /** A word and how likely the model thinks it is. */
    public record Suggestion(String word, float probability) {}

    private final Trainer trainer;
    private final WordTokenizer tokenizer;
    private final int steps;

    /** Throws {@link ModelError} if the model is not a next-word model. */
    public Predictor(Trainer trainer) {
        if (!trainer.manifest().task().equals("next-word")) {
            throw new ModelError("model task '" + trainer.manifest().task() + "': suggestions need a next-word model");
        }
        this.trainer = trainer;
        tokenizer = new WordTokenizer(trainer.manifest().vocabulary());
        steps = trainer.manifest().steps();
    }

    /** Opens the latest model. Throws {@link UnavailableError} if the device has none yet. */
    public static Predictor open(Home home, Runtime runtime) {
        LatestModel.Latest latest = new LatestModel(home).load();
        BlobStore store = new BlobStore(home.blobs);
        if (latest == null || !store.has(latest.graph()) || !store.has(latest.weights())) {
            throw new UnavailableError("no model yet; it comes with the first round");
        }
        File weights = store.path(latest.weights());
        Trainer trainer = new Trainer(store.path(latest.graph()), runtime);
        try {
            trainer.setWeights(Compute.readWeights(weights, trainer, "weights"));
            return new Predictor(trainer);
        } catch (RuntimeException error) {
            trainer.close();
            throw error;
        }
    }

    /** Returns every word that it can suggest, the most frequent first. */
    public List<String> words() {
        return tokenizer.vocabulary();
    }

    /** Returns the {@code count} likeliest words after {@code text}, likeliest first; of a long text the last words count. */
    public List<Suggestion> suggest(String text, int count) {
        int[] ids = tokenizer.encode(text), tokens = new int[steps];
        int kept = Math.min(ids.length, steps - 1);
        tokens[0] = WordTokenizer.START;
        System.arraycopy(ids, ids.length - kept, tokens, 1, kept);
        Map<String, Tensor> ranked = trainer.infer(Collections.singletonMap(
                trainer.manifest().inputs().get(0).name(), Tensor.of(tokens, 1, steps)));
        Tensor words = ranked.get("ids"), probabilities = ranked.get("probabilities");
        if (words == null || probabilities == null) throw new ModelError("'infer' gave no 'ids' and 'probabilities'");
        List<Suggestion> found = new ArrayList<>();
        int[] best = words.ints();
        float[] likely = probabilities.floats();
        for (int i = 0; i < best.length && i < count; i++) {
            found.add(new Suggestion(tokenizer.word(best[i]), likely[i]));
        }
        return found;
    }

    @Override
    public void close() {
        trainer.close();
    }
}
