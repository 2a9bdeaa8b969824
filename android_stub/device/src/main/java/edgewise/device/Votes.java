package edgewise.device;

import edgewise.wire.Files;
import edgewise.wire.Blobs;
import edgewise.wire.random.Pcg64;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * A device's votes for the fleet's words: prefixes of its own that prolong what was found so far; the same as
 * {@code edge/edgewise_edge/votes.py}.
 */
final class Votes extends LocalTraining {
    /** Votes for a word that is over, in the place of its next character. */
    static final String END = "\n";
    private static final int WORD_CHARACTERS = 32; // longer ones are no words

    /** What it yields: different prefixes, in their order. */
    record Chosen(List<String> prefixes) implements Result {
        @Override
        public int examples() {
            return 1;
        }
    }

    private final List<String> texts;
    private final File found;
    private final int length;
    private final int most;
    private final Pcg64 rng;
    private Chosen result;

    /** Votes on what stands in the blob {@code found}, a prefix a line. */
    Votes(List<String> texts, File found, long length, long most, Pcg64 rng) {
        this.texts = texts;
        this.found = found;
        this.length = (int) Math.min(length, WORD_CHARACTERS + 2);
        this.most = (int) Math.min(most, Integer.MAX_VALUE);
        this.rng = rng;
    }

    @Override
    public Step next() {
        String known = new String(Files.read(found, Blobs.BYTES_MAX), StandardCharsets.UTF_8);
        List<String> chosen = votes(texts, Arrays.asList(known.split("\n", -1)), length, most, rng);
        Collections.sort(chosen);
        result = new Chosen(chosen);
        return new Step(1, 1, 0f);
    }

    @Override
    public Chosen result() {
        return result;
    }

    /**
     * Returns at most {@code most} different prefixes of {@code length} characters (the end mark counted), the likeliest
     * first.
     *
     * @param found the prefixes one shorter; of length 1 everything may be voted for
     * @param most 1 draws a word as likely as it is frequent (TrieHH); more takes the most frequent words
     */
    static List<String> votes(List<String> texts, List<String> found, int length, int most, Pcg64 rng) {
        Map<String, Integer> counted = new TreeMap<>();
        for (String text : texts) {
            for (String word : WordTokenizer.wordsOf(text)) {
                if (word.length() <= WORD_CHARACTERS) counted.put(word, counted.getOrDefault(word, 0) + 1);
            }
        }
        List<String> ranked = new ArrayList<>(counted.keySet());
        if (most == 1 && !ranked.isEmpty()) ranked = Collections.singletonList(drawn(counted, rng));
        else Collections.sort(ranked, (one, two) -> counted.get(two) - counted.get(one)); // stable: then by the alphabet
        return prolonging(ranked, new HashSet<>(found), length, most);
    }

    /** Returns a word as likely as it is frequent: what NumPy's {@code choice} draws. */
    private static String drawn(Map<String, Integer> counted, Pcg64 rng) {
        double total = 0, sum = 0;
        for (int count : counted.values()) total += count;
        double[] shares = new double[counted.size()];
        int n = 0;
        for (int count : counted.values()) shares[n++] = sum += count / total;
        double die = rng.random();
        n = 0;
        for (String word : counted.keySet()) {
            if (shares[n++] / sum > die || n == shares.length) return word;
        }
        throw new IllegalStateException("no word");
    }

    private static List<String> prolonging(Collection<String> ranked, Set<String> known, int length, int most) {
        Set<String> prefixes = new LinkedHashSet<>();
        for (String word : ranked) {
            String whole = word + END;
            if (whole.length() < length) continue;
            String prefix = whole.substring(0, length);
            if (length > 1 && !known.contains(prefix.substring(0, length - 1))) continue;
            prefixes.add(prefix);
            if (prefixes.size() == most) break;
        }
        return new ArrayList<>(prefixes);
    }
}
