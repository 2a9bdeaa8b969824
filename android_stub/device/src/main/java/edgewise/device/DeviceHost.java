package edgewise.device;

import edgewise.device.store.ExampleStore;
import edgewise.wire.Messages.Kind;
import edgewise.wire.errors.ModelError;
import edgewise.wire.model.Manifest;
import java.io.File;
import java.util.Arrays;
import java.util.List;

/** A device with an example store and a TFLite runtime. */
public final class DeviceHost implements Host {
    private static final String TASK = "next-word";

    private final Home home;
    private final ExampleStore store;
    private final Runtime runtime;
    private final List<Condition> conditions;
    private byte[] loadedHash;
    private Trainer loaded;

    public DeviceHost(Home home, ExampleStore store, Runtime runtime, List<Condition> conditions) {
        this.home = home;
        this.store = store;
        this.runtime = runtime;
        this.conditions = conditions;
    }

    @Override
    public String runtime() {
        return runtime.name();
    }

    @Override
    public Counts counts() {
        store.enforce();
        return new Counts(store.count(false), store.count(true));
    }

    @Override
    public List<String> texts() {
        return store.texts(false);
    }

    @Override
    public String obstacle() {
        if (home.paused.exists()) return "paused by its owner";
        for (Condition condition : conditions) {
            String why = condition.obstacle();
            if (why != null) return why;
        }
        return null;
    }

    @Override
    public Trainer trainer(File graph, byte[] graphHash) {
        if (loaded == null || !Arrays.equals(loadedHash, graphHash)) {
            release(); // two graphs at once would not fit a small device
            loaded = new Trainer(graph, runtime);
            loadedHash = graphHash;
        }
        return loaded;
    }

    @Override
    public Examples examples(Manifest manifest, int kind) {
        if (!manifest.task().equals(TASK)) {
            throw new ModelError("model task '" + manifest.task() + "': this device knows " + TASK);
        }
        boolean evaluate = kind == Kind.EVALUATE;
        return new Examples.NextWord(store.texts(evaluate), manifest, evaluate);
    }

    @Override
    public void release() {
        if (loaded != null) loaded.close();
        loaded = null;
        loadedHash = null;
    }
}
