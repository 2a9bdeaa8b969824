package edgewise.desktop;

import edgewise.device.Agent;
import edgewise.device.Clock;
import edgewise.device.DeviceHost;
import edgewise.device.Home;
import edgewise.device.Host;
import edgewise.device.Identity;
import edgewise.device.Policy;
import edgewise.device.Trust;
import edgewise.device.store.Database;
import edgewise.device.store.ExampleStore;
import edgewise.device.transport.Transport;
import edgewise.wire.Blobs;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.BlobChunk;
import edgewise.wire.Messages.BlobRef;
import edgewise.wire.Messages.Body;
import edgewise.wire.Messages.Envelope;
import edgewise.wire.Topics;
import edgewise.wire.Weights;
import edgewise.wire.codec.Codec;
import edgewise.wire.model.Artifact;
import java.io.File;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import org.junit.jupiter.api.Assumptions;

/** A device with the real trainer over the real model file, a link in memory, and a clock that is moved by hand. */
final class Rig implements Clock, Transport {
    static final File MODEL = new File(System.getProperty("edgewise.fixtures", "../../build/fixtures"), "tiny.tflite");
    static final String FLEET = "home", DEVICE = "jvm";

    final Home home;
    final ExampleStore store;
    final byte[] graph;
    final byte[] weights;
    final BlobRef graphRef;
    final BlobRef weightsRef;
    final Map<BlobRef, byte[]> blobs = new LinkedHashMap<>();
    final List<Envelope> said = new Said();
    final List<String> saidOn = new ArrayList<>();
    final Set<String> everAsked = new LinkedHashSet<>();
    final Set<String> topics = new LinkedHashSet<>();
    final Deque<Event> events = new ArrayDeque<>();
    Policy policy = new Policy();
    String obstacle;
    Trust trust = Trust.NOBODY_IS_ASKED;
    double now = 1000;
    int calls;
    int killAt;
    private final List<JdbcDatabase> open = new ArrayList<>();
    private long messageId;
    private Agent agent;

    Rig(File folder) {
        Assumptions.assumeTrue(MODEL.isFile(), "no " + MODEL + ": make fixtures");
        home = new Home(folder);
        store = new ExampleStore(home.examples, JdbcDatabase::new, () -> new ExampleStore.Limits(0, 0, 0), this::wall);
        for (int i = 0; i < 25; i++) store.add(Arrays.asList("see you at me", "we are on to it", "so it is").get(i % 3));
        Artifact artifact = Artifact.load(MODEL);
        graph = artifact.withWeights(new float[Weights.parameters(artifact.manifest().weights())]);
        weights = Weights.toBytes(artifact.weights());
        graphRef = Blobs.makeRef(graph);
        weightsRef = Blobs.makeRef(weights, 4000);
        blobs.put(graphRef, graph);
        blobs.put(weightsRef, weights);
    }

    /** The process is gone: nothing that is on the way goes on. */
    static final class Killed extends Error {}

    /** Counts what the agent asks of the world, and ends its process at one such moment. */
    private void touch() {
        if (++calls == killAt) throw new Killed();
    }

    @Override
    public double now() {
        touch();
        return now;
    }

    @Override
    public double wall() {
        return 1.7e9 + now;
    }

    /** What was said, and where: cleared together. */
    private final class Said extends ArrayList<Envelope> {
        @Override
        public void clear() {
            super.clear();
            saidOn.clear();
        }
    }

    /** Starts a process anew on the same folder; the one before is gone as if it had been killed. */
    Agent start() {
        for (JdbcDatabase db : open) db.close(); // a process that is gone holds no lock
        open.clear();
        said.clear();
        topics.clear();
        events.clear();
        Host host = new DeviceHost(home, store, new DesktopRuntime(), Collections.singletonList(() -> obstacle));
        Identity identity = new Identity(FLEET, DEVICE, (long) now);
        agent = new Agent(home, this, identity, host, this::database, this, () -> policy, () -> false, trust);
        events.add(new Connected());
        steps(3);
        return agent;
    }

    private Database database(File path) {
        JdbcDatabase db = new JdbcDatabase(path);
        open.add(db);
        return new Database() {
            private boolean whole; // SQLite itself answers for what is inside a transaction

            private <T> T between(Supplier<T> act) {
                if (!whole) touch();
                T found = act.get();
                if (!whole) touch();
                return found;
            }

            @Override
            public int execute(String statement, Object... values) {
                return between(() -> db.execute(statement, values));
            }

            @Override
            public long insert(String statement, Object... values) {
                return between(() -> db.insert(statement, values));
            }

            @Override
            public List<Object[]> query(String statement, Object... values) {
                return between(() -> db.query(statement, values));
            }

            @Override
            public void transaction(Runnable act) {
                whole = true;
                db.transaction(act);
                whole = false;
            }

            @Override
            public void close() {
                db.close();
            }
        };
    }

    void steps(int count) {
        for (int i = 0; i < count; i++) agent.step(0);
    }

    /** Lets the device work until it says a message of this kind. */
    <T extends Body> T until(Class<T> kind) {
        for (int i = 0; i < 500; i++) {
            T found = last(kind);
            if (found != null) return found;
            agent.step(0);
            serve();
        }
        throw new AssertionError("it never said a " + kind.getSimpleName() + ": " + said);
    }

    <T extends Body> T last(Class<T> kind) {
        T found = null;
        for (Envelope one : said) if (kind.isInstance(one.body())) found = kind.cast(one.body());
        return found;
    }

    <T extends Body> int count(Class<T> kind) {
        int count = 0;
        for (Envelope one : said) if (kind.isInstance(one.body())) count++;
        return count;
    }

    /** Delivers the retained chunks that the device asks for. */
    void serve() {
        for (String topic : new ArrayList<>(topics)) {
            for (Map.Entry<BlobRef, byte[]> blob : blobs.entrySet()) {
                BlobRef ref = blob.getKey();
                byte[] data = blob.getValue();
                for (int i = 0; i < Blobs.chunkCount(ref); i++) {
                    if (!topic.equals(Topics.blobChunk(FLEET, ref.hash(), i))) continue;
                    int at = (int) (i * ref.chunkBytes());
                    byte[] piece = Arrays.copyOfRange(data, at, at + Blobs.chunkLength(ref, i));
                    deliver(topic, 0, new BlobChunk(ref.hash(), i, piece));
                }
            }
        }
    }

    Assignment assignment() {
        return Assignment.ABSENT.withAttempt(1).withGraph(graphRef).withWeights(weightsRef).withLearningRate(0.5f)
                .withDeadline(600).withSeed(7).withEpochs(2);
    }

    /** Returns a message as a broker would deliver it once, or twice. */
    Message message(long round, Body body) {
        return new Message(Topics.deviceDown(FLEET, DEVICE), Codec.encode(new Envelope(FLEET, round, ++messageId, body, 1)));
    }

    void tell(long round, Body body) {
        deliver(Topics.deviceDown(FLEET, DEVICE), round, body);
    }

    void deliver(String topic, long round, Body body) {
        events.add(new Message(topic, Codec.encode(new Envelope(FLEET, round, ++messageId, body, 1))));
    }

    // The link

    @Override
    public void publish(String topic, byte[] payload, boolean retain, int qos) {
        touch();
        said.add(Codec.decode(payload));
        saidOn.add(topic);
    }

    @Override
    public void subscribe(String... wanted) {
        touch();
        topics.addAll(Arrays.asList(wanted));
        everAsked.addAll(Arrays.asList(wanted));
    }

    @Override
    public void unsubscribe(String... unwanted) {
        topics.removeAll(Arrays.asList(unwanted));
    }

    @Override
    public Event poll(double seconds) {
        touch();
        return events.poll();
    }

    @Override
    public void close() {}
}
