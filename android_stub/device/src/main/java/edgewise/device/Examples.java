package edgewise.device;

import edgewise.wire.model.Manifest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Numbered examples that can be made into batches of the graph's shape. */
public interface Examples {
    /** Where an example stands in a batch: its number, and the row and the column where it begins. */
    record Place(int number, int row, int column) {}

    /** Returns how many examples there are. */
    int size();

    /** Returns what stands in each batch: every example of {@code order} once, a function of the order alone. */
    List<List<Place>> plan(int[] order);

    /** Returns one batch of a plan; what is left of it is zero, weight included. */
    Map<String, Tensor> batch(List<Place> places);

    /**
     * Sentences for a next-word model; {@code edge/edgewise_edge/next_word.py} says what stands in a row. Where the graph
     * allows it, a row holds several short ones ({@link Packing}).
     */
    final class NextWord implements Examples {
        private final int rows;
        private final int steps;
        private final boolean packs;
        private final boolean forEvaluation;
        private final int[][] sentences;

        /** One example a text that has words; a text's first {@code steps} words count. */
        public NextWord(Iterable<String> texts, Manifest manifest, boolean forEvaluation) {
            this(texts, new WordTokenizer(manifest.vocabulary()), manifest.batch(), manifest.steps(), manifest.packs(),
                    forEvaluation);
        }

        NextWord(Iterable<String> texts, WordTokenizer tokenizer, int rows, int steps, boolean packs,
                boolean forEvaluation) {
            this.rows = rows;
            this.steps = steps;
            this.packs = packs;
            this.forEvaluation = forEvaluation;
            List<int[]> found = new ArrayList<>();
            for (String text : texts) {
                int[] ids = tokenizer.encode(text);
                if (ids.length > 0) found.add(ids.length > steps ? Arrays.copyOf(ids, steps) : ids);
            }
            sentences = found.toArray(new int[0][]);
        }

        @Override
        public int size() {
            return sentences.length;
        }

        @Override
        public List<List<Place>> plan(int[] order) {
            if (packs) return Packing.pack(order, this::length, rows, steps);
            List<List<Place>> batches = new ArrayList<>();
            for (int at = 0; at < order.length; at += rows) {
                List<Place> batch = new ArrayList<>();
                for (int row = 0; row < rows && at + row < order.length; row++) batch.add(new Place(order[at + row], row, 0));
                batches.add(batch);
            }
            return batches;
        }

        /** Returns how many columns a sentence takes: the start mark and all words but the last, or the words that fit. */
        private int length(int number) {
            return Math.min(sentences[number].length + 1, steps);
        }

        @Override
        public Map<String, Tensor> batch(List<Place> places) {
            int[] tokens = new int[rows * steps], labels = new int[rows * steps];
            float[] weight = new float[rows * steps];
            for (Place place : places) {
                int[] ids = sentences[place.number()];
                int at = place.row() * steps + place.column();
                tokens[at] = WordTokenizer.START;
                for (int i = 0; i < ids.length; i++) {
                    labels[at + i] = ids[i];
                    weight[at + i] = 1f;
                    if (i + 1 < length(place.number())) tokens[at + i + 1] = ids[i];
                }
                if (ids.length < steps) {
                    labels[at + ids.length] = WordTokenizer.END;
                    weight[at + ids.length] = forEvaluation ? 0f : 1f;
                }
            }
            Map<String, Tensor> made = new LinkedHashMap<>();
            made.put("tokens", Tensor.of(tokens, rows, steps));
            made.put("labels", Tensor.of(labels, rows, steps));
            made.put("weight", Tensor.of(weight, rows, steps));
            return made;
        }
    }
}
