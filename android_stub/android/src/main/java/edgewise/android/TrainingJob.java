package edgewise.android;

import android.app.job.JobInfo;
import android.app.job.JobScheduler;
import android.content.ComponentName;
import android.content.Context;
import java.util.concurrent.TimeUnit;

/** When Android may let the phone take part: charging, idle, on an unmetered network, again after a restart. */
final class TrainingJob {
    static final int ID = 0x4557; // "EW"; an app's own jobs must not have it
    private static final long PERIOD = TimeUnit.HOURS.toMillis(1);

    private TrainingJob() {}

    static JobInfo describe(Context context) {
        return new JobInfo.Builder(ID, new ComponentName(context, TrainingJobService.class))
                .setRequiresCharging(true)
                .setRequiresDeviceIdle(true)
                .setRequiredNetworkType(JobInfo.NETWORK_TYPE_UNMETERED)
                .setPersisted(true)
                .setPeriodic(PERIOD)
                .build();
    }

    /** Plans the job; once planned, planning it again would only put it off. */
    static void schedule(Context context) {
        JobScheduler scheduler = (JobScheduler) context.getSystemService(Context.JOB_SCHEDULER_SERVICE);
        if (scheduler.getPendingJob(ID) == null) scheduler.schedule(describe(context));
    }

    static void cancel(Context context) {
        ((JobScheduler) context.getSystemService(Context.JOB_SCHEDULER_SERVICE)).cancel(ID);
    }
}
