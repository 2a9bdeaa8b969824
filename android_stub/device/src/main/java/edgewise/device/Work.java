package edgewise.device;

import edgewise.wire.Bytes;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.Envelope;
import edgewise.wire.codec.Codec;
import java.util.Arrays;

/** An assignment as it came, and when (seconds since the epoch). */
public record Work(String fleet, long round, long messageId, Assignment asked, double received) {
    /** Returns whether both ask for the same, though the time left for it may have been counted anew. */
    boolean sameAs(Work other) {
        return round == other.round && Arrays.equals(substance(), other.substance());
    }

    private byte[] substance() {
        Assignment plain = asked.withDeadline(0).withSignature(Bytes.NONE).withBlobsUrl("");
        return Codec.encode(new Envelope(fleet, round, 0, plain, 1));
    }

    /** Returns whether this work is older than another: by round, then by attempt. */
    boolean olderThan(Work other) {
        int rounds = Long.compare(round + Long.MIN_VALUE, other.round + Long.MIN_VALUE); // unsigned
        return rounds < 0 || rounds == 0 && asked.attempt() < other.asked.attempt();
    }

    /** Returns the message as it came. */
    byte[] toBytes() {
        return Codec.encode(new Envelope(fleet, round, messageId, asked, 1));
    }

    /** Returns the SHA-256 of the message, its id included: only one delivered twice has the same. */
    byte[] digest() {
        return Bytes.hash(toBytes());
    }

    @Override
    public String toString() {
        return "round " + round + ", attempt " + asked.attempt();
    }
}
