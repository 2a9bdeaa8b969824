package edgewise.wire;

import edgewise.wire.errors.InputError;
import edgewise.wire.model.WeightSpec;
import java.util.List;

/**
 * Weights and updates as they travel: one flat vector of float32, every averaged weight in the manifest's order,
 * little-endian on the wire.
 */
public final class Weights {
    private Weights() {}

    /** Returns how many numbers an update has. */
    public static int parameters(List<WeightSpec> specs) {
        long total = 0;
        for (WeightSpec spec : specs) if (spec.averaged()) total += spec.size();
        return Math.toIntExact(total);
    }

    /** Returns the wire form of a flat vector. */
    public static byte[] toBytes(float[] flat) {
        byte[] out = new byte[4 * flat.length];
        for (int i = 0; i < flat.length; i++) Bytes.putF32(out, 4 * i, flat[i]);
        return out;
    }

    /**
     * Reads a flat vector of {@code count} numbers.
     *
     * @throws InputError if the number of bytes is not four times as many
     */
    public static float[] fromBytes(byte[] data, int count) {
        if (data.length != 4L * count) {
            throw new InputError("flat weights: expected " + 4L * count + " bytes (float32[" + count + "]), got "
                    + data.length);
        }
        return floats(data, 0, count);
    }

    /** Returns {@code count} little-endian float32s from {@code at} on. */
    public static float[] floats(byte[] data, int at, int count) {
        float[] out = new float[count];
        for (int i = 0; i < count; i++) out[i] = Bytes.f32(data, at + 4 * i);
        return out;
    }

    /** Returns whether every number is finite. */
    public static boolean finite(float[] values) {
        for (float value : values) if (!Float.isFinite(value)) return false;
        return true;
    }
}
