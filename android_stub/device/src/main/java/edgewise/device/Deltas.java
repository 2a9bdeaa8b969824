package edgewise.device;

import edgewise.wire.BlobStore;
import edgewise.wire.Blobs;
import edgewise.wire.Bytes;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.BlobRef;
import edgewise.wire.Messages.Delta;
import edgewise.wire.Weights;
import edgewise.wire.errors.ConfigError;
import edgewise.wire.errors.InputError;
import edgewise.wire.errors.ProtocolError;
import edgewise.wire.transforms.Codecs;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.logging.Logger;

/** A round's weights by way of differences from weights that are here already: the device's half. */
final class Deltas {
    private static final Logger LOG = Logger.getLogger("edgewise.device");

    private Deltas() {}

    /** Returns the differences to fetch in the place of the round's weights: none where that would not be shorter. */
    static List<Delta> shortWay(Assignment asked, BlobStore store) {
        if (store.has(asked.weights().hash())) return Collections.emptyList();
        for (int at = asked.deltas().size() - 1; at >= 0; at--) {
            Delta delta = asked.deltas().get(at);
            if (!usable(delta, asked)) return Collections.emptyList();
            byte[] base = delta.base();
            if (base.length == 0 || base.length == Blobs.HASH_BYTES && store.has(base)) {
                List<Delta> way = asked.deltas().subList(at, asked.deltas().size());
                long size = 0;
                for (Delta one : way) size += one.blob().size();
                return size < asked.weights().size() ? way : Collections.emptyList();
            }
        }
        return Collections.emptyList();
    }

    /** Returns the blobs by which the round's weights are had. */
    static List<BlobRef> weightsToFetch(Assignment asked, BlobStore store) {
        List<BlobRef> found = new ArrayList<>();
        for (Delta delta : shortWay(asked, store)) found.add(delta.blob());
        if (found.isEmpty()) found.add(asked.weights());
        return found;
    }

    /**
     * Makes the round's weights out of the differences that were fetched and returns whether they are here now. Law: the
     * file under the weights' hash has that hash; differences that lead elsewhere lead nowhere.
     */
    static boolean assemble(Assignment asked, BlobStore store) {
        if (store.has(asked.weights().hash())) return true;
        try {
            byte[] data = followed(shortWay(asked, store), asked, store);
            if (Arrays.equals(Bytes.hash(data), asked.weights().hash())) {
                store.put(data);
                return true;
            }
            LOG.warning("the differences lead to other weights than the round's, which are fetched whole");
        } catch (ProtocolError | InputError error) {
            LOG.warning("the differences do not lead to the round's weights, which are fetched whole: "
                    + error.getMessage());
        }
        return false;
    }

    private static byte[] followed(List<Delta> way, Assignment asked, BlobStore store) {
        int count = (int) (asked.weights().size() / 4);
        float[] weights = null;
        if (!way.isEmpty() && way.get(0).base().length > 0) weights = Weights.fromBytes(store.read(way.get(0).base()), count);
        for (Delta delta : way) {
            weights = Codecs.follow(delta.encoding(), store.read(delta.blob().hash()), weights, delta.base(), count);
        }
        return weights == null ? Bytes.NONE : Weights.toBytes(weights);
    }

    private static boolean usable(Delta delta, Assignment asked) {
        try {
            Blobs.checkRef(delta.blob(), asked.weights().size());
            long count = Math.max(1, asked.weights().size() / 4);
            return Codecs.get(delta.encoding()).size((int) count) == delta.blob().size();
        } catch (ProtocolError | ConfigError error) {
            return false;
        }
    }
}
