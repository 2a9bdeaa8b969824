package edgewise.wire.transforms;

import edgewise.wire.errors.InputError;

/**
 * How an update becomes bytes and is had back; the classes beside this one are one idea each, and do just what their
 * namesakes in {@code wire/edgewise_wire/transforms} do, bit for bit ({@code tests/golden/encodings.json}).
 */
public interface Codec {
    /** No value beyond it: a sum of 2^16 of them, or a square root of one, is still a float32. */
    double LARGEST = 0x1.0p100;

    /** Returns the name on the wire. */
    String name();

    /**
     * Returns an update's bytes.
     *
     * @param residual what was not said in earlier rounds, {@code null} where nothing is owed
     * @throws InputError if a value is not finite or beyond 2^100
     */
    Encoded encode(float[] update, Key key, float[] residual);

    /**
     * Returns the update inside {@code data}: so many finite numbers.
     *
     * @throws edgewise.wire.errors.ProtocolError for any bytes that are not one
     */
    float[] decode(byte[] data, int parameters, Key key);

    /** Returns the exact number of bytes for so many parameters. */
    long size(int parameters);

    /** Returns whether what is not said now is said in a later round (error feedback). */
    default boolean stateful() {
        return false;
    }

    /** An update's bytes, and what they leave unsaid, {@code null} for a codec that keeps nothing. */
    record Encoded(byte[] data, float[] residual) {}

    /** Returns the largest absolute value of an update. Throws {@link InputError} if it cannot be sent. */
    static double checkValues(float[] update) {
        if (update.length == 0) throw new InputError("update of no numbers: expected at least one");
        double largest = 0;
        for (float value : update) {
            double size = Math.abs((double) value);
            if (!(size <= LARGEST)) throw new InputError("update: expected finite values of at most 2^100, got " + value);
            if (size > largest) largest = size;
        }
        return largest;
    }

    /** Returns frexp's exponent: value is m * 2^e with m from 0.5 to 1; 0 for 0. */
    static int exponent(double value) {
        return value == 0 ? 0 : Math.getExponent(value) + 1; // no double that was a float32 is subnormal
    }
}
