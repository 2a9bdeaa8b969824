package edgewise.app;

import android.app.Activity;
import android.app.AlertDialog;
import android.content.Intent;
import android.os.Bundle;
import android.provider.Settings;
import android.view.inputmethod.InputMethodManager;
import android.widget.Button;
import android.widget.LinearLayout;
import android.widget.ScrollView;
import android.widget.TextView;
import edgewise.android.Edgewise;
import edgewise.device.store.ExampleStore.Example;
import edgewise.device.store.ParticipationLog.Entry;
import edgewise.device.store.ParticipationLog.Outcome;
import edgewise.wire.errors.EdgewiseError;
import edgewise.wire.transforms.Numbers;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.text.DateFormat;
import java.util.Date;
import java.util.Locale;

/** What is kept on the phone, what was sent and when, and how to end it: join, pause, forget, leave. */
public final class MainActivity extends Activity {
    private static final int OPEN_BUNDLE = 1, ROUNDS = 50, SENTENCES = 200, BUNDLE_BYTES_MAX = 1 << 20;

    private TextView status;
    private Button pause;
    private Button sums;

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        LinearLayout all = new LinearLayout(this);
        all.setOrientation(LinearLayout.VERTICAL);
        status = new TextView(this);
        button(all, "Join with a bundle file", this::openBundle);
        button(all, "Choose this keyboard", this::chooseKeyboard);
        pause = button(all, "", this::togglePause);
        sums = button(all, "", this::toggleSums);
        button(all, "What is kept on this phone", this::showKept);
        button(all, "Forget everything that was typed", this::askToForget);
        button(all, "Leave the fleet", this::leave);
        button(all, "Privacy", () -> dialog("Privacy", Privacy.TEXT));
        all.addView(status);
        ScrollView scroll = new ScrollView(this);
        scroll.addView(all);
        setContentView(scroll);
    }

    private Button button(LinearLayout parent, String text, Runnable act) {
        Button button = new Button(this);
        button.setAllCaps(false);
        button.setText(text);
        button.setOnClickListener(view -> {
            try {
                act.run();
            } catch (EdgewiseError error) {
                dialog("That did not work", error.getMessage());
            }
            refresh();
        });
        parent.addView(button);
        return button;
    }

    @Override
    protected void onResume() {
        super.onResume();
        refresh();
    }

    private void refresh() {
        pause.setText(Edgewise.isPaused() ? "Go on learning" : "Pause: keep nothing, send nothing");
        sums.setText(onlySums() ? "Updates leave this phone only inside sums" : "Let updates leave only inside sums of many");
        StringBuilder text = new StringBuilder();
        text.append(Edgewise.isJoined() ? "Joined." : "Not joined: nothing is ever sent.").append('\n');
        text.append(Edgewise.examples()).append(" sentences are kept on this phone, and never sent.\n\n");
        text.append("What was asked of this phone, and what it sent:\n");
        for (Entry entry : Edgewise.history(ROUNDS)) text.append(describe(entry)).append('\n');
        status.setText(text);
    }

    /** Returns one line on a round: when, what became of it, how much was sent, and how it was protected. */
    static String describe(Entry entry) {
        String when = DateFormat.getDateTimeInstance(DateFormat.SHORT, DateFormat.SHORT)
                .format(new Date((long) (entry.began() * 1000)));
        String sent = entry.bytesUp() > 0 ? String.format(Locale.ROOT, "an update of %.2f MB sent", entry.bytesUp() / 1e6)
                : entry.outcome() != Outcome.REPORTED ? "nothing of training sent"
                : entry.kind().equals("discover") ? "votes for beginnings of words sent"
                : "how well the model foresees words sent";
        if (entry.bytesUp() > 0 && entry.clip() > 0) sent += ", no longer than " + Numbers.general(entry.clip());
        if (entry.bytesUp() > 0 && entry.noise() > 0) sent += ", noise of " + Numbers.general(entry.noise()) + " promised";
        return when + ": round " + entry.round() + " " + entry.outcome().word() + ", " + sent
                + (entry.reason().isEmpty() ? "" : " (" + entry.reason() + ")");
    }

    private void openBundle() {
        Intent intent = new Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*");
        startActivityForResult(intent, OPEN_BUNDLE);
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        if (request != OPEN_BUNDLE || result != RESULT_OK || data == null || data.getData() == null) return;
        try (InputStream in = getContentResolver().openInputStream(data.getData())) {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            byte[] piece = new byte[1 << 13];
            for (int n; in != null && (n = in.read(piece)) > 0 && bytes.size() <= BUNDLE_BYTES_MAX; ) bytes.write(piece, 0, n);
            Edgewise.join(this, bytes.toByteArray());
        } catch (IOException | EdgewiseError error) {
            dialog("Not joined", error.getMessage());
        }
        refresh();
    }

    private void chooseKeyboard() {
        startActivity(new Intent(Settings.ACTION_INPUT_METHOD_SETTINGS));
        ((InputMethodManager) getSystemService(INPUT_METHOD_SERVICE)).showInputMethodPicker();
    }

    private void togglePause() {
        Edgewise.setPaused(!Edgewise.isPaused());
    }

    private static boolean onlySums() {
        return Edgewise.policy().get("require_secure_aggregation") > 0;
    }

    private void toggleSums() {
        Edgewise.setPolicy(Edgewise.policy().with("require_secure_aggregation", onlySums() ? 0 : 1));
    }

    private void showKept() {
        StringBuilder text = new StringBuilder();
        for (Example example : Edgewise.kept(SENTENCES)) text.append(example.text()).append('\n');
        dialog("The newest sentences on this phone", text.length() == 0 ? "None." : text.toString());
    }

    private void askToForget() {
        new AlertDialog.Builder(this).setTitle("Forget everything that was typed?")
                .setMessage("It is deleted from this phone for good. What was sent earlier is part of a sum with others.")
                .setNegativeButton(android.R.string.cancel, null)
                .setPositiveButton(android.R.string.ok, (dialog, which) -> {
                    try {
                        Edgewise.forget();
                    } catch (EdgewiseError error) {
                        dialog("Not all is forgotten", error.getMessage());
                    }
                    refresh();
                }).show();
    }

    private void leave() {
        Edgewise.leave();
    }

    private void dialog(String title, String text) {
        new AlertDialog.Builder(this).setTitle(title).setMessage(text)
                .setPositiveButton(android.R.string.ok, null).show();
    }
}
