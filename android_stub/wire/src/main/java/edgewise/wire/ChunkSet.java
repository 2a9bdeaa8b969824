package edgewise.wire;

import edgewise.wire.Messages.Range;
import edgewise.wire.errors.InputError;
import edgewise.wire.errors.ProtocolError;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/** Which chunks of a blob are there: a set of indices that travels as a few ranges. */
public final class ChunkSet {
    private final int count;
    private final BitSet flags = new BitSet();

    /** An empty set of a blob of {@code count} chunks, 1 to 1900. */
    public ChunkSet(int count) {
        if (count < 1 || count > Messages.CHUNKS_MAX) {
            throw new InputError("chunk set of " + count + " chunks: expected 1 to " + Messages.CHUNKS_MAX);
        }
        this.count = count;
    }

    public ChunkSet(int count, List<Range> ranges) {
        this(count);
        update(ranges);
    }

    /** Returns how many chunks there are in all. */
    public int count() {
        return count;
    }

    /** Returns how many are in the set. */
    public int size() {
        return flags.cardinality();
    }

    public boolean complete() {
        return size() == count;
    }

    public boolean contains(long index) {
        return index >= 0 && index < count && flags.get((int) index);
    }

    /** Adds one chunk and returns whether it is new. Throws {@link ProtocolError} if the blob has no such chunk. */
    public boolean add(long index) {
        checkIndex(index, count);
        boolean fresh = !flags.get((int) index);
        flags.set((int) index);
        return fresh;
    }

    /** Adds the chunks of ranges that a peer may have sent; adds nothing if they are out of bounds or order. */
    public void update(List<Range> ranges) {
        checkRanges(ranges, count);
        for (Range one : ranges) flags.set((int) one.first(), (int) one.last() + 1);
    }

    /** Returns the chunks in the set, as few ranges as can say it. */
    public List<Range> ranges() {
        List<Range> found = new ArrayList<>();
        for (int at = flags.nextSetBit(0); at >= 0; ) {
            int end = flags.nextClearBit(at);
            found.add(new Range(at, end - 1));
            at = flags.nextSetBit(end);
        }
        return found;
    }

    /** Returns the chunks that are not in the set, as few ranges as can say it. */
    public List<Range> missing() {
        List<Range> found = new ArrayList<>();
        for (int at = flags.nextClearBit(0); at < count; ) {
            int end = flags.nextSetBit(at);
            if (end < 0) end = count;
            found.add(new Range(at, end - 1));
            at = flags.nextClearBit(end);
        }
        return found;
    }

    /** Throws {@link ProtocolError} unless {@code index} is one of {@code count} chunks. */
    public static void checkIndex(long index, int count) {
        if (index < 0 || index >= count) throw new ProtocolError("chunk " + index + ": expected 0 to " + (count - 1));
    }

    /** Throws {@link ProtocolError} unless the ranges ascend without overlap within {@code count} chunks. */
    public static void checkRanges(List<Range> ranges, int count) {
        long least = 0;
        for (Range one : ranges) {
            if (one.first() < least || one.last() < one.first() || one.last() >= count) {
                throw new ProtocolError("chunks " + one.first() + " to " + one.last()
                        + ": expected ascending ranges between " + least + " and " + (count - 1));
            }
            least = one.last() + 1;
        }
    }

    /** Returns every index in ranges that were checked. */
    public static List<Integer> indices(List<Range> ranges) {
        List<Integer> found = new ArrayList<>();
        for (Range one : ranges) for (long i = one.first(); i <= one.last(); i++) found.add((int) i);
        return found;
    }
}
