package edgewise.wire.secure;

import edgewise.wire.crypto.Agreement;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Set;

/**
 * Masks that cancel in a sum (Bonawitz et al. 2017, §4), one a step: the device's own, and one with each neighbour that has
 * shared its secrets, added by the lower number and subtracted by the higher.
 */
public final class Masking {
    private final int[] total;
    private final Secrets secrets;
    private final Roster roster;
    private final int me;
    private final Form form;
    private final Deque<Integer> others = new ArrayDeque<>();
    private byte[] packed;

    Masking(int[] words, Secrets secrets, Roster roster, int me, Set<Integer> sharers, Form form) {
        total = words.clone();
        this.secrets = secrets;
        this.roster = roster;
        this.me = me;
        this.form = form;
        others.add(me);
        for (int other : roster.neighbours(me)) if (sharers.contains(other)) others.add(other);
    }

    /** Adds one mask; returns the masked words, packed, when there is none left, {@code null} before. */
    public byte[] step() {
        Integer other = others.poll();
        if (other == null) {
            if (packed == null) packed = form.pack(total);
            return packed;
        }
        if (other == me) Agreement.addMask(total, secrets.ownMask(roster), 1);
        else Agreement.addMask(total, secrets.pairMask(roster, other), me < other ? 1 : -1);
        return null;
    }
}
