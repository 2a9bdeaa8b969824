package edgewise.wire.random;

import edgewise.wire.Bytes;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * NumPy's default generator, bit for bit: PCG XSL-RR 128/64 (O'Neill 2014) seeded through SeedSequence, and the draws
 * of {@code Generator} that edgewise uses. So a phone takes a round's examples in the order in which a Pi would.
 *
 * <p>The 128-bit state is two longs; {@code tests/golden/random.json} pins every draw to NumPy's.
 */
public final class Pcg64 {
    private static final long MULTIPLIER_HIGH = 2549297995355413924L;
    private static final long MULTIPLIER_LOW = 4865540595714422341L;

    private long high;
    private long low;
    private long incrementHigh;
    private long incrementLow;
    private boolean hasHalf;
    private int half;

    private Pcg64() {}

    /** Returns {@code numpy.random.default_rng(words)} for a list of 32-bit numbers. */
    public static Pcg64 ofWords(int... words) {
        long[] state = new SeedSequence(words).generate64(4);
        Pcg64 made = new Pcg64();
        made.incrementHigh = state[2] << 1 | state[3] >>> 63;
        made.incrementLow = state[3] << 1 | 1;
        made.step();
        made.add(state[0], state[1]);
        made.step();
        return made;
    }

    /** Returns the generator of one device in one round: {@code edgewise_edge.local_training.device_generator}. */
    public static Pcg64 ofDevice(long seed, long round, String device) {
        int[] name = words(Bytes.hash(device.getBytes(StandardCharsets.UTF_8)));
        // NumPy drops a number's leading zero words, but writes zero as one word: each number here is one word.
        int[] entropy = {(int) seed, (int) (seed >>> 32), (int) round, (int) (round >>> 32)};
        int[] all = Arrays.copyOf(entropy, entropy.length + name.length);
        System.arraycopy(name, 0, all, entropy.length, name.length);
        return ofWords(all);
    }

    /** Returns little-endian bytes as 32-bit words. */
    public static int[] words(byte[] data) {
        int[] words = new int[data.length / 4];
        for (int i = 0; i < words.length; i++) words[i] = Bytes.i32(data, 4 * i);
        return words;
    }

    private void step() {
        long productLow = low * MULTIPLIER_LOW;
        long productHigh = multiplyHigh(low, MULTIPLIER_LOW) + high * MULTIPLIER_LOW + low * MULTIPLIER_HIGH;
        high = productHigh;
        low = productLow;
        add(incrementHigh, incrementLow);
    }

    private void add(long addHigh, long addLow) {
        low += addLow;
        high += addHigh + (low + Long.MIN_VALUE < addLow + Long.MIN_VALUE ? 1 : 0);
    }

    /** Returns the upper half of an unsigned product; {@code Math.multiplyHigh} came to Android with API 31. */
    private static long multiplyHigh(long x, long y) {
        long x0 = x & 0xFFFFFFFFL, x1 = x >>> 32, y0 = y & 0xFFFFFFFFL, y1 = y >>> 32;
        long middle = x1 * y0 + (x0 * y0 >>> 32);
        long other = x0 * y1 + (middle & 0xFFFFFFFFL);
        return x1 * y1 + (middle >>> 32) + (other >>> 32);
    }

    /** Returns the next 64 bits ({@code bit_generator.random_raw}). */
    public long next64() {
        step();
        return Long.rotateRight(high ^ low, (int) (high >>> 58));
    }

    /** Returns the next 32 bits: the lower half of 64 first, then the upper one. */
    public int next32() {
        if (hasHalf) {
            hasHalf = false;
            return half;
        }
        long both = next64();
        hasHalf = true;
        half = (int) (both >>> 32);
        return (int) both;
    }

    /** Returns a number from 0 to {@code top}, both included, top below 2^32 - 1 (Lemire 2019). */
    private long bounded(long top) {
        if (top == 0) return 0;
        long range = top + 1;
        long product = (next32() & 0xFFFFFFFFL) * range;
        long left = product & 0xFFFFFFFFL;
        if (left < range) {
            long threshold = (0xFFFFFFFFL - top) % range;
            while (left < threshold) {
                product = (next32() & 0xFFFFFFFFL) * range;
                left = product & 0xFFFFFFFFL;
            }
        }
        return product >>> 32;
    }

    /** Returns {@code Generator.integers(end)} for an end of 1 to 2^32 - 1. */
    public long integers(long end) {
        return bounded(end - 1);
    }

    /** Returns {@code Generator.random()}: a number from 0 to 1. */
    public double random() {
        return (next64() >>> 11) * 0x1.0p-53;
    }

    /** Returns {@code Generator.permutation(count)}. */
    public int[] permutation(int count) {
        int[] numbers = new int[count];
        for (int i = 0; i < count; i++) numbers[i] = i;
        shuffle(numbers);
        return numbers;
    }

    /** Returns {@code Generator.permutation(numbers)}: a copy, shuffled. */
    public int[] permutation(int[] numbers) {
        int[] copy = numbers.clone();
        shuffle(copy);
        return copy;
    }

    private void shuffle(int[] numbers) {
        for (int i = numbers.length - 1; i >= 1; i--) {
            int mask = -1 >>> Integer.numberOfLeadingZeros(i), j;
            do {
                j = next32() & mask; // NumPy shuffles by rejection, and draws integers by multiplication
            } while (j > i);
            int kept = numbers[j];
            numbers[j] = numbers[i];
            numbers[i] = kept;
        }
    }
}
