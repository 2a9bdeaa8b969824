package edgewise.wire.secure;

import edgewise.wire.Bytes;
import edgewise.wire.crypto.Agreement;
import edgewise.wire.errors.ConfigError;

/**
 * Noise that adds up: each device's share is Skellam, and so is their sum (Agarwal et al. 2021). The same draws as
 * {@code wire/edgewise_wire/secure/skellam.py} under the same key.
 */
public final class Skellam {
    private static final double TAIL = 12, TINY = 1e-250, LARGE = 1e250;

    private Skellam() {}

    /**
     * Returns independent Skellam noise of mean 0.
     *
     * @param key 32 secret bytes; the same key gives the same noise
     * @throws ConfigError if the variance is not above 0 and up to 10^12
     */
    public static long[] draw(int size, double variance, byte[] key) {
        if (!(variance > 0 && variance <= Noise.VARIANCE_MAX)) {
            throw new ConfigError("Skellam noise: expected a variance above 0 and up to 1e12, got " + variance);
        }
        double[] above = above(variance);
        byte[] stream = Agreement.keyStream(key, 8 * size);
        long[] out = new long[size];
        for (int i = 0; i < size; i++) {
            long word = Bytes.i64(stream, 8 * i);
            // 63 bits choose the magnitude by how many of P(|X| > m) they lie below, the last bit the sign.
            double chosen = ((double) (word >>> 1) + 0.5) * 0x1.0p-63;
            int low = 0, high = above.length; // the first that is not above `chosen`
            while (low < high) {
                int middle = (low + high) >>> 1;
                if (above[middle] > chosen) low = middle + 1;
                else high = middle;
            }
            out[i] = (word & 1) != 0 ? low : -low;
        }
        return out;
    }

    /** Returns P(|X| > m) for m = 0, 1, 2, …, each summed from the tail so that small ones are right. */
    private static double[] above(double variance) {
        double[] values = probabilities(variance), above = new double[values.length - 1];
        double sum = 0;
        for (int m = above.length - 1; m >= 0; m--) above[m] = sum += 2 * values[m + 1];
        return above;
    }

    /** Returns P(X = m) for m = 0, 1, 2, …: e^-v I_m(v), by Miller's recurrence from the tail, which is stable. */
    static double[] probabilities(double variance) {
        int most = (int) Math.ceil(TAIL * Math.sqrt(variance)) + 40;
        double[] found = new double[most + 2];
        found[most] = TINY;
        for (int order = most; order > 0; order--) {
            found[order - 1] = found[order + 1] + 2.0 * order / variance * found[order];
            if (found[order - 1] > LARGE) for (int i = order - 1; i <= most; i++) found[i] *= TINY;
        }
        double sum = 0, lost = 0; // from the tail, with what each addition lost (Neumaier 1974)
        for (int m = most; m > 0; m--) {
            double total = sum + found[m];
            lost += Math.abs(sum) >= found[m] ? sum - total + found[m] : found[m] - total + sum;
            sum = total;
        }
        double whole = found[0] + 2 * (sum + lost);
        double[] out = new double[most + 1];
        for (int m = 0; m <= most; m++) out[m] = found[m] / whole;
        return out;
    }
}
