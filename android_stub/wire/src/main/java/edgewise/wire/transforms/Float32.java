package edgewise.wire.transforms;

import edgewise.wire.Weights;
import edgewise.wire.errors.ProtocolError;

/** The numbers as they are, four bytes each, little-endian; no header. */
final class Float32 implements Codec {
    @Override
    public String name() {
        return "float32";
    }

    @Override
    public Encoded encode(float[] update, Key key, float[] residual) {
        Codec.checkValues(update);
        return new Encoded(Weights.toBytes(update), null);
    }

    @Override
    public float[] decode(byte[] data, int parameters, Key key) {
        if (data.length != size(parameters)) {
            throw new ProtocolError("update: expected " + size(parameters) + " bytes (float32[" + parameters
                    + "]), got " + data.length);
        }
        float[] values = Weights.floats(data, 0, parameters);
        for (float value : values) {
            if (!(Math.abs((double) value) <= LARGEST)) {
                throw new ProtocolError("update: expected finite values of at most 2^100, got " + value);
            }
        }
        return values;
    }

    @Override
    public long size(int parameters) {
        return 4L * parameters;
    }
}
