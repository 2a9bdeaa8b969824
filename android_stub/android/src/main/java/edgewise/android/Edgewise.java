package edgewise.android;

import android.annotation.SuppressLint;
import android.content.Context;
import android.util.Log;
import edgewise.device.Agent;
import edgewise.device.Bundle;
import edgewise.device.Clock;
import edgewise.device.DeviceHost;
import edgewise.device.Home;
import edgewise.device.Host;
import edgewise.device.Identity;
import edgewise.device.Keyboard;
import edgewise.device.Policy;
import edgewise.device.Predictor;
import edgewise.device.Runtime;
import edgewise.device.store.ExampleStore;
import edgewise.device.store.ParticipationLog;
import edgewise.device.transport.MqttTransport;
import edgewise.wire.Files;
import edgewise.wire.errors.ConfigError;
import edgewise.wire.errors.EdgewiseError;
import edgewise.wire.errors.RefusedError;
import edgewise.wire.errors.UnavailableError;
import java.io.File;
import java.io.IOException;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Learning on the phone, for an app, in three calls:
 *
 * <pre>
 * Edgewise.join(context, bundle);            // once: the file that `edgewise fleet enroll` made
 * Edgewise.addExample("see you at seven");   // whenever a sentence was typed; it stays on the phone
 * Edgewise.predict("see you");               // the likeliest next words
 * </pre>
 *
 * <p>Nothing in an app names a weight or a size: the model comes with the first round and says what it is. Rounds are taken
 * part in by a job that Android starts while the phone charges, is idle and has an unmetered network.
 */
public final class Edgewise {
    private static final String TAG = "edgewise", FOLDER = "edgewise", BUNDLE = "bundle.sealed";
    private static final int BUNDLE_BYTES_MAX = 1 << 20, SHOWN = 3;

    @SuppressLint("StaticFieldLeak") // the application's context, which lives as long
    private static Edgewise instance;
    private static Runtime runtime;
    private static Vault.Keys keys = new Vault.KeystoreKeys();

    private final Context context;
    private final Home home;
    private final Vault vault;
    private final ExampleStore store;
    private final ExecutorService worker = Executors.newSingleThreadExecutor();
    private final AtomicInteger forgotten = new AtomicInteger(); // how often: what began before must not go on
    private volatile boolean paused; // as the store has it, for whoever must not wait for the disk
    private final Object model = new Object(); // guards what follows
    private Predictor predictor;
    private String loaded = ""; // the worker's own

    private Edgewise(Context context) {
        this.context = context;
        home = new Home(new File(context.getNoBackupFilesDir(), FOLDER)); // a backup would carry the text away
        vault = new Vault(new File(home.path, BUNDLE), keys);
        store = new ExampleStore(home.examples, AndroidDatabase::new, this::keeping, Clock.SYSTEM::wall);
        paused = store.paused();
    }

    static synchronized Edgewise get(Context context) {
        if (instance == null) instance = new Edgewise(context.getApplicationContext());
        return instance;
    }

    private static synchronized Edgewise get() {
        if (instance == null) throw new ConfigError("call Edgewise.join(context, bundle) or Edgewise.open(context) first");
        return instance;
    }

    /** For tests: forgets this process's state, and uses another runtime and other keys. */
    static synchronized void reset(Runtime newRuntime, Vault.Keys newKeys) {
        if (instance != null) {
            instance.worker.shutdownNow();
            instance.store.close();
        }
        instance = null;
        runtime = newRuntime;
        keys = newKeys;
    }

    // What an app calls

    /**
     * Joins a fleet and plans to take part. The bundle is kept sealed with a key of the Android Keystore; call this once,
     * or again with a new bundle.
     *
     * @param bundle the bytes of the file that {@code edgewise fleet enroll} made for this phone
     * @throws ConfigError if it is no bundle, or its papers cannot be used
     */
    public static void join(Context context, byte[] bundle) {
        Bundle parsed = Bundle.parse(bundle);
        parsed.sockets(); // papers that cannot be used are refused now, not in the night
        parsed.trust();
        Edgewise self = get(context);
        self.vault.put(bundle);
        TrainingJob.schedule(self.context);
    }

    /** Joins with a bundle in a file; see {@link #join(Context, byte[])}. */
    public static void join(Context context, File bundle) {
        join(context, Files.read(bundle, BUNDLE_BYTES_MAX));
    }

    /** Opens what is on this phone, joined or not; an app calls it when it starts. Plans the job if it has joined. */
    public static void open(Context context) {
        Edgewise self = get(context);
        if (self.vault.exists()) TrainingJob.schedule(self.context);
    }

    /** Returns whether this phone has joined a fleet. */
    public static boolean isJoined() {
        return get().vault.exists();
    }

    /**
     * Keeps one sentence on the phone, to learn from; returns at once, the disk is written behind. An empty or a very long
     * one, and any while collecting is paused, is not kept.
     */
    public static void addExample(String text) {
        Edgewise self = get();
        if (self.paused) return;
        self.worker.execute(() -> {
            try {
                self.store.add(text);
            } catch (RefusedError paused) {
                Log.d(TAG, "not kept: collecting is paused");
            } catch (EdgewiseError error) {
                Log.w(TAG, "not kept: " + error.getClass().getSimpleName()); // never the text
            }
        });
    }

    /**
     * Returns the likeliest words after {@code prefix}, likeliest first; none before the first model has come. The model is
     * loaded in the background by the first call, which returns nothing.
     */
    public static List<Predictor.Suggestion> predict(String prefix) {
        Edgewise self = get();
        self.worker.execute(self::load);
        return self.suggest(prefix, SHOWN);
    }

    /** Returns what a {@link Keyboard} asks; like {@link #predict}, it suggests nothing before the first model has come. */
    public static Keyboard.Suggests suggestions() {
        Edgewise self = get();
        self.worker.execute(self::load);
        return new Keyboard.Suggests() {
            @Override
            public List<String> words() {
                synchronized (self.model) {
                    return self.predictor == null ? Collections.emptyList() : self.predictor.words();
                }
            }

            @Override
            public List<Predictor.Suggestion> suggest(String text, int count) {
                return self.suggest(text, count);
            }
        };
    }

    /** Returns how many sentences are kept on this phone. */
    public static int examples() {
        Edgewise self = get();
        return self.store.count(false) + self.store.count(true);
    }

    /** Returns the newest sentences, for their owner to see. */
    public static List<ExampleStore.Example> kept(int limit) {
        return get().store.list(limit);
    }

    /** Returns what was asked of this phone, what it sent and when, newest first. */
    public static List<ParticipationLog.Entry> history(int limit) {
        try (ParticipationLog log = new ParticipationLog(get().home.participation, AndroidDatabase::new)) {
            return log.entries(limit);
        }
    }

    /**
     * Deletes every sentence, and what was learned from them and kept on this phone alone. What was sent earlier is part of
     * a sum with others and cannot be taken back.
     */
    public static void forget() {
        Edgewise self = get();
        self.forgotten.incrementAndGet();
        self.store.forgetAll();
        self.home.forgetWhatWasLearned();
    }

    /** Pauses or resumes both: keeping sentences, and taking part. */
    public static void setPaused(boolean paused) {
        Edgewise self = get();
        self.store.setPaused(paused);
        self.paused = paused;
        try {
            if (paused) self.home.paused.createNewFile();
            else self.home.paused.delete();
        } catch (IOException error) {
            throw new UnavailableError("not paused: " + error.getMessage(), error);
        }
    }

    public static boolean isPaused() {
        return get().store.paused();
    }

    /** Returns the owner's limits. */
    public static Policy policy() {
        return Policy.load(get().home.policy);
    }

    public static void setPolicy(Policy policy) {
        policy.save(get().home.policy);
    }

    /**
     * Leaves the fleet: the bundle and the Keystore's key that sealed it are destroyed, no job is planned; sentences stay
     * until {@link #forget}.
     */
    public static void leave() {
        Edgewise self = get();
        TrainingJob.cancel(self.context);
        self.vault.delete();
    }

    // What the job calls

    /** Returns an agent on this phone's folder. Throws {@code DataError} if the phone has not joined. */
    Agent agent() {
        Bundle bundle = Bundle.parse(vault.get());
        long session = new SecureRandom().nextLong() >>> 1;
        Identity identity = new Identity(bundle.fleet(), bundle.device(), session);
        PhoneCondition condition = new PhoneCondition(context, () -> Policy.load(home.policy));
        DeviceHost host = new DeviceHost(home, store, runtime(), Arrays.asList(condition, notForgotten()));
        MqttTransport transport = new MqttTransport(bundle.address(), bundle.fleet() + "." + bundle.device(),
                identity.will(), bundle.sockets());
        Agent agent = new Agent(home, transport, identity, host, AndroidDatabase::new, Clock.SYSTEM,
                () -> Policy.load(home.policy), () -> PhoneCondition.metered(context), bundle.trust());
        transport.start();
        return agent;
    }

    /** Returns what ends the work of an agent that has read what is now forgotten. */
    Host.Condition notForgotten() {
        int before = forgotten.get();
        return () -> forgotten.get() == before ? null : "its owner has forgotten everything";
    }

    private static synchronized Runtime runtime() {
        if (runtime == null) runtime = new InterpreterRuntime();
        return runtime;
    }

    private ExampleStore.Limits keeping() {
        Policy policy = Policy.load(home.policy);
        return new ExampleStore.Limits(86400 * policy.get("keep_days"), (long) policy.get("keep_examples"),
                (long) (Policy.MEGABYTE * policy.get("keep_megabytes")));
    }

    private List<Predictor.Suggestion> suggest(String prefix, int count) {
        synchronized (model) {
            return predictor == null ? Collections.emptyList() : predictor.suggest(prefix, count);
        }
    }

    /** Loads the latest model if it is another than the one that is loaded. */
    private void load() {
        String latest = home.model.isFile() ? home.model.lastModified() + " " + home.model.length() : "";
        if (latest.equals(loaded)) return;
        loaded = latest; // what cannot be loaded is not tried again until another model comes
        try {
            Predictor fresh = Predictor.open(home, runtime());
            synchronized (model) {
                if (predictor != null) predictor.close();
                predictor = fresh;
            }
        } catch (EdgewiseError error) {
            Log.w(TAG, "no suggestions: " + error.getMessage());
        }
    }
}
