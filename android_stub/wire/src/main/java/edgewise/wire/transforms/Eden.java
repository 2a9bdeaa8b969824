package edgewise.wire.transforms;

import edgewise.wire.Bytes;
import edgewise.wire.errors.ConfigError;
import edgewise.wire.errors.ProtocolError;

/**
 * DRIVE and EDEN (Vargaftik et al. 2021, 2022): rotate, then send each value's nearest Lloyd–Max level and one scale a
 * block. {@code eden} has the scale that makes it unbiased, {@code lloyd} the one of least error.
 */
final class Eden implements Codec {
    private static final int ROUNDS = 2;
    private static final float GROWTH_LIMIT = 2f;
    private static final double[][] LEVELS = {
        {},
        {0.7978845608028654},
        {0.4527800398860679, 1.5104176087114887},
        {0.24509416307340598, 0.7560052489539643, 1.3439092613750225, 2.151945669890335},
        {
            0.12839501671105813, 0.38804823445328507, 0.6567589957631145, 0.9423402689122875,
            1.2562309480263467, 1.6180460517130526, 2.069016730231837, 2.732588804065177,
        },
    };

    private final boolean unbiased;
    private final int bits;
    private final int number;
    private final float[] table;

    Eden(boolean unbiased, int bits) {
        if (bits < 1 || bits > 4) {
            throw new ConfigError((unbiased ? "eden" : "lloyd") + ": expected 1 to 4 bits, got " + bits);
        }
        this.unbiased = unbiased;
        this.bits = bits;
        number = unbiased ? Header.EDEN : Header.LLOYD;
        int half = LEVELS[bits].length;
        table = new float[2 * half];
        for (int i = 0; i < half; i++) {
            table[i] = (float) LEVELS[bits][i];
            table[half + i] = (float) -LEVELS[bits][i];
        }
    }

    @Override
    public String name() {
        return (unbiased ? "eden-" : "lloyd-") + bits;
    }

    @Override
    public long size(int parameters) {
        return Header.BYTES + 4L * Rotation.blocks(parameters)
                + (long) bits * Planes.bytes(Rotation.padded(parameters));
    }

    @Override
    public Encoded encode(float[] update, Key key, float[] residual) {
        // Divided by a power of two, so that no square leaves float32's range whatever the update's size.
        float power = Math.scalb(1f, Math.max(-100, Codec.exponent(Codec.checkValues(update))));
        float inverse = 1f / power;
        byte[] out = new byte[(int) size(update.length)];
        Header.write(out, number, bits, update.length, key);
        Rotation rotation = new Rotation(update.length, key, ROUNDS);
        int at = Header.BYTES + 4 * Rotation.blocks(update.length);
        for (Rotation.Chunk chunk : Rotation.chunks(update.length)) {
            float[] matrix = rotation.forward(update, chunk);
            for (int i = 0; i < chunk.padded(); i++) matrix[i] *= inverse;
            int[] codes = new int[chunk.padded()];
            float[] scale = quantise(matrix, chunk, codes);
            for (int column = 0; column < chunk.columns(); column++) {
                Bytes.putF32(out, Header.BYTES + 4 * (chunk.column() + column), scale[column] * power);
            }
            at = Planes.pack(codes, chunk.padded(), bits, out, at);
        }
        return new Encoded(out, null);
    }

    /** Fills in each value's code and returns each block's scale. */
    private float[] quantise(float[] matrix, Rotation.Chunk chunk, int[] codes) {
        int columns = chunk.columns(), half = table.length / 2, count = chunk.padded();
        float[] rr = Dots.columns(matrix, matrix, chunk), unit = new float[columns], q = new float[count];
        for (int column = 0; column < columns; column++) {
            unit[column] = (float) Math.sqrt(rr[column] / (float) chunk.block());
        }
        for (int i = 0, column = 0; i < count; i++) {
            float size = Math.abs(matrix[i]);
            int code = 0;
            for (int level = 0; level < half - 1; level++) {
                float border = (table[level + 1] + table[level]) / 2f;
                if (size > border * unit[column]) code++;
            }
            if (Float.floatToRawIntBits(matrix[i]) < 0) code += half;
            codes[i] = code;
            q[i] = table[code];
            if (++column == columns) column = 0;
        }
        float[] rq = Dots.columns(matrix, q, chunk), qq = Dots.columns(q, q, chunk), scale = new float[columns];
        for (int column = 0; column < columns; column++) {
            scale[column] = unbiased ? unbiased(rr[column], rq[column], qq[column])
                    : qq[column] > 0 ? rq[column] / qq[column] : 0f;
        }
        return scale;
    }

    private static float unbiased(float rr, float rq, float qq) {
        float scale = rq > 0 ? rr / rq : 0f;
        float limit = (float) Math.sqrt(qq > 0 ? rr / qq : 0f) * GROWTH_LIMIT;
        return Math.min(scale, limit);
    }

    @Override
    public float[] decode(byte[] data, int parameters, Key key) {
        Header.check(data, size(parameters), number, bits, parameters, key);
        int blocks = Rotation.blocks(parameters);
        float[] scales = new float[blocks];
        for (int i = 0; i < blocks; i++) {
            scales[i] = Bytes.f32(data, Header.BYTES + 4 * i);
            if (!(scales[i] <= 4 * LARGEST * Rotation.BLOCK && scales[i] >= 0)) {
                throw new ProtocolError("encoded update: expected finite scales of at least 0 and at most 2^114");
            }
        }
        Rotation rotation = new Rotation(parameters, key, ROUNDS);
        float[] out = new float[parameters];
        int at = Header.BYTES + 4 * blocks;
        for (Rotation.Chunk chunk : Rotation.chunks(parameters)) {
            int[] codes = new int[chunk.padded()];
            Planes.unpack(data, at, chunk.padded(), bits, codes);
            at += bits * Planes.bytes(chunk.padded());
            float[] matrix = rotation.matrix();
            for (int i = 0, column = 0; i < codes.length; i++) {
                matrix[i] = table[codes[i]] * scales[chunk.column() + column];
                if (++column == chunk.columns()) column = 0;
            }
            rotation.inverse(chunk, out);
        }
        return out;
    }
}
