package edgewise.wire.secure;

import edgewise.wire.Bytes;
import edgewise.wire.crypto.Agreement;
import edgewise.wire.errors.ProtocolError;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Everything that a device keeps secret in one round, out of 32 random bytes: made anew after a crash, the same; and its
 * two secrets in shares that its neighbours hold for it (Bonawitz et al. 2017, Figure 4). The key of its pairwise masks is
 * opened if it falls silent, the seed of its own mask if it does not; who learned both could read its update.
 *
 * <p>Law: one master serves one attempt of one round, and masks one input.
 */
final class Secrets {
    static final int SEALED_BYTES = 2 * Shamir.SHARE_BYTES + Agreement.TAG_BYTES;

    /** The shares of a device's mask key and of its seed that one holder has. */
    record Shares(byte[] key, byte[] seed) {}

    final byte[] agreement;
    final byte[] mask;
    final byte[] signer;
    final byte[] seed;
    private final byte[] master;

    Secrets(byte[] master) {
        this.master = master;
        agreement = Agreement.derive(master, "edgewise agreement 1", Bytes.NONE);
        mask = Agreement.derive(master, "edgewise mask 1", Bytes.NONE);
        signer = Agreement.derive(master, "edgewise signer 1", Bytes.NONE);
        seed = Agreement.derive(master, "edgewise seed 1", Bytes.NONE);
    }

    /** Returns the shares of this device's secrets by their holders: its neighbours and itself. */
    Map<Integer, Shares> shared(Roster roster, int me) {
        List<Integer> holders = new ArrayList<>(roster.neighbours(me)), points = new ArrayList<>();
        holders.add(me);
        for (int holder : holders) points.add(holder + 1);
        List<byte[]> keys = split(mask, points, roster, "key"), seeds = split(seed, points, roster, "seed");
        Map<Integer, Shares> found = new HashMap<>();
        for (int i = 0; i < holders.size(); i++) found.put(holders.get(i), new Shares(keys.get(i), seeds.get(i)));
        return found;
    }

    private List<byte[]> split(byte[] secret, List<Integer> points, Roster roster, String which) {
        int threshold = (int) roster.plan.threshold();
        byte[] key = Agreement.derive(master, "edgewise shares 1 " + which, roster.hash()); // another one for each roster
        return Shamir.split(secret, points, threshold, Agreement.keyStream(key, Shamir.coefficientBytes(threshold)));
    }

    /** Returns what a device sends: the commitment to its seed, then its shares, sealed, in its neighbours' order. */
    byte[] sealShares(Roster roster, int me) {
        Map<Integer, Shares> shares = shared(roster, me);
        List<Integer> near = roster.neighbours(me);
        byte[][] parts = new byte[near.size() + 1][];
        parts[0] = Bytes.hash(Out.join("edgewise seed commitment 1\n".getBytes(StandardCharsets.US_ASCII), seed));
        for (int i = 0; i < near.size(); i++) {
            int other = near.get(i);
            Shares one = shares.get(other);
            byte[] key = pairKey(roster, other, me, other);
            parts[i + 1] = Agreement.seal(key, Out.join(one.key(), one.seed()), about(roster.hash(), me, other));
        }
        return Out.join(parts);
    }

    /** Returns the shares that a neighbour sealed for this device, {@code null} for rubbish. */
    Shares openShares(Roster roster, int me, int sender, byte[] sealed) {
        byte[] key;
        try {
            key = pairKey(roster, sender, sender, me);
        } catch (ProtocolError error) {
            return null;
        }
        byte[] found = Agreement.unseal(key, sealed, about(roster.hash(), sender, me));
        return found == null ? null : new Shares(Arrays.copyOf(found, Shamir.SHARE_BYTES),
                Arrays.copyOfRange(found, Shamir.SHARE_BYTES, found.length));
    }

    private byte[] pairKey(Roster roster, int other, int sender, int recipient) {
        byte[] agreed = Agreement.agree(agreement, roster.entries.get(other).agreement());
        byte[] purpose = about("edgewise share 1 ".getBytes(StandardCharsets.US_ASCII), sender, recipient);
        return Agreement.derive(agreed, purpose, roster.hash());
    }

    private static byte[] about(byte[] head, int sender, int recipient) {
        byte[] numbers = new byte[8];
        Bytes.putI32(numbers, 0, sender);
        Bytes.putI32(numbers, 4, recipient);
        return Out.join(head, numbers);
    }

    /** Returns the key of the device's own mask. */
    byte[] ownMask(Roster roster) {
        return Agreement.derive(seed, "edgewise own mask 1", roster.hash());
    }

    /** Returns the key of the mask that is shared with another device. Throws {@link ProtocolError} if its key is none. */
    byte[] pairMask(Roster roster, int other) {
        byte[] agreed = Agreement.agree(mask, roster.entries.get(other).mask());
        return Agreement.derive(agreed, "edgewise pair mask 1", roster.hash());
    }
}
