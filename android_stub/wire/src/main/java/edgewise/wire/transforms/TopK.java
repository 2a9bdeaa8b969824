package edgewise.wire.transforms;

import edgewise.wire.Bytes;
import edgewise.wire.errors.ConfigError;
import edgewise.wire.errors.InputError;
import edgewise.wire.errors.ProtocolError;
import java.util.Arrays;

/**
 * The largest values only, as float16; the rest waits on the device for a later round (Stich et al. 2018, Algorithm 1).
 * Which values they are is an Elias–Fano sequence (Elias 1974).
 *
 * <p>Where several values are equal in size and only some of them fit, the first ones are sent; NumPy picks others.
 */
final class TopK implements Codec {
    private static final double MOST = 0.5; // beyond it float16 of everything is smaller

    private final double fraction;

    TopK(double fraction) {
        if (!(fraction > 0 && fraction <= MOST)) {
            throw new ConfigError("top-k: expected a fraction above 0 and at most " + MOST + ", got " + fraction);
        }
        this.fraction = fraction;
    }

    @Override
    public String name() {
        return "topk-" + Numbers.general(fraction);
    }

    @Override
    public boolean stateful() {
        return true;
    }

    private int count(int parameters) {
        return Math.max(1, (int) Math.ceil(fraction * parameters));
    }

    private static int lowBits(int parameters, int k) {
        return Math.max(0, 31 - Integer.numberOfLeadingZeros(parameters / k));
    }

    private static int unaryBits(int parameters, int k) {
        return k + (parameters - 1 >> lowBits(parameters, k));
    }

    private static int indexBytes(int parameters, int k) {
        return lowBits(parameters, k) * Planes.bytes(k) + Planes.bytes(unaryBits(parameters, k));
    }

    @Override
    public long size(int parameters) {
        int k = count(parameters);
        return Header.BYTES + 4L + indexBytes(parameters, k) + 2L * k;
    }

    @Override
    public Encoded encode(float[] update, Key key, float[] residual) {
        if (residual != null && residual.length != update.length) {
            throw new InputError("residual: expected float32[" + update.length + "], got float32[" + residual.length
                    + "]; delete it");
        }
        float[] total = update.clone();
        if (residual != null) for (int i = 0; i < total.length; i++) total[i] += residual[i];
        Codec.checkValues(total);
        int n = total.length, k = count(n);
        int[] chosen = largest(total, k);
        double most = 0;
        for (int index : chosen) most = Math.max(most, Math.abs((double) total[index]));
        double scale = Halves.powerScale(most);
        float inverse = (float) (1 / scale);
        byte[] out = new byte[(int) size(n)];
        Header.write(out, Header.TOP_K, 0, n, key);
        Bytes.putF32(out, Header.BYTES, (float) scale);
        int at = writeIndices(chosen, n, out, Header.BYTES + 4);
        for (int index : chosen) {
            int half = Halves.fromFloat(total[index] * inverse);
            Halves.put(out, at, half);
            at += 2;
            total[index] -= Halves.toFloat(half) * (float) scale;
        }
        return new Encoded(out, total);
    }

    /** Returns the places of the k largest values, ascending; among equals the first ones. */
    private static int[] largest(float[] values, int k) {
        float[] sizes = new float[values.length];
        for (int i = 0; i < sizes.length; i++) sizes[i] = Math.abs(values[i]);
        float[] sorted = sizes.clone();
        Arrays.sort(sorted);
        float border = sorted[sorted.length - k];
        int above = 0;
        for (float size : sizes) if (size > border) above++;
        int[] chosen = new int[k];
        for (int i = 0, at = 0, equals = k - above; i < sizes.length; i++) {
            if (sizes[i] > border || sizes[i] == border && equals-- > 0) chosen[at++] = i;
        }
        return chosen;
    }

    private static int writeIndices(int[] indices, int parameters, byte[] out, int at) {
        int low = lowBits(parameters, indices.length);
        int unary = Planes.pack(indices, indices.length, low, out, at);
        for (int i = 0; i < indices.length; i++) {
            int bit = (indices[i] >>> low) + i;
            out[unary + (bit >> 3)] |= (byte) (1 << (bit & 7));
        }
        return unary + Planes.bytes(unaryBits(parameters, indices.length));
    }

    @Override
    public float[] decode(byte[] data, int parameters, Key key) {
        Header.check(data, size(parameters), Header.TOP_K, 0, parameters, key);
        int k = count(parameters), start = Header.BYTES + 4;
        float[] values = Halves.read(data, start + indexBytes(parameters, k), k, Halves.readScale(data, Header.BYTES));
        int[] indices = readIndices(data, start, parameters, k);
        float[] out = new float[parameters];
        for (int i = 0; i < k; i++) out[indices[i]] = values[i];
        return out;
    }

    private static int[] readIndices(byte[] data, int at, int parameters, int k) {
        int low = lowBits(parameters, k), unary = at + low * Planes.bytes(k);
        int[] lows = new int[k], found = new int[k];
        Planes.unpack(data, at, k, low, lows);
        int ones = 0;
        for (int bit = 0, end = 8 * Planes.bytes(unaryBits(parameters, k)); bit < end; bit++) {
            if ((data[unary + (bit >> 3)] >>> (bit & 7) & 1) == 0) continue;
            if (ones < k) found[ones] = (bit - ones << low) + lows[ones];
            ones++;
        }
        if (ones != k) throw new ProtocolError("encoded update: expected " + k + " indices, got " + ones);
        for (int i = 0; i < k; i++) {
            if (found[i] < 0 || found[i] >= parameters || i > 0 && found[i] <= found[i - 1]) {
                throw new ProtocolError("encoded update: expected ascending indices below " + parameters);
            }
        }
        return found;
    }
}
