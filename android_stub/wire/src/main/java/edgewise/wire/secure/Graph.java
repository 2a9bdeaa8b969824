package edgewise.wire.secure;

import edgewise.wire.Bytes;
import java.math.BigInteger;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;

/**
 * Who shares a mask with whom: devices stand on a ring in an order that the roster's hash shuffles, and each knows the
 * degree/2 before and behind it (Bell et al. 2020, §3); everybody where the degree is size − 1.
 */
final class Graph {
    private final int size;
    private final long degree;
    private final Integer[] order;
    private final int[] place;

    Graph(byte[] seed, int size, long degree) {
        this.size = size;
        this.degree = degree;
        BigInteger[] keys = new BigInteger[size];
        for (int i = 0; i < size; i++) {
            MessageDigest digest = Bytes.sha256();
            digest.update(seed);
            keys[i] = new BigInteger(1, digest.digest(new byte[] {(byte) (i >>> 24), (byte) (i >>> 16), (byte) (i >>> 8), (byte) i}));
        }
        order = new Integer[size];
        for (int i = 0; i < size; i++) order[i] = i;
        Arrays.sort(order, (one, two) -> keys[one].compareTo(keys[two]));
        place = new int[size];
        for (int i = 0; i < size; i++) place[order[i]] = i;
    }

    /** Returns with whom a device shares a mask, ascending. */
    List<Integer> neighbours(int device) {
        SortedSet<Integer> near = new TreeSet<>();
        if (degree >= size - 1) {
            for (int i = 0; i < size; i++) near.add(i);
        } else {
            int half = (int) degree / 2;
            for (int i = -half; i <= half; i++) near.add(order[Math.floorMod(place[device] + i, size)]);
        }
        near.remove(device);
        return new ArrayList<>(near);
    }
}
