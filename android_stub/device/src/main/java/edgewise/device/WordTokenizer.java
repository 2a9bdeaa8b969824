package edgewise.device;

import edgewise.wire.errors.DataError;
import edgewise.wire.model.Manifest;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Maps words to ids: 0 padding, 1 unknown word, 2 start mark, 3 end mark, then the vocabulary from 4 on.
 *
 * <p>A word is a run of {@code [A-Za-z0-9']}, lower-cased; everything else only separates. Only ASCII letters are
 * lower-cased, so that no language's Unicode tables decide an id. {@code tests/golden/tokenizer.json} pins it.
 */
public final class WordTokenizer {
    public static final int PAD = 0, UNKNOWN = 1, START = 2, END = 3, FIRST_WORD = 4;

    private final List<String> words;
    private final Map<String, Integer> ids = new HashMap<>();

    /** Throws {@link DataError} if a word is not one, stands twice, or there is none. */
    public WordTokenizer(List<String> words) {
        this.words = Collections.unmodifiableList(new ArrayList<>(words));
        if (words.isEmpty()) throw new DataError("vocabulary: expected at least one word, got none");
        for (int i = 0; i < words.size(); i++) {
            String word = words.get(i);
            if (!isWord(word)) {
                throw new DataError("vocabulary word " + i + ": expected a-z, 0-9 and ' only, got '" + brief(word) + "'");
            }
            if (ids.put(word, FIRST_WORD + i) != null) {
                throw new DataError("vocabulary word " + i + ": '" + brief(word) + "' stands twice");
            }
        }
    }

    private static String brief(String word) {
        return word.length() > 40 ? word.substring(0, 40) : word;
    }

    private static boolean isWord(String word) {
        for (int i = 0; i < word.length(); i++) if (lower(word.charAt(i)) != word.charAt(i)) return false;
        return !word.isEmpty();
    }

    /** Returns the letter as it stands in a word, 0 if it separates words. */
    private static char lower(char letter) {
        if (letter >= 'A' && letter <= 'Z') return (char) (letter + 32);
        return letter >= 'a' && letter <= 'z' || letter >= '0' && letter <= '9' || letter == '\'' ? letter : 0;
    }

    /** Returns the words of a text in order, known or not. */
    public static List<String> wordsOf(CharSequence text) {
        List<String> found = new ArrayList<>();
        StringBuilder word = new StringBuilder();
        for (int i = 0; i <= text.length(); i++) {
            char letter = i < text.length() ? lower(text.charAt(i)) : 0;
            if (letter != 0) {
                word.append(letter);
            } else if (word.length() > 0) {
                found.add(word.toString());
                word.setLength(0);
            }
        }
        return found;
    }

    /** Returns the model's vocabulary size: the four marks and the words. */
    public int size() {
        return FIRST_WORD + words.size();
    }

    /** Returns the words by rank; the id of the first is 4. */
    public List<String> vocabulary() {
        return words;
    }

    /** Returns the SHA-256 of the vocabulary, as the manifest has it. */
    public String hash() {
        return Manifest.vocabularyHash(words);
    }

    /** Returns one id a word, without marks; a word outside the vocabulary is 1. */
    public int[] encode(CharSequence text) {
        List<String> found = wordsOf(text);
        int[] out = new int[found.size()];
        for (int i = 0; i < out.length; i++) {
            Integer id = ids.get(found.get(i));
            out[i] = id == null ? UNKNOWN : id;
        }
        return out;
    }

    /** Returns what to show for one id. Throws {@link DataError} if there is none. */
    public String word(int token) {
        if (token < 0 || token >= size()) throw new DataError("token id " + token + ": expected 0 to " + (size() - 1));
        String[] marks = {"<pad>", "<unknown>", "<start>", "<end>"};
        return token < FIRST_WORD ? marks[token] : words.get(token - FIRST_WORD);
    }
}
