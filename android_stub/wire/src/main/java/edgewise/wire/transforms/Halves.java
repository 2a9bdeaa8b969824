package edgewise.wire.transforms;

import edgewise.wire.Bytes;
import edgewise.wire.errors.ProtocolError;

/** Numbers as float16, behind a power of two that moves the largest of them to the top of the range. */
final class Halves {
    private static final int TOP = 15; // rounding up cannot reach float16's infinity at 2^16

    private Halves() {}

    /** Returns the power of two by which float16s are multiplied so that the largest is at the top of their range. */
    static double powerScale(double largest) {
        if (largest == 0) return 1;
        return Math.scalb(1.0, Math.max(-126, Codec.exponent(largest) - TOP)); // 1/scale must be a float32, too
    }

    /** Reads a scale. Throws {@link ProtocolError} if it is not a positive number of at most 2^100. */
    static float readScale(byte[] data, int at) {
        float scale = Bytes.f32(data, at);
        if (!(scale > 0 && scale <= Codec.LARGEST)) {
            throw new ProtocolError("encoded update: scale: expected a positive number of at most 2^100, got " + scale);
        }
        return scale;
    }

    /** Returns the nearest float16's bits, ties to even (IEEE 754 §4.3.1). */
    static int fromFloat(float value) {
        int bits = Float.floatToRawIntBits(value);
        int sign = bits >>> 16 & 0x8000;
        int magnitude = bits & 0x7FFFFFFF;
        if (magnitude >= 0x47800000) return sign | (magnitude > 0x7F800000 ? 0x7E00 : 0x7C00);
        if (magnitude < 0x38800000) { // subnormal: in steps of 2^-24; the product is exact, rint ties to even
            return sign | (int) Math.rint(Math.abs((double) value) * 0x1.0p24);
        }
        int rounded = magnitude + 0xFFF + (magnitude >>> 13 & 1);
        return sign | (rounded - 0x38000000) >>> 13;
    }

    /** Returns the float32 that a finite float16 is. */
    static float toFloat(int half) {
        int exponent = half >>> 10 & 31, fraction = half & 0x3FF;
        float size = exponent == 0
                ? fraction * 0x1.0p-24f
                : Float.intBitsToFloat(exponent + 112 << 23 | fraction << 13);
        return (half & 0x8000) != 0 ? -size : size;
    }

    /** Reads {@code count} float16s times {@code scale}. Throws {@link ProtocolError} if one is not finite. */
    static float[] read(byte[] data, int at, int count, float scale) {
        float[] out = new float[count];
        for (int i = 0; i < count; i++) {
            int half = Bytes.u16(data, at + 2 * i);
            if ((half & 0x7FFF) >= 0x7C00) {
                throw new ProtocolError("encoded update: expected finite float16 values, got NaN or infinity");
            }
            out[i] = toFloat(half) * scale;
        }
        return out;
    }

    static void put(byte[] out, int at, int half) {
        out[at] = (byte) half;
        out[at + 1] = (byte) (half >> 8);
    }
}
