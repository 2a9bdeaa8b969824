package edgewise.app;

import android.app.Application;
import edgewise.android.Edgewise;

/** Opens what is on the phone when the process starts: for the keyboard, the screen or the job, whichever is first. */
public final class App extends Application {
    @Override
    public void onCreate() {
        super.onCreate();
        Edgewise.open(this);
    }
}
