package edgewise.device;

import java.util.LinkedHashMap;
import java.util.Map;

/** Numbered examples that can be made into batches of the graph's shape. */
public interface Examples {
    /** Returns how many examples there are. */
    int size();

    /** Returns the rows of a batch. */
    int batchRows();

    /** Returns the examples {@code order[from]} and on as one batch, filled up with rows of zeros, weight included. */
    Map<String, Tensor> batch(int[] order, int from);

    /** Returns how many batches {@code count} examples make. */
    default int batchesOf(int count) {
        return (count + batchRows() - 1) / batchRows();
    }

    /** Sentences as rows for a next-word model; {@code edge/edgewise_edge/next_word.py} says what stands in them. */
    final class NextWord implements Examples {
        private final int batch;
        private final int steps;
        private final int[][] sentences;
        private final boolean forEvaluation;

        /** One row a text that has words; a text's first {@code steps} words count. */
        public NextWord(Iterable<String> texts, WordTokenizer tokenizer, int batch, int steps, boolean forEvaluation) {
            this.batch = batch;
            this.steps = steps;
            this.forEvaluation = forEvaluation;
            java.util.List<int[]> rows = new java.util.ArrayList<>();
            for (String text : texts) {
                int[] ids = tokenizer.encode(text);
                if (ids.length > 0) rows.add(ids.length > steps ? java.util.Arrays.copyOf(ids, steps) : ids);
            }
            sentences = rows.toArray(new int[0][]);
        }

        @Override
        public int size() {
            return sentences.length;
        }

        @Override
        public int batchRows() {
            return batch;
        }

        @Override
        public Map<String, Tensor> batch(int[] order, int from) {
            int[] tokens = new int[batch * steps], labels = new int[batch * steps];
            float[] weight = new float[batch * steps];
            for (int row = 0; row < batch && from + row < order.length; row++) {
                int[] ids = sentences[order[from + row]];
                int at = row * steps;
                tokens[at] = WordTokenizer.START;
                for (int i = 0; i < ids.length; i++) {
                    labels[at + i] = ids[i];
                    weight[at + i] = 1f;
                    if (i + 1 < steps) tokens[at + i + 1] = ids[i];
                }
                if (ids.length < steps) {
                    labels[at + ids.length] = WordTokenizer.END;
                    weight[at + ids.length] = forEvaluation ? 0f : 1f;
                }
            }
            Map<String, Tensor> made = new LinkedHashMap<>();
            made.put("tokens", Tensor.of(tokens, batch, steps));
            made.put("labels", Tensor.of(labels, batch, steps));
            made.put("weight", Tensor.of(weight, batch, steps));
            return made;
        }
    }
}
