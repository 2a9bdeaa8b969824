package edgewise.device;

import edgewise.device.Examples.Place;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.function.IntUnaryOperator;

/**
 * Short sequences side by side in one row, so that a step's time goes into words and not into padding; batches are those
 * of {@code edge/edgewise_edge/packing.py} ({@code tests/golden/client.json}).
 */
final class Packing {
    private static final int WINDOW = 32; // examples looked at to fill a batch

    private Packing() {}

    /**
     * Returns batches that hold every example of {@code order} once: the first of the next 32 that fits goes into the
     * fullest row that has room, until none of them fits; the others come first in the next batch.
     */
    static List<List<Place>> pack(int[] order, IntUnaryOperator length, int rows, int columns) {
        List<List<Place>> batches = new ArrayList<>();
        List<Integer> waiting = new ArrayList<>();
        int next = 0;
        while (true) {
            List<Place> batch = new ArrayList<>();
            TreeSet<Long> free = new TreeSet<>(); // room, then row: the fullest row first
            for (int row = 0; row < rows; row++) free.add(key(columns, row));
            while (true) {
                while (waiting.size() < WINDOW && next < order.length) waiting.add(order[next++]);
                int found = -1;
                for (int i = 0; i < waiting.size() && found < 0; i++) {
                    if (length.applyAsInt(waiting.get(i)) <= free.last() >> 32) found = i;
                }
                if (found < 0) break;
                int number = waiting.remove(found), taken = length.applyAsInt(number);
                long slot = free.ceiling(key(taken, 0));
                free.remove(slot);
                int room = (int) (slot >> 32), row = (int) slot;
                batch.add(new Place(number, row, columns - room));
                free.add(key(room - taken, row));
            }
            if (batch.isEmpty()) return batches;
            batches.add(batch);
        }
    }

    private static long key(int room, int row) {
        return (long) room << 32 | row;
    }
}
