package edgewise.device;

import edgewise.wire.model.Manifest;
import java.io.File;
import java.util.List;

/** What an agent asks of the device it runs on: examples, a trainer, and whether now is a good time. */
public interface Host {
    /** How many examples a device holds. */
    record Counts(int train, int heldOut) {
        /** Returns the number that an assignment of this kind is about. */
        int of(int kind) {
            return kind == edgewise.wire.Messages.Kind.EVALUATE ? heldOut : train;
        }
    }

    /** One thing that must hold while a device takes part: power, an owner's wish. */
    interface Condition {
        /** Returns why not now, as a clause for people, {@code null} if it holds. */
        String obstacle();
    }

    /** Returns the name and version of what trains. */
    String runtime();

    Counts counts();

    /** Returns the texts to train on, for a round that looks for words. */
    List<String> texts();

    /** Returns why the device cannot take part now, {@code null} if it can; asked between any two batches. */
    String obstacle();

    /** Returns a trainer over the graph file; the same one again for the same hash. */
    Trainer trainer(File graph, byte[] graphHash);

    /** Returns the examples that an assignment of this kind is about, as the graph takes them. */
    Examples examples(Manifest manifest, int kind);

    /** Gives back memory that the next assignment would need again: none came for a while. */
    void release();
}
