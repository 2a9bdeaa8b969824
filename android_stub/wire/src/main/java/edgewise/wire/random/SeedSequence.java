package edgewise.wire.random;

/** NumPy's {@code SeedSequence} of a list of 32-bit words (O'Neill 2015, "Developing a seed_seq Alternative"). */
final class SeedSequence {
    private static final int POOL = 4;
    private static final int INIT_A = 0x43b0d7e5, MULT_A = 0x931e8875, INIT_B = 0x8b51f9dd, MULT_B = 0x58f38ded;
    private static final int MIX_LEFT = 0xca01f9dd, MIX_RIGHT = 0x4973f715;

    private final int[] pool = new int[POOL];
    private int hash = INIT_A;

    SeedSequence(int[] entropy) {
        for (int i = 0; i < POOL; i++) pool[i] = hashed(i < entropy.length ? entropy[i] : 0);
        for (int from = 0; from < POOL; from++) {
            for (int to = 0; to < POOL; to++) if (from != to) pool[to] = mix(pool[to], hashed(pool[from]));
        }
        for (int from = POOL; from < entropy.length; from++) {
            for (int to = 0; to < POOL; to++) pool[to] = mix(pool[to], hashed(entropy[from]));
        }
    }

    private int hashed(int value) {
        value ^= hash;
        hash *= MULT_A;
        value *= hash;
        return value ^ value >>> 16;
    }

    private static int mix(int x, int y) {
        int result = MIX_LEFT * x - MIX_RIGHT * y;
        return result ^ result >>> 16;
    }

    long[] generate64(int count) {
        long[] out = new long[count];
        int constant = INIT_B;
        for (int i = 0; i < 2 * count; i++) {
            int value = pool[i % POOL] ^ constant;
            constant *= MULT_B;
            value *= constant;
            value ^= value >>> 16;
            out[i / 2] |= (value & 0xFFFFFFFFL) << 32 * (i % 2);
        }
        return out;
    }
}
