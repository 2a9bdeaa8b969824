package edgewise.wire.secure;

import edgewise.wire.errors.InputError;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Shamir's secret sharing over the integers modulo 2^256 + 297 (Shamir 1979): the device's half. A secret of 32 bytes is
 * the value at 0 of a polynomial of degree threshold − 1; a share, of 33 bytes, is its value at a holder's own point.
 */
final class Shamir {
    static final int SHARE_BYTES = 33, COEFFICIENT_BYTES = 40; // 40 modulo a prime of 33 are uniform but for 2^-64
    private static final BigInteger PRIME = BigInteger.ONE.shiftLeft(256).add(BigInteger.valueOf(297));

    private Shamir() {}

    /** Returns how many random bytes a sharing takes. */
    static int coefficientBytes(int threshold) {
        return COEFFICIENT_BYTES * (threshold - 1);
    }

    /** Returns a share for each point; the coefficients stand from the first power upwards. */
    static List<byte[]> split(byte[] secret, List<Integer> points, int threshold, byte[] coefficients) {
        if (threshold < 1 || threshold > points.size() || coefficients.length != coefficientBytes(threshold)) {
            throw new InputError("sharing a secret: expected a threshold of 1 to " + points.size() + " holders, got "
                    + threshold);
        }
        BigInteger[] numbers = new BigInteger[threshold];
        numbers[0] = new BigInteger(1, secret);
        for (int i = 1; i < threshold; i++) {
            int at = COEFFICIENT_BYTES * (i - 1);
            numbers[i] = new BigInteger(1, Arrays.copyOfRange(coefficients, at, at + COEFFICIENT_BYTES)).mod(PRIME);
        }
        List<byte[]> shares = new ArrayList<>();
        for (int point : points) {
            BigInteger value = BigInteger.ZERO, x = BigInteger.valueOf(point);
            for (int i = threshold - 1; i >= 0; i--) value = value.multiply(x).add(numbers[i]).mod(PRIME);
            shares.add(bytes(value));
        }
        return shares;
    }

    private static byte[] bytes(BigInteger value) {
        byte[] raw = value.toByteArray(), out = new byte[SHARE_BYTES]; // 257 bits: never more than 33 bytes
        System.arraycopy(raw, 0, out, SHARE_BYTES - raw.length, raw.length);
        return out;
    }
}
