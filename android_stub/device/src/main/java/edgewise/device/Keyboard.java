package edgewise.device;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * What is being typed, and what may follow: letters in, a line and suggestions out. While a word is begun, the suggestions
 * are words that begin like it: the model's first, then the vocabulary's. The model is asked once a word, not once a letter.
 */
public final class Keyboard {
    private static final int TEXT_MAX = 2000, ASKED = 50;

    /** What a keyboard needs of a {@link Predictor}. */
    public interface Suggests {
        List<String> words();

        List<Predictor.Suggestion> suggest(String text, int count);
    }

    private final StringBuilder text = new StringBuilder();
    private final int count;
    private Suggests predictor;
    private String context;
    private List<String> ranked = new ArrayList<>();

    public Keyboard(int count) {
        this.count = count;
    }

    /** Takes another model; {@code null} for none yet, which suggests nothing. */
    public void setPredictor(Suggests predictor) {
        this.predictor = predictor;
        context = null;
    }

    public String text() {
        return text.toString();
    }

    /** Returns the words that may come here, likeliest first. */
    public List<String> suggestions() {
        List<String> found = new ArrayList<>();
        if (predictor == null) return found;
        int at = begun();
        String before = text.substring(0, at), start = text.substring(at).toLowerCase(Locale.ROOT);
        if (!before.equals(context)) {
            context = before;
            ranked = new ArrayList<>();
            for (Predictor.Suggestion one : predictor.suggest(before, ASKED)) ranked.add(one.word());
        }
        for (String word : ranked) if (word.startsWith(start) && found.size() < count) found.add(word);
        if (start.isEmpty()) return found;
        for (String word : predictor.words()) {
            if (found.size() >= count) break;
            if (word.startsWith(start) && !found.contains(word)) found.add(word);
        }
        return found;
    }

    /** Types letters; what is no character of a text is left out. */
    public void insert(String letters) {
        for (int i = 0; i < letters.length() && text.length() < TEXT_MAX; i++) {
            if (!Character.isISOControl(letters.charAt(i))) text.append(letters.charAt(i));
        }
    }

    /** Takes a suggestion for the word that is begun, or the next one; returns what to replace it with. */
    public String accept(String word) {
        text.setLength(begun());
        text.append(word).append(' ');
        return word + " ";
    }

    /** Returns how many letters of a word are typed. */
    public int letters() {
        return text.length() - begun();
    }

    public void erase() {
        if (text.length() > 0) text.setLength(text.length() - 1);
    }

    /** Ends the sentence and returns it, empty if there was none. */
    public String enter() {
        String sentence = text.toString().trim();
        text.setLength(0);
        return sentence;
    }

    private int begun() {
        int at = text.length();
        while (at > 0 && !Character.isWhitespace(text.charAt(at - 1))) at--;
        return at;
    }
}
