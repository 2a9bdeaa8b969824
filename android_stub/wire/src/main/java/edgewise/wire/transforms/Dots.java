package edgewise.wire.transforms;

/** Sums of products of a matrix's columns, added in the order in which NumPy adds them. */
final class Dots {
    private static final int RUN = 64;

    private Dots() {}

    /** Returns each column's sum of products, in two steps: 4096 additions in a row would cost four digits. */
    static float[] columns(float[] one, float[] other, Rotation.Chunk chunk) {
        int columns = chunk.columns(), run = Math.min(RUN, chunk.block()), runs = chunk.block() / run;
        if (columns == 1) return new float[] {single(one, other, run, runs)};
        float[] sums = new float[columns];
        for (int r = 0; r < runs; r++) {
            int at = r * run * columns;
            for (int column = 0; column < columns; column++) {
                float sum = one[at + column] * other[at + column];
                for (int i = 1; i < run; i++) {
                    int place = at + i * columns + column;
                    sum += one[place] * other[place];
                }
                sums[column] = r == 0 ? sum : sums[column] + sum;
            }
        }
        return sums;
    }

    /** One column lies contiguous in memory, and NumPy adds such numbers in pairs. */
    private static float single(float[] one, float[] other, int run, int runs) {
        float[] sums = new float[runs], products = new float[run];
        for (int r = 0; r < runs; r++) {
            for (int i = 0; i < run; i++) products[i] = one[r * run + i] * other[r * run + i];
            sums[r] = pairwise(products, run);
        }
        return pairwise(sums, runs);
    }

    /** NumPy's pairwise sum of at most 128 numbers: eight running sums, then those in pairs, then the rest. */
    private static float pairwise(float[] values, int count) {
        if (count < 8) {
            float sum = values[0];
            for (int i = 1; i < count; i++) sum += values[i];
            return sum;
        }
        float[] r = new float[8];
        System.arraycopy(values, 0, r, 0, 8);
        int i = 8;
        for (; i < count - count % 8; i += 8) for (int j = 0; j < 8; j++) r[j] += values[i + j];
        float sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        for (; i < count; i++) sum += values[i];
        return sum;
    }
}
