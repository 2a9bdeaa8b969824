package edgewise.device;

import edgewise.wire.BlobStore;
import edgewise.wire.Blobs;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.BlobRef;
import edgewise.wire.Messages.Kind;
import edgewise.wire.errors.ProtocolError;
import java.util.function.Supplier;

/** Holds assignments against the device's conditions, its owner's policy and log, and what is left of the day. */
final class Admission {
    private final Host host;
    private final BlobStore blobs;
    private final Supplier<Policy> policy;
    private final Budget budget;
    private final Separation separation;

    Admission(Host host, BlobStore blobs, Supplier<Policy> policy, Budget budget, Separation separation) {
        this.host = host;
        this.blobs = blobs;
        this.policy = policy;
        this.budget = budget;
        this.separation = separation;
    }

    /**
     * Returns why this device does not take an assignment, {@code null} if it does; nothing is written for it.
     *
     * @throws edgewise.wire.errors.EdgewiseError if the device's own store cannot be read
     */
    String refusal(Assignment asked) {
        try {
            if (asked.kind() != Kind.DISCOVER) Blobs.checkRef(asked.graph(), Blobs.BYTES_MAX);
            Blobs.checkRef(asked.weights(), Blobs.BYTES_MAX);
            if (!asked.correction().isEmpty()) Blobs.checkRef(asked.control(), Blobs.BYTES_MAX);
        } catch (ProtocolError error) {
            return error.getMessage();
        }
        int held = host.counts().of(asked.kind());
        double traffic = traffic(asked);
        String why = host.obstacle();
        if (why == null) why = policy.get().refusal(asked, held, traffic);
        if (why == null) why = separation.refusal(asked);
        return why != null ? why : budget.refusal(asked, traffic);
    }

    /** Returns the bytes that would move, both ways. */
    private double traffic(Assignment asked) {
        double traffic = asked.graph().size() == 0 || blobs.has(asked.graph().hash()) ? 0 : asked.graph().size();
        for (BlobRef ref : Deltas.weightsToFetch(asked, blobs)) traffic += ref.size();
        return traffic + Encoding.updateBytes(asked) + (asked.correction().isEmpty() ? 0 : asked.control().size());
    }
}
