package edgewise.app;

import android.inputmethodservice.InputMethodService;
import android.text.InputType;
import android.view.KeyEvent;
import android.view.View;
import android.view.inputmethod.EditorInfo;
import android.view.inputmethod.InputConnection;
import android.widget.Button;
import android.widget.LinearLayout;
import edgewise.android.Edgewise;
import edgewise.device.Keyboard;
import java.util.ArrayList;
import java.util.List;

/**
 * A minimal keyboard: letters, a suggestion strip, and what was typed is kept on the phone to learn from. Nothing is kept
 * of passwords, of fields that hold no words, and where an app asks a keyboard not to learn.
 */
public final class KeyboardService extends InputMethodService {
    static final int SUGGESTIONS = 3;
    private static final String[] ROWS = {"qwertyuiop", "asdfghjkl'", "zxcvbnm.,?"};
    private static final int NO_PERSONALIZED_LEARNING = 0x1000000; // EditorInfo's, from API 26 on

    private final Keyboard keyboard = new Keyboard(SUGGESTIONS);
    private final List<Button> strip = new ArrayList<>();
    private boolean learns;

    @Override
    public View onCreateInputView() {
        LinearLayout all = new LinearLayout(this);
        all.setOrientation(LinearLayout.VERTICAL);
        LinearLayout suggestions = row(all);
        strip.clear();
        for (int i = 0; i < SUGGESTIONS; i++) {
            Button button = key(suggestions, "", 1);
            button.setOnClickListener(view -> accept(((Button) view).getText().toString()));
            strip.add(button);
        }
        for (String letters : ROWS) {
            LinearLayout row = row(all);
            for (int i = 0; i < letters.length(); i++) {
                String letter = letters.substring(i, i + 1);
                key(row, letter, 1).setOnClickListener(view -> type(letter));
            }
        }
        LinearLayout last = row(all);
        key(last, "⌫", 2).setOnClickListener(view -> erase());
        key(last, "space", 5).setOnClickListener(view -> type(" "));
        key(last, "⏎", 2).setOnClickListener(view -> enter());
        show();
        return all;
    }

    private LinearLayout row(LinearLayout parent) {
        LinearLayout row = new LinearLayout(this);
        parent.addView(row, new LinearLayout.LayoutParams(LinearLayout.LayoutParams.MATCH_PARENT,
                LinearLayout.LayoutParams.WRAP_CONTENT));
        return row;
    }

    private Button key(LinearLayout row, String text, int width) {
        Button button = new Button(this);
        button.setAllCaps(false);
        button.setText(text);
        button.setPadding(0, 0, 0, 0);
        button.setMinWidth(0);
        button.setMinimumWidth(0);
        row.addView(button, new LinearLayout.LayoutParams(0, LinearLayout.LayoutParams.WRAP_CONTENT, width));
        return button;
    }

    @Override
    public void onStartInput(EditorInfo info, boolean restarting) {
        super.onStartInput(info, restarting);
        learns = learnsFrom(info);
        keyboard.enter(); // another field: what stood in the one before is no beginning of what comes
        keyboard.setPredictor(Edgewise.suggestions());
    }

    @Override
    public void onFinishInput() {
        super.onFinishInput();
        keep(); // a message is often sent by the app's own button
    }

    /** Returns whether what is typed into a field may be kept. */
    static boolean learnsFrom(EditorInfo info) {
        if ((info.inputType & InputType.TYPE_MASK_CLASS) != InputType.TYPE_CLASS_TEXT) return false;
        if ((info.imeOptions & NO_PERSONALIZED_LEARNING) != 0) return false;
        switch (info.inputType & InputType.TYPE_MASK_VARIATION) {
            case InputType.TYPE_TEXT_VARIATION_PASSWORD:
            case InputType.TYPE_TEXT_VARIATION_VISIBLE_PASSWORD:
            case InputType.TYPE_TEXT_VARIATION_WEB_PASSWORD:
            case InputType.TYPE_TEXT_VARIATION_EMAIL_ADDRESS:
            case InputType.TYPE_TEXT_VARIATION_WEB_EMAIL_ADDRESS:
            case InputType.TYPE_TEXT_VARIATION_URI:
            case InputType.TYPE_TEXT_VARIATION_PERSON_NAME:
            case InputType.TYPE_TEXT_VARIATION_POSTAL_ADDRESS:
                return false;
            default:
                return true;
        }
    }

    void type(String letters) {
        keyboard.insert(letters);
        commit(letters);
        show();
    }

    void accept(String word) {
        if (word.isEmpty()) return;
        InputConnection connection = getCurrentInputConnection();
        if (connection != null) connection.deleteSurroundingText(keyboard.letters(), 0);
        commit(keyboard.accept(word));
        show();
    }

    void erase() {
        keyboard.erase();
        InputConnection connection = getCurrentInputConnection();
        if (connection != null) connection.deleteSurroundingText(1, 0);
        show();
    }

    void enter() {
        keep();
        InputConnection connection = getCurrentInputConnection();
        EditorInfo info = getCurrentInputEditorInfo();
        int action = info == null ? EditorInfo.IME_ACTION_NONE : info.imeOptions & EditorInfo.IME_MASK_ACTION;
        if (connection != null) {
            if (action == EditorInfo.IME_ACTION_NONE || action == EditorInfo.IME_ACTION_UNSPECIFIED) {
                sendDownUpKeyEvents(KeyEvent.KEYCODE_ENTER);
            } else {
                connection.performEditorAction(action);
            }
        }
        show();
    }

    /** Keeps the sentence on the phone, if the field may be learned from. */
    private void keep() {
        String sentence = keyboard.enter();
        if (learns && !sentence.isEmpty()) Edgewise.addExample(sentence);
    }

    private void commit(String text) {
        InputConnection connection = getCurrentInputConnection();
        if (connection != null) connection.commitText(text, 1);
    }

    private void show() {
        List<String> words = keyboard.suggestions();
        for (int i = 0; i < strip.size(); i++) strip.get(i).setText(i < words.size() ? words.get(i) : "");
    }

    Keyboard keyboard() {
        return keyboard;
    }
}
