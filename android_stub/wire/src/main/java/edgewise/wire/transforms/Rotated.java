package edgewise.wire.transforms;

import edgewise.wire.Bytes;
import edgewise.wire.errors.ConfigError;
import edgewise.wire.errors.ProtocolError;
import edgewise.wire.random.Pcg64;

/** Rotated k-bit stochastic quantisation (Suresh et al. 2017, §3): 2^bits levels between a block's least and largest. */
final class Rotated implements Codec {
    private static final float FLAT = 0x1.0p-100f; // a block whose values differ by less is sent as its least value

    private final int bits;
    private final int top;

    Rotated(int bits) {
        if (bits < 1 || bits > 8) {
            throw new ConfigError("rotated quantisation: expected 1 to 8 bits, got " + bits);
        }
        this.bits = bits;
        top = (1 << bits) - 1;
    }

    @Override
    public String name() {
        return "rotated-" + bits;
    }

    @Override
    public long size(int parameters) {
        return Header.BYTES + 8L * Rotation.blocks(parameters)
                + (long) bits * Planes.bytes(Rotation.padded(parameters));
    }

    @Override
    public Encoded encode(float[] update, Key key, float[] residual) {
        Codec.checkValues(update);
        byte[] out = new byte[(int) size(update.length)];
        Header.write(out, Header.ROTATED, bits, update.length, key);
        Pcg64 dice = key.noise();
        Rotation rotation = new Rotation(update.length, key, 1);
        int at = Header.BYTES + 8 * Rotation.blocks(update.length);
        for (Rotation.Chunk chunk : Rotation.chunks(update.length)) {
            float[] matrix = rotation.forward(update, chunk);
            float[] low = new float[chunk.columns()], high = new float[chunk.columns()];
            range(matrix, chunk, low, high);
            for (int column = 0; column < chunk.columns(); column++) {
                Bytes.putF32(out, Header.BYTES + 8 * (chunk.column() + column), low[column]);
                Bytes.putF32(out, Header.BYTES + 8 * (chunk.column() + column) + 4, high[column]);
            }
            at = Planes.pack(levels(matrix, chunk, low, high, dice), chunk.padded(), bits, out, at);
        }
        return new Encoded(out, null);
    }

    private static void range(float[] matrix, Rotation.Chunk chunk, float[] low, float[] high) {
        int columns = chunk.columns();
        System.arraycopy(matrix, 0, low, 0, columns);
        System.arraycopy(matrix, 0, high, 0, columns);
        for (int i = columns, column = 0; i < chunk.padded(); i++) {
            if (matrix[i] < low[column]) low[column] = matrix[i];
            if (matrix[i] > high[column]) high[column] = matrix[i];
            if (++column == columns) column = 0;
        }
    }

    /** Returns each value's level, the one below or above it, by a die of 2^16 sides. */
    private int[] levels(float[] matrix, Rotation.Chunk chunk, float[] low, float[] high, Pcg64 dice) {
        int columns = chunk.columns();
        float[] scale = new float[columns];
        for (int column = 0; column < columns; column++) {
            float span = high[column] - low[column];
            scale[column] = span > FLAT ? (float) top / span : 0f;
        }
        int[] codes = new int[chunk.padded()];
        long sides = 0;
        for (int i = 0, column = 0; i < codes.length; i++) {
            if ((i & 3) == 0) sides = dice.next64();
            float die = ((int) (sides >>> 16 * (i & 3)) & 0xFFFF) + 0.5f;
            float value = (matrix[i] - low[column]) * scale[column] + die * 0x1.0p-16f;
            codes[i] = (int) Math.min(Math.max(value, 0f), (float) top);
            if (++column == columns) column = 0;
        }
        return codes;
    }

    @Override
    public float[] decode(byte[] data, int parameters, Key key) {
        Header.check(data, size(parameters), Header.ROTATED, bits, parameters, key);
        int blocks = Rotation.blocks(parameters);
        float[] low = new float[blocks], step = new float[blocks];
        for (int i = 0; i < blocks; i++) {
            low[i] = Bytes.f32(data, Header.BYTES + 8 * i);
            float high = Bytes.f32(data, Header.BYTES + 8 * i + 4);
            double most = LARGEST * Rotation.BLOCK;
            if (!(Math.abs((double) low[i]) <= most && Math.abs((double) high) <= most && low[i] <= high)) {
                throw new ProtocolError("encoded update: expected finite ranges of at most 2^112, the least value first");
            }
            step[i] = (high - low[i]) / (float) top;
        }
        Rotation rotation = new Rotation(parameters, key, 1);
        float[] out = new float[parameters];
        int at = Header.BYTES + 8 * blocks;
        for (Rotation.Chunk chunk : Rotation.chunks(parameters)) {
            int[] codes = new int[chunk.padded()];
            Planes.unpack(data, at, chunk.padded(), bits, codes);
            at += bits * Planes.bytes(chunk.padded());
            float[] matrix = rotation.matrix();
            for (int i = 0, column = 0; i < codes.length; i++) {
                int block = chunk.column() + column;
                matrix[i] = codes[i] * step[block] + low[block];
                if (++column == chunk.columns()) column = 0;
            }
            rotation.inverse(chunk, out);
        }
        return out;
    }
}
