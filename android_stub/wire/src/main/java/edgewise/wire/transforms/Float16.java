package edgewise.wire.transforms;

import edgewise.wire.Bytes;

/** Half precision: two bytes a number. */
final class Float16 implements Codec {
    @Override
    public String name() {
        return "float16";
    }

    @Override
    public long size(int parameters) {
        return Header.BYTES + 4 + 2L * parameters;
    }

    @Override
    public Encoded encode(float[] update, Key key, float[] residual) {
        double scale = Halves.powerScale(Codec.checkValues(update));
        float inverse = (float) (1 / scale);
        byte[] out = new byte[(int) size(update.length)];
        Header.write(out, Header.FLOAT16, 0, update.length, key);
        Bytes.putF32(out, Header.BYTES, (float) scale);
        for (int i = 0; i < update.length; i++) {
            Halves.put(out, Header.BYTES + 4 + 2 * i, Halves.fromFloat(update[i] * inverse));
        }
        return new Encoded(out, null);
    }

    @Override
    public float[] decode(byte[] data, int parameters, Key key) {
        Header.check(data, size(parameters), Header.FLOAT16, 0, parameters, key);
        return Halves.read(data, Header.BYTES + 4, parameters, Halves.readScale(data, Header.BYTES));
    }
}
