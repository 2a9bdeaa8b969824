package edgewise.android;

import android.app.job.JobParameters;
import android.app.job.JobService;
import android.util.Log;
import edgewise.device.Agent;
import edgewise.wire.errors.EdgewiseError;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Takes part while Android allows it, in a thread of its own and at the lowest priority. When the owner takes up the phone,
 * unplugs it or leaves the network, Android calls {@link #onStopJob} and training ends between two batches; the assignment
 * in work stays on disk for the next job.
 */
public final class TrainingJobService extends JobService {
    private static final String TAG = "edgewise";
    private static final double STEP_SECONDS = 1;
    private static final long UNASKED_NANOS = 300_000_000_000L; // nobody asked for so long: another time

    private static final Object ONE = new Object(); // an agent at a time: the one before may be in its last batch

    private AtomicBoolean stop;

    @Override
    public boolean onStartJob(JobParameters parameters) {
        AtomicBoolean mine = stop = new AtomicBoolean();
        Thread thread = new Thread(() -> {
            android.os.Process.setThreadPriority(android.os.Process.THREAD_PRIORITY_BACKGROUND);
            synchronized (ONE) {
                if (!mine.get()) takePart(mine);
            }
            if (!mine.get()) jobFinished(parameters, false);
        }, "edgewise-training");
        thread.start();
        return true;
    }

    @Override
    public boolean onStopJob(JobParameters parameters) {
        if (stop != null) stop.set(true); // at once: this runs in the app's main thread
        return true; // plan it anew
    }

    private void takePart(AtomicBoolean stop) {
        try (Agent agent = Edgewise.get(this).agent()) {
            long last = System.nanoTime();
            while (!stop.get() && System.nanoTime() - last < UNASKED_NANOS) {
                agent.step(STEP_SECONDS);
                if (agent.working()) last = System.nanoTime();
            }
        } catch (EdgewiseError error) {
            Log.w(TAG, error.getMessage());
        }
    }
}
