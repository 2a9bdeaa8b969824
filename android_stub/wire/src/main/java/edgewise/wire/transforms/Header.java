package edgewise.wire.transforms;

import edgewise.wire.Bytes;
import edgewise.wire.errors.ProtocolError;

/** The twelve bytes before every encoding but plain float32: what it is, of how many numbers, made with which key. */
final class Header {
    static final int BYTES = 12;
    static final int FLOAT16 = 1, ROTATED = 2, EDEN = 3, LLOYD = 4, TOP_K = 5;
    private static final int VERSION = 1;

    private Header() {}

    /** Writes the header to the beginning of {@code out}. */
    static void write(byte[] out, int codec, int argument, int parameters, Key key) {
        out[0] = VERSION;
        out[1] = (byte) codec;
        out[2] = (byte) argument;
        out[3] = (byte) (argument >> 8);
        Bytes.putI32(out, 4, parameters);
        Bytes.putI32(out, 8, key.tag());
    }

    /** Throws {@link ProtocolError} unless {@code data} is as long as it must be and its header is the one expected. */
    static void check(byte[] data, long expectedBytes, int codec, int argument, int parameters, Key key) {
        if (data.length != expectedBytes) {
            throw new ProtocolError("encoded update: expected " + expectedBytes + " bytes, got " + data.length);
        }
        same("version", VERSION, data[0] & 255);
        same("codec", codec, data[1] & 255);
        same("argument", argument, Bytes.u16(data, 2));
        same("number of parameters", parameters, Bytes.u32(data, 4));
        same("key", key.tag() & 0xFFFFFFFFL, Bytes.u32(data, 8));
    }

    private static void same(String name, long expected, long got) {
        if (expected != got) {
            throw new ProtocolError("encoded update: " + name + ": expected " + expected + ", got " + got);
        }
    }
}
