package edgewise.wire;

import edgewise.wire.errors.EdgewiseError;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** Small helpers on byte arrays: digests, hexadecimal, little-endian numbers. */
public final class Bytes {
    public static final byte[] NONE = new byte[0];
    private static final char[] DIGITS = "0123456789abcdef".toCharArray();

    private Bytes() {}

    /** Returns a fresh SHA-256. */
    public static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new EdgewiseError("this device has no SHA-256", error); // every Android has it
        }
    }

    /** Returns the SHA-256 of {@code data}: 32 bytes. */
    public static byte[] hash(byte[] data) {
        return sha256().digest(data);
    }

    /** Returns bytes in lower-case hexadecimal. */
    public static String hex(byte[] data) {
        char[] out = new char[2 * data.length];
        for (int i = 0; i < data.length; i++) {
            out[2 * i] = DIGITS[(data[i] >> 4) & 15];
            out[2 * i + 1] = DIGITS[data[i] & 15];
        }
        return new String(out);
    }

    /** Returns the bytes that {@code hex} stands for. Throws IllegalArgumentException if it is not hexadecimal. */
    public static byte[] unhex(String hex) {
        if (hex.length() % 2 != 0) throw new IllegalArgumentException("hexadecimal of odd length " + hex.length());
        byte[] out = new byte[hex.length() / 2];
        for (int i = 0; i < out.length; i++) {
            int high = Character.digit(hex.charAt(2 * i), 16), low = Character.digit(hex.charAt(2 * i + 1), 16);
            if (high < 0 || low < 0) throw new IllegalArgumentException("not hexadecimal: " + hex);
            out[i] = (byte) (high << 4 | low);
        }
        return out;
    }

    public static int u16(byte[] data, int at) {
        return (data[at] & 255) | (data[at + 1] & 255) << 8;
    }

    public static int i32(byte[] data, int at) {
        return u16(data, at) | u16(data, at + 2) << 16;
    }

    public static long u32(byte[] data, int at) {
        return i32(data, at) & 0xFFFFFFFFL;
    }

    public static long i64(byte[] data, int at) {
        return u32(data, at) | (long) i32(data, at + 4) << 32;
    }

    public static float f32(byte[] data, int at) {
        return Float.intBitsToFloat(i32(data, at));
    }

    public static void putI32(byte[] out, int at, int value) {
        for (int i = 0; i < 4; i++) out[at + i] = (byte) (value >>> 8 * i);
    }

    public static void putI64(byte[] out, int at, long value) {
        for (int i = 0; i < 8; i++) out[at + i] = (byte) (value >>> 8 * i);
    }

    public static void putF32(byte[] out, int at, float value) {
        putI32(out, at, Float.floatToRawIntBits(value));
    }
}
