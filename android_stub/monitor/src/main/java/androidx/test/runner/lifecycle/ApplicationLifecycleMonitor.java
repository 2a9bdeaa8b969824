package androidx.test.runner.lifecycle;

/** Knows where the application is in its life; nobody asks it here. */
public interface ApplicationLifecycleMonitor {}
