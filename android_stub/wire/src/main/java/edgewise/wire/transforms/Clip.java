package edgewise.wire.transforms;

import edgewise.wire.errors.ConfigError;
import edgewise.wire.errors.InputError;

/** Flat clipping (McMahan et al. 2018, §3): an update longer than the clipping norm is shrunk to it, then encoded. */
public final class Clip implements Codec {
    private static final int ROWS = 32, LANES = 1024;

    private final double norm;
    private final Codec codec;

    Clip(double norm, Codec codec) {
        if (!(norm > 0 && norm < Double.POSITIVE_INFINITY)) {
            throw new ConfigError("clipping norm: expected a positive number, got " + norm);
        }
        if (codec.stateful()) {
            throw new ConfigError("clip-" + Numbers.general(norm) + " does not compose with " + codec.name()
                    + ": what error feedback adds from earlier rounds is not clipped");
        }
        if (codec instanceof Clip) throw new ConfigError("one clipping norm is enough; keep the smaller one");
        this.norm = norm;
        this.codec = codec;
    }

    @Override
    public String name() {
        String first = "clip-" + Numbers.general(norm);
        return codec instanceof Float32 ? first : first + "+" + codec.name();
    }

    @Override
    public long size(int parameters) {
        return codec.size(parameters);
    }

    @Override
    public Encoded encode(float[] update, Key key, float[] residual) {
        if (!Double.isFinite(norm(update))) throw new InputError("update: expected finite values, got NaN or infinity");
        return codec.encode(shrunk(update, norm), key, residual);
    }

    /** Returns the update; the coordinator checks its norm, a device has no need to. */
    @Override
    public float[] decode(byte[] data, int parameters, Key key) {
        return shrunk(codec.decode(data, parameters, key), norm);
    }

    /** Returns {@code update}, or a copy that is shrunk to {@code norm}. */
    public static float[] shrunk(float[] update, double norm) {
        double found = norm(update);
        if (found <= norm) return update;
        float factor = Math.nextAfter((float) (norm / found), 0.0); // rounded down: never above the limit
        float[] out = new float[update.length];
        for (int i = 0; i < out.length; i++) out[i] = update[i] * factor;
        return out;
    }

    /** Returns the L2 norm, the same on every machine: sums in an order that no library chooses. */
    public static double norm(float[] update) {
        double[] lanes = new double[LANES];
        for (int start = 0; start < update.length; start += ROWS * LANES) {
            int length = Math.min(ROWS * LANES, update.length - start), whole = length / LANES * LANES;
            double[] sums = new double[LANES];
            for (int i = 0; i < whole; i++) sums[i % LANES] += square(update[start + i]);
            for (int i = 0; i < LANES; i++) lanes[i] += sums[i];
            for (int i = whole; i < length; i++) lanes[i - whole] += square(update[start + i]);
        }
        for (double lane : lanes) if (!Double.isFinite(lane)) return lane;
        return Math.sqrt(Numbers.exactSum(lanes));
    }

    private static double square(float value) {
        return (double) value * value;
    }
}
