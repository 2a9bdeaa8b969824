package edgewise.device;

import static org.junit.jupiter.api.Assertions.assertEquals;

import edgewise.device.Predictor.Suggestion;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** While a word is begun, the suggestions begin like it; the model is asked once a word. */
class KeyboardTest {
    private int asked;
    private final Keyboard keyboard = new Keyboard(3);

    private final Keyboard.Suggests model = new Keyboard.Suggests() {
        @Override
        public List<String> words() {
            return Arrays.asList("you", "the", "at", "there", "to");
        }

        @Override
        public List<Suggestion> suggest(String text, int count) {
            asked++;
            return Arrays.asList(new Suggestion("at", 0.5f), new Suggestion("the", 0.3f), new Suggestion("you", 0.1f));
        }
    };

    @Test
    void suggestionsFollowWhatIsTyped() {
        assertEquals(List.of(), keyboard.suggestions()); // no model yet
        keyboard.setPredictor(model);
        keyboard.insert("See ");
        assertEquals(List.of("at", "the", "you"), keyboard.suggestions());
        keyboard.insert("T");
        assertEquals(List.of("the", "there", "to"), keyboard.suggestions());
        keyboard.insert("h");
        assertEquals(List.of("the", "there"), keyboard.suggestions());
        assertEquals(1, asked);
        assertEquals(2, keyboard.letters());
        keyboard.accept("there");
        assertEquals("See there ", keyboard.text());
        keyboard.erase();
        assertEquals("See there", keyboard.enter());
        assertEquals("", keyboard.text());
    }
}
