package edgewise.wire.secure;

import edgewise.wire.errors.ProtocolError;
import java.util.Collection;
import java.util.SortedSet;
import java.util.TreeSet;

/** Sets of devices as bits on the wire: bit i % 8 of byte i / 8 stands for entry i of the roster. */
public final class Roll {
    private Roll() {}

    /** Returns a set of a roster's entries. */
    public static byte[] of(Collection<Integer> devices, int size) {
        byte[] roll = new byte[(size + 7) / 8];
        for (int device : devices) roll[device / 8] |= (byte) (1 << device % 8);
        return roll;
    }

    /** Returns the set. Throws {@link ProtocolError} if it is not of that size, or names somebody beyond the roster. */
    public static SortedSet<Integer> read(byte[] roll, int size) {
        if (roll.length != (size + 7) / 8 || size % 8 != 0 && (roll[roll.length - 1] & 255) >>> size % 8 != 0) {
            throw new ProtocolError("a list of devices in " + roll.length + " bytes: expected bits for a roster of " + size);
        }
        SortedSet<Integer> found = new TreeSet<>();
        for (int i = 0; i < size; i++) if ((roll[i / 8] >>> i % 8 & 1) != 0) found.add(i);
        return found;
    }
}
