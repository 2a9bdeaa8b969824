package androidx.test.runner.intent;

/** Told of intents; nobody asks it here. */
public interface IntentMonitor {}
