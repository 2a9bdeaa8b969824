package edgewise.wire.transforms;

import java.util.ArrayList;
import java.util.List;

/**
 * The randomised Hadamard transform, block by block (Ailon and Chazelle 2009; Suresh et al. 2017, §3): random signs,
 * then a Walsh–Hadamard transform, of chunks of 2^18 numbers seen as matrices of 4096 rows whose columns are the blocks.
 */
final class Rotation {
    static final int BLOCK = 4096;
    private static final int COLUMNS = 64;
    private static final int CHUNK = BLOCK * COLUMNS;

    /** Numbers {@code start} to {@code stop} as a matrix; its first column is number {@code column} of the vector. */
    record Chunk(int start, int stop, int block, int columns, int column) {
        int padded() {
            return block * columns;
        }
    }

    private final int parameters;
    private final long[] seeds;
    private float[] flat;
    private float[] spare;

    Rotation(int parameters, Key key, int rounds) {
        this.parameters = parameters;
        seeds = rounds == 1
                ? new long[] {key.number("rotation")}
                : new long[] {key.number("rotation"), key.number("rotation 2")};
        int largest = 0;
        for (Chunk chunk : chunks(parameters)) largest = Math.max(largest, chunk.padded());
        flat = new float[largest];
        spare = new float[largest];
    }

    /** Returns the length of a block: 4096, or the next power of two for a shorter vector. */
    static int blockLength(int parameters) {
        return Math.min(BLOCK, parameters <= 1 ? 1 : Integer.highestOneBit(Math.min(parameters - 1, BLOCK)) << 1);
    }

    static List<Chunk> chunks(int parameters) {
        int block = blockLength(parameters);
        List<Chunk> found = new ArrayList<>();
        for (int start = 0, number = 0; start < parameters; start += CHUNK, number++) {
            int stop = Math.min(start + CHUNK, parameters);
            found.add(new Chunk(start, stop, block, (stop - start + block - 1) / block, number * COLUMNS));
        }
        return found;
    }

    /** Returns how many blocks a vector has. */
    static int blocks(int parameters) {
        int block = blockLength(parameters);
        return (parameters - 1) / block + 1;
    }

    /** Returns how many numbers all blocks have together. */
    static int padded(int parameters) {
        return blocks(parameters) * blockLength(parameters);
    }

    /** Returns a chunk of {@code vector} rotated; the array is good until the next call. */
    float[] forward(float[] vector, Chunk chunk) {
        int count = chunk.stop() - chunk.start();
        System.arraycopy(vector, chunk.start(), flat, 0, count);
        java.util.Arrays.fill(flat, count, chunk.padded(), 0f);
        for (long seed : seeds) {
            flip(seed, chunk);
            hadamard(chunk);
        }
        return flat;
    }

    /** Returns the array that {@link #inverse} undoes; fill it with a chunk's rotated numbers first. */
    float[] matrix() {
        return flat;
    }

    /** Undoes the rotation of one chunk and writes its numbers to their place in {@code out}. */
    void inverse(Chunk chunk, float[] out) {
        float scale = (float) (1.0 / Math.pow(chunk.block(), seeds.length));
        for (int i = 0; i < chunk.padded(); i++) flat[i] *= scale;
        for (int round = seeds.length - 1; round >= 0; round--) {
            hadamard(chunk);
            flip(seeds[round], chunk);
        }
        System.arraycopy(flat, 0, out, chunk.start(), chunk.stop() - chunk.start());
    }

    /** Turns the signs that the seed says: bit j of number i is the sign of the chunk's value 64·i + j. */
    private void flip(long seed, Chunk chunk) {
        long first = chunk.start() / 64;
        for (int at = 0, padded = chunk.padded(); at < padded; at += 64) {
            long word = splitMix(seed, first + at / 64);
            for (int j = 0, end = Math.min(64, padded - at); j < end; j++) {
                if ((word >>> j & 1) != 0) flat[at + j] = -flat[at + j];
            }
        }
    }

    private void hadamard(Chunk chunk) {
        int length = chunk.padded();
        for (int half = length / chunk.block(); half < length; half *= 2) {
            for (int at = 0; at < length; at += 2 * half) {
                for (int i = at, end = at + half; i < end; i++) {
                    float x = flat[i], y = flat[i + half];
                    spare[i] = x + y;
                    spare[i + half] = x - y;
                }
            }
            float[] kept = flat;
            flat = spare;
            spare = kept;
        }
    }

    /** Returns number {@code index} of SplitMix64 (Steele et al. 2014, fig. 16). */
    static long splitMix(long seed, long index) {
        long state = (index + 1) * 0x9E3779B97F4A7C15L + seed;
        state = (state ^ state >>> 30) * 0xBF58476D1CE4E5B9L;
        state = (state ^ state >>> 27) * 0x94D049BB133111EBL;
        return state ^ state >>> 31;
    }
}
