package edgewise.device;

import edgewise.device.Link.Heard;
import edgewise.device.LocalTraining.Step;
import edgewise.wire.Blobs;
import edgewise.wire.ChunkSet;
import edgewise.wire.Messages.ChunkAck;
import edgewise.wire.Messages.UploadChunk;
import edgewise.wire.Messages.UploadGrant;
import edgewise.wire.Messages.UploadRequest;
import edgewise.wire.errors.ProtocolError;
import java.io.File;
import java.util.HashSet;
import java.util.Set;

/**
 * Sends a finished update, chunk by chunk, as the coordinator grants it. It holds no more of the file than one chunk, and
 * remembers nothing a restart would need. It goes to the aggregator that the assignment names, or to the coordinator. Law: what is sent is the file, every chunk checked, and nothing before a grant.
 */
final class Upload extends Phase {
    private static final double SILENCE_SECONDS = 10; // no grant and no acknowledgement for so long: ask again
    private static final int WINDOW_MAX = 64; // chunks in flight whatever a grant says: 8 MB

    private final Link link;
    private final Clock clock;
    private final long round;
    private final UploadRequest request;
    private final File path;
    private final String to;
    private int window;
    private ChunkSet have;
    private final Set<Integer> flying = new HashSet<>();

    Upload(Link link, Clock clock, long round, UploadRequest request, File path, String to) {
        this.link = link;
        this.clock = clock;
        this.round = round;
        this.request = request;
        this.path = path;
        this.to = to;
        have = new ChunkSet(Blobs.chunkCount(request.update()));
    }

    @Override
    DeviceState state() {
        return DeviceState.UPLOADING;
    }

    @Override
    Step progress() {
        return new Step(have.size(), have.count(), request.loss());
    }

    @Override
    void start() {
        repeat();
    }

    @Override
    void connected() {
        repeat(); // the answer says what arrived before the link broke
    }

    @Override
    void tick() {
        if (clock.now() >= due) repeat();
    }

    /** Asks; until the answer nothing is sent, since nobody knows what of it would be new. */
    @Override
    void repeat() {
        window = 0;
        flying.clear();
        link.say(request, round, 1, to);
        due = clock.now() + SILENCE_SECONDS;
    }

    @Override
    void hear(Heard heard) {
        try {
            if (heard.body() instanceof UploadGrant grant) {
                // A grant is the coordinator's whole truth: what it lost in a crash of its own is sent again.
                have = new ChunkSet(have.count(), grant.have());
                flying.clear();
                window = Math.min(grant.window(), WINDOW_MAX);
                send();
            } else if (heard.body() instanceof ChunkAck ack) {
                acknowledged(ack);
            }
        } catch (ProtocolError error) {
            link.drop("contradictory", error.getMessage());
        }
    }

    private void acknowledged(ChunkAck ack) {
        int before = have.size();
        have.update(ack.have());
        if (have.size() == before) return; // nothing new: it must not put off the moment to ask again
        flying.removeIf(have::contains);
        send();
    }

    private void send() {
        due = clock.now() + SILENCE_SECONDS;
        for (int index = 0; index < have.count() && flying.size() < window; index++) {
            if (have.contains(index) || flying.contains(index)) continue;
            byte[] data = Blobs.chunk(path, request.update(), index);
            UploadChunk chunk = UploadChunk.ABSENT.withAttempt(request.attempt()).withIndex(index).withData(data);
            if (!link.say(chunk, round, 1, to)) return; // the outbox is full: the silence that follows asks again
            flying.add(index);
            bytesUp += data.length;
        }
    }
}
