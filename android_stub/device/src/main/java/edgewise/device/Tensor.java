package edgewise.device;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * An array that goes into a signature or comes out of one: C order, the machine's byte order, in memory that native code
 * reads without a copy.
 *
 * @param dtype {@code float32} or {@code int32}
 * @param shape its axes; none for a scalar
 * @param data four bytes a number, position 0
 */
public record Tensor(String dtype, int[] shape, ByteBuffer data) {
    private static Tensor make(String dtype, int... shape) {
        int count = 1;
        for (int side : shape) count *= side;
        return new Tensor(dtype, shape, ByteBuffer.allocateDirect(4 * count).order(ByteOrder.nativeOrder()));
    }

    public static Tensor scalar(float value) {
        Tensor made = make("float32");
        made.data.putFloat(0, value);
        return made;
    }

    public static Tensor scalar(int value) {
        Tensor made = make("int32");
        made.data.putInt(0, value);
        return made;
    }

    public static Tensor of(float[] values, int... shape) {
        Tensor made = make("float32", shape);
        made.data.asFloatBuffer().put(values);
        return made;
    }

    public static Tensor of(int[] values, int... shape) {
        Tensor made = make("int32", shape);
        made.data.asIntBuffer().put(values);
        return made;
    }

    /** Returns the numbers of a float32 tensor. */
    public float[] floats() {
        float[] out = new float[data.capacity() / 4];
        data.asFloatBuffer().get(out);
        return out;
    }

    /** Returns the numbers of an int32 tensor. */
    public int[] ints() {
        int[] out = new int[data.capacity() / 4];
        data.asIntBuffer().get(out);
        return out;
    }

    /** Returns the first {@code columns} of each row of a tensor of two axes. */
    Tensor cut(int columns) {
        Tensor made = make(dtype, shape[0], columns);
        for (int row = 0; row < shape[0]; row++) {
            for (int i = 0; i < columns; i++) {
                made.data.putInt(4 * (row * columns + i), data.getInt(4 * (row * shape[1] + i)));
            }
        }
        return made;
    }

    /** Returns what it holds, as the manifest says it. */
    public String words() {
        return dtype + Arrays.toString(shape);
    }
}
