package androidx.test.runner.lifecycle;

import android.app.Activity;

/** Told of an activity's life. */
public interface ActivityLifecycleCallback {
    void onActivityLifecycleChanged(Activity activity, Stage stage);
}
