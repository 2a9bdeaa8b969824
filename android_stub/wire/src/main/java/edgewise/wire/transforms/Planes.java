package edgewise.wire.transforms;

/** Codes of a few bits each, packed as bit planes: plane j holds bit j of every code, eight codes to a byte. */
public final class Planes {
    private Planes() {}

    /** Returns how many bytes one plane of {@code count} codes takes. */
    public static int bytes(int count) {
        return (count + 7) / 8;
    }

    /** Writes the lowest {@code bits} bits of each code, plane after plane, from {@code at} on; returns the end. */
    public static int pack(int[] codes, int count, int bits, byte[] out, int at) {
        int plane = bytes(count);
        for (int i = 0; i < count; i++) {
            for (int j = 0; j < bits; j++) {
                if ((codes[i] >>> j & 1) != 0) out[at + j * plane + (i >> 3)] |= (byte) (1 << (i & 7));
            }
        }
        return at + bits * plane;
    }

    /** Reads {@code count} codes of {@code bits} planes from {@code at} on. */
    public static void unpack(byte[] data, int at, int count, int bits, int[] codes) {
        int plane = bytes(count);
        for (int i = 0; i < count; i++) {
            int code = 0;
            for (int j = 0; j < bits; j++) code |= (data[at + j * plane + (i >> 3)] >>> (i & 7) & 1) << j;
            codes[i] = code;
        }
    }
}
