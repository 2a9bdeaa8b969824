package edgewise.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import android.text.InputType;
import android.view.ViewGroup;
import android.view.inputmethod.EditorInfo;
import android.widget.Button;
import android.widget.LinearLayout;
import edgewise.android.Edgewise;
import edgewise.device.Predictor;
import edgewise.device.store.ParticipationLog.Entry;
import edgewise.device.store.ParticipationLog.Outcome;
import java.util.Arrays;
import java.util.List;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;

/** The keyboard keeps sentences, never passwords; the screen shows what was kept and sent. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 35)
public class KeyboardServiceTest {
    private KeyboardService service;
    private LinearLayout view;

    @Before
    public void open() {
        Edgewise.open(RuntimeEnvironment.getApplication());
        Edgewise.forget();
        service = Robolectric.setupService(KeyboardService.class);
        view = (LinearLayout) service.onCreateInputView();
    }

    private static EditorInfo field(int variation) {
        EditorInfo info = new EditorInfo();
        info.inputType = InputType.TYPE_CLASS_TEXT | variation;
        return info;
    }

    private Button find(ViewGroup parent, String text) {
        for (int i = 0; i < parent.getChildCount(); i++) {
            if (parent.getChildAt(i) instanceof Button button && button.getText().toString().equals(text)) return button;
            if (parent.getChildAt(i) instanceof ViewGroup group && find(group, text) != null) return find(group, text);
        }
        return null;
    }

    private void write(String text) {
        for (String letter : text.split("")) find(view, letter.equals(" ") ? "space" : letter).performClick();
    }

    private static void until(int examples) throws InterruptedException {
        for (int i = 0; i < 200 && Edgewise.examples() < examples; i++) Thread.sleep(10);
        assertEquals(examples, Edgewise.examples());
    }

    @Test
    public void whatIsTypedIsKeptAndPasswordsAreNot() throws Exception {
        service.onStartInput(field(InputType.TYPE_TEXT_VARIATION_PASSWORD), false);
        write("secret");
        find(view, "⏎").performClick();
        service.onStartInput(field(InputType.TYPE_TEXT_VARIATION_SHORT_MESSAGE), false);
        write("see yoo");
        find(view, "⌫").performClick();
        write("u");
        find(view, "⏎").performClick();
        write("an app sends it");
        service.onFinishInput(); // by a button of its own
        until(2);
        assertEquals(Arrays.asList("see you", "an app sends it"),
                Arrays.asList(Edgewise.kept(2).get(0).text(), Edgewise.kept(2).get(1).text()));
    }

    @Test
    public void fieldsThatHoldNoSentencesAreNotLearnedFrom() {
        assertTrue(KeyboardService.learnsFrom(field(InputType.TYPE_TEXT_VARIATION_NORMAL)));
        for (int variation : new int[] {InputType.TYPE_TEXT_VARIATION_PASSWORD, InputType.TYPE_TEXT_VARIATION_URI,
                InputType.TYPE_TEXT_VARIATION_VISIBLE_PASSWORD, InputType.TYPE_TEXT_VARIATION_EMAIL_ADDRESS}) {
            assertFalse(KeyboardService.learnsFrom(field(variation)));
        }
        EditorInfo number = new EditorInfo();
        number.inputType = InputType.TYPE_CLASS_NUMBER;
        assertFalse(KeyboardService.learnsFrom(number));
        EditorInfo incognito = field(InputType.TYPE_TEXT_VARIATION_NORMAL);
        incognito.imeOptions = 0x1000000;
        assertFalse(KeyboardService.learnsFrom(incognito));
    }

    @Test
    public void theStripShowsWordsAndTakesOne() {
        service.onStartInput(field(InputType.TYPE_TEXT_VARIATION_NORMAL), false);
        service.keyboard().setPredictor(new edgewise.device.Keyboard.Suggests() {
            @Override
            public List<String> words() {
                return Arrays.asList("you", "at", "the");
            }

            @Override
            public List<Predictor.Suggestion> suggest(String text, int count) {
                return Arrays.asList(new Predictor.Suggestion("at", 0.5f), new Predictor.Suggestion("you", 0.2f));
            }
        });
        write("see ");
        assertTrue(find(view, "at") != null && find(view, "you") != null);
        write("y");
        find(view, "you").performClick();
        assertEquals("see you ", service.keyboard().text());
    }

    @Test
    public void theScreenSaysWhatIsKeptAndWhatWasSent() {
        try (ActivityController<MainActivity> screen = Robolectric.buildActivity(MainActivity.class).setup()) {
            ViewGroup root = (ViewGroup) screen.get().findViewById(android.R.id.content);
            find(root, "Pause: keep nothing, send nothing").performClick();
            assertTrue(Edgewise.isPaused());
            find(root, "Go on learning").performClick();
            assertFalse(Edgewise.isPaused());
            find(root, "Let updates leave only inside sums of many").performClick();
            assertEquals(1, Edgewise.policy().get("require_secure_aggregation"), 0);
            find(root, "Updates leave this phone only inside sums").performClick();
            assertEquals(0, Edgewise.policy().get("require_secure_aggregation"), 0);
        }
        Entry entry = new Entry("", 7, 1, "train", Outcome.REPORTED, "counted", 1.7e9, 1.7e9, 20, 5, 3.0, 0.1, 2.0, 10,
                1_420_000, 0.5, 1.0);
        String line = MainActivity.describe(entry);
        assertTrue(line, line.contains("round 7 reported, an update of 1.42 MB sent, no longer than 0.5, noise of 1 promised (counted)"));
        assertTrue(MainActivity.describe(of("discover", Outcome.REPORTED)).contains("votes for beginnings of words sent"));
        assertTrue(MainActivity.describe(of("evaluate", Outcome.REPORTED)).contains("how well the model foresees words"));
        assertTrue(MainActivity.describe(of("train", Outcome.DECLINED)).contains("declined, nothing of training sent"));
    }

    private static Entry of(String kind, Outcome outcome) {
        return new Entry("", 7, 1, kind, outcome, "", 1.7e9, 1.7e9, 20, 5, null, null, 2.0, 10, 0, 0, 0);
    }
}
