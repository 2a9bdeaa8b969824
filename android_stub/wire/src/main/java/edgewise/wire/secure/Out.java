package edgewise.wire.secure;

import java.io.ByteArrayOutputStream;

/** Little-endian numbers and bytes, one behind the other. */
final class Out {
    private Out() {}

    static void put(ByteArrayOutputStream out, byte[]... parts) {
        for (byte[] part : parts) out.write(part, 0, part.length);
    }

    static void u32(ByteArrayOutputStream out, long value) {
        for (int i = 0; i < 4; i++) out.write((int) (value >>> 8 * i));
    }

    static void u64(ByteArrayOutputStream out, long value) {
        for (int i = 0; i < 8; i++) out.write((int) (value >>> 8 * i));
    }

    static void f64(ByteArrayOutputStream out, double value) {
        u64(out, Double.doubleToRawLongBits(value));
    }

    static byte[] join(byte[]... parts) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        put(out, parts);
        return out.toByteArray();
    }
}
