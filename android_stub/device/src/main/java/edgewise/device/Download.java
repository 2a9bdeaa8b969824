package edgewise.device;

import edgewise.device.Link.Heard;
import edgewise.device.LocalTraining.Step;
import edgewise.wire.BlobAssembler;
import edgewise.wire.BlobStore;
import edgewise.wire.Blobs;
import edgewise.wire.ChunkSet;
import edgewise.wire.Messages.BlobChunk;
import edgewise.wire.Messages.BlobRef;
import edgewise.wire.Messages.BlobRequest;
import edgewise.wire.Messages.Range;
import edgewise.wire.Topics;
import edgewise.wire.errors.ProtocolError;
import edgewise.wire.errors.UnavailableError;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Collection;
import java.util.Deque;
import java.util.List;
import java.util.TreeSet;
import java.util.logging.Logger;

/**
 * Fetches the blobs of an assignment into the store, one after the other, every chunk checked: from retained messages, a
 * bounded window of topics at a time; or over HTTP, where the assignment offers that and for as long as it works.
 */
final class Download extends Phase {
    private static final Logger LOG = Logger.getLogger("edgewise.device");
    private static final int WINDOW = 8; // 1 MB on the way, and as many filters as AWS IoT Core takes at once
    private static final double LOOK_SECONDS = 0.05; // how often what came over HTTP is taken
    private static final double SILENCE_SECONDS = 10; // the broker does not have them, so ask the coordinator

    private final Link link;
    private final Clock clock;
    private final BlobStore store;
    private final long round;
    private final Deque<BlobRef> waiting;
    private final Deque<Integer> missing = new ArrayDeque<>();
    private final TreeSet<Integer> asked = new TreeSet<>();
    private String url;
    private HttpChunks http;
    private BlobAssembler assembler;
    private int total;
    private int fetched;

    /** {@code url} is where the blobs are to be had over HTTP too, empty for nowhere. */
    Download(Link link, Clock clock, BlobStore store, long round, Collection<BlobRef> refs, String url) {
        this.url = url;
        this.link = link;
        this.clock = clock;
        this.store = store;
        this.round = round;
        waiting = new ArrayDeque<>(refs);
        for (BlobRef ref : refs) total += Blobs.chunkCount(ref);
    }

    @Override
    DeviceState state() {
        return DeviceState.DOWNLOADING;
    }

    @Override
    boolean finished() {
        return assembler == null && waiting.isEmpty();
    }

    @Override
    Step progress() {
        return new Step(fetched, total, 0f);
    }

    /** Takes up what is on disk and asks for the first chunks. */
    @Override
    void start() {
        next();
    }

    @Override
    void connected() {
        if (http == null) patience(); // the transport renews the subscriptions
    }

    /** Takes a chunk if it is one that was asked for and its bytes are the right ones. */
    @Override
    void hear(Heard heard) {
        if (!(heard.body() instanceof BlobChunk chunk) || assembler == null) return;
        if (!Arrays.equals(chunk.hash(), assembler.ref.hash()) || !asked.contains((int) chunk.index())) return;
        try {
            keep(chunk.index(), chunk.data());
        } catch (ProtocolError error) {
            link.drop("corrupt", error.getMessage());
            return;
        }
        asked.remove((int) chunk.index());
        link.transport.unsubscribe(topic((int) chunk.index()));
        patience();
        if (assembler.complete()) next();
        else ask();
    }

    private void keep(long index, byte[] data) {
        if (!assembler.add(index, data)) return;
        fetched++;
        bytesDown += data.length;
    }

    /** Takes what came over HTTP; after a silence of the broker, names what is missing. */
    @Override
    void tick() {
        if (clock.now() < due || assembler == null) return;
        if (http != null) {
            takeHttp();
            return;
        }
        // If nothing at all of the window came, the broker has probably lost the blob: name all that is missing.
        List<Range> lost = assembler.missing();
        if (asked.size() < WINDOW) {
            ChunkSet chosen = new ChunkSet(Blobs.chunkCount(assembler.ref));
            for (int index : asked) chosen.add(index);
            lost = chosen.ranges();
        }
        link.say(new BlobRequest(assembler.ref.hash(), lost), round);
        patience();
    }

    /** Keeps what came over HTTP; when that fails, the broker has the rest. */
    private void takeHttp() {
        due = clock.now() + LOOK_SECONDS;
        try {
            for (HttpChunks.Chunk one; (one = http.take()) != null; ) keep(one.index(), one.data());
        } catch (ProtocolError | UnavailableError error) {
            LOG.info(error.getMessage() + "; the broker has the rest");
            leaveHttp();
            url = "";
            missing.clear();
            missing.addAll(ChunkSet.indices(assembler.missing()));
            patience();
            ask();
            return;
        }
        if (assembler.complete()) {
            leaveHttp();
            next();
        }
    }

    private void leaveHttp() {
        if (http != null) http.stop();
        http = null;
    }

    @Override
    void stop() {
        leaveHttp();
        for (int index : asked) link.transport.unsubscribe(topic(index));
        asked.clear();
        if (assembler != null) assembler.close();
    }

    /** Finishes the blob in work and opens the next one that is not whole yet. */
    private void next() {
        while (assembler == null || assembler.complete()) {
            if (assembler != null) {
                assembler.finish();
                assembler.close();
                assembler = null;
            }
            if (waiting.isEmpty()) return;
            assembler = store.assembler(waiting.poll());
            missing.clear();
            missing.addAll(ChunkSet.indices(assembler.missing()));
            fetched += Blobs.chunkCount(assembler.ref) - missing.size();
        }
        if (!url.isEmpty()) {
            http = new HttpChunks(url, assembler.ref, assembler.missing());
            due = clock.now() + LOOK_SECONDS;
            return;
        }
        patience();
        ask();
    }

    private void ask() {
        while (asked.size() < WINDOW && !missing.isEmpty()) {
            int index = missing.poll();
            asked.add(index);
            link.transport.subscribe(topic(index));
        }
    }

    private void patience() {
        due = clock.now() + SILENCE_SECONDS;
    }

    private String topic(int index) {
        return Topics.blobChunk(link.identity.fleet(), assembler.ref.hash(), index);
    }
}
