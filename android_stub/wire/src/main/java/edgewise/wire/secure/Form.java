package edgewise.wire.secure;

import edgewise.wire.Messages.SecureTerms;
import edgewise.wire.errors.ConfigError;
import edgewise.wire.errors.InputError;
import edgewise.wire.transforms.Planes;
import java.math.BigInteger;
import java.util.function.DoubleSupplier;

/**
 * How a secure round's updates become words, fixed point with clipping: a device sends its update, its weight, its loss, so
 * that everything that the coordinator would ask a single device in a plain round travels inside the sum. The same as
 * {@code wire/edgewise_wire/secure/form.py} and {@code fixed_point.py}.
 *
 * @param cohort the most devices that are summed
 * @param valueBits of one device's number, its sign included: 2 to 24
 * @param range numbers beyond ± are clipped to it
 * @param weightMax examples beyond it do not count more; 1 is equal weights
 * @param noise variance, in steps², of the noise that each device adds to each number of its update; 0 for none
 */
public record Form(long cohort, int valueBits, double range, long weightMax, double noise) {
    /** An update's encoding in a secure round, as assignments and uploads name it. */
    public static final String ENCODING = "masked";
    /** Words behind the update: the weight, the loss. */
    public static final int EXTRA = 2;
    /** Devices of a secure round: the shares of so many neighbours fit one payload. */
    public static final int COHORT_MAX = 1536;
    private static final int MODULUS_BITS_MAX = 32, THROWS = 16; // one throw in two holds the norm of `roundedNorm`
    private static final double NOISE_TAIL = 12, LOSS_MAX = 32; // standard deviations; nats

    /** Throws {@link ConfigError} if a value is out of its range, or the sum would not fit 32 bits. */
    public Form {
        if (valueBits < 2 || valueBits > 24) {
            throw new ConfigError("secure aggregation: expected values of 2 to 24 bits, got " + valueBits);
        }
        if (!(range > 0 && range <= 1e6)) {
            throw new ConfigError("secure aggregation: expected a range above 0 and up to 1e6, got " + range);
        }
        if (cohort < 1 || weightMax < 1 || weightMax >= 1L << 31) {
            throw new ConfigError("secure aggregation: expected a cohort and a largest weight of at least 1, got " + cohort
                    + " and " + weightMax);
        }
        if (!(noise >= 0 && noise < 0x1.0p60)) {
            throw new ConfigError("secure aggregation: expected a variance of at least 0, got " + noise);
        }
        int bits = modulusBits(cohort, valueBits, weightMax, noise);
        if (bits > MODULUS_BITS_MAX) {
            throw new ConfigError("secure aggregation of " + cohort + " devices with values of " + valueBits
                    + " bits and weights up to " + weightMax + ": the sum needs " + bits + " bits, at most "
                    + MODULUS_BITS_MAX + " can be had; take fewer bits or a smaller largest weight");
        }
    }

    /** Returns the form of an assignment's terms. Throws {@link ConfigError} if they are impossible. */
    public static Form of(SecureTerms terms) {
        return new Form(terms.cohort(), terms.valueBits(), terms.range(), terms.weightMax(), terms.noise());
    }

    private static int modulusBits(long cohort, int valueBits, long weightMax, double noise) {
        BigInteger devices = BigInteger.valueOf(cohort);
        BigInteger tail = BigInteger.valueOf((long) Math.ceil(NOISE_TAIL * Math.sqrt(cohort * noise)));
        BigInteger values = devices.multiply(BigInteger.valueOf((1L << (valueBits - 1)) - 1)).add(tail);
        return values.max(devices.multiply(BigInteger.valueOf(weightMax))).bitLength() + 1;
    }

    /** Returns the largest word that a clipped number becomes. */
    public int top() {
        return (1 << (valueBits - 1)) - 1;
    }

    /** Returns how much of an update one unit is, for a device of the largest weight. */
    public double step() {
        return range / top();
    }

    /** Returns the bits of a word: as few as hold any sum of the cohort, of either sign, with its noise. */
    public int modulusBits() {
        return modulusBits(cohort, valueBits, weightMax, noise);
    }

    /** Returns how many bytes the masked words of an update have. */
    public long packedBytes(long parameters) {
        long length = parameters + EXTRA, width = modulusBits();
        return width / 8 * length + width % 8 * ((length + 7) / 8);
    }

    /**
     * Returns a device's words, modulo 2^32: the update's, the weight, the loss.
     *
     * @param dice numbers from 0 to 1 for stochastic rounding
     * @param norm the most that the L2 norm of the update's words may be, in steps, before noise; the dice are thrown again
     *     until it holds (Kairouz et al. 2021, §4.1), and at last numbers are cut off instead
     * @param added noise for each number of the update, or {@code null}; the loss, which has none, is then not told
     * @throws InputError if a number is not finite
     */
    public int[] encode(float[] update, int examples, float loss, DoubleSupplier dice, double norm, long[] added) {
        long weight = Math.min(Math.max(1, examples), weightMax);
        double share = (double) weight / weightMax;
        int[] words = new int[update.length + EXTRA];
        for (int thrown = 0; thrown <= THROWS; thrown++) {
            double squares = round(update, share, thrown < THROWS ? dice : null, words);
            if (squares <= norm * norm) break;
        }
        if (added != null) for (int i = 0; i < update.length; i++) words[i] += (int) added[i]; // modulo 2^32
        words[update.length] = (int) weight;
        if (added == null) {
            double bounded = Float.isFinite(loss) ? Math.min(Math.max(loss, 0.0), LOSS_MAX) : LOSS_MAX;
            double told = bounded / LOSS_MAX * share * top() + dice.getAsDouble();
            words[update.length + 1] = Math.min(top(), (int) told);
        }
        return words;
    }

    /** Puts the update's words into {@code words}, towards zero without dice; returns the square of their norm. */
    private double round(float[] update, double share, DoubleSupplier dice, int[] words) {
        double scale = share / step(), squares = 0;
        int top = top();
        for (int i = 0; i < update.length; i++) {
            if (!Float.isFinite(update[i])) {
                throw new InputError("update: expected finite values, got NaN or infinity");
            }
            double value = Math.min(Math.max(update[i], -range), range) * scale;
            value = dice == null ? (value < 0 ? Math.ceil(value) : Math.floor(value)) : Math.floor(value + dice.getAsDouble());
            value = Math.min(Math.max(value, -top), top);
            squares += value * value;
            words[i] = (int) value;
        }
        return squares;
    }

    /**
     * Returns a bound on the norm of rounded numbers that half of all throws hold (Kairouz et al. 2021, equation 5).
     *
     * @param norm of the numbers before, in steps
     * @param numbers how many there are
     */
    public static double roundedNorm(double norm, int numbers) {
        double root = Math.sqrt(numbers);
        return Math.min(norm + root, Math.sqrt(norm * norm + numbers / 4.0 + norm + root / 2));
    }

    /** Returns the lowest bits of each word, packed: planes of whole bytes, the lowest first, then planes of single bits. */
    public byte[] pack(int[] words) {
        int width = modulusBits(), whole = width / 8, rest = width % 8, length = words.length;
        byte[] out = new byte[(int) packedBytes(length - EXTRA)];
        for (int plane = 0; plane < whole; plane++) {
            for (int i = 0; i < length; i++) out[plane * length + i] = (byte) (words[i] >>> 8 * plane);
        }
        if (rest > 0) {
            int[] last = new int[length];
            for (int i = 0; i < length; i++) last[i] = words[i] >>> 8 * whole;
            Planes.pack(last, length, rest, out, whole * length);
        }
        return out;
    }
}
