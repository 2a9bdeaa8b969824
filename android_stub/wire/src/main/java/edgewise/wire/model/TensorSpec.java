package edgewise.wire.model;

import java.util.List;

/** One input or output of a signature: its name, shape and dtype name. */
public record TensorSpec(String name, List<Integer> shape, String dtype) {
    /** Returns the number of its elements. */
    public long size() {
        return elements(shape);
    }

    static long elements(List<Integer> shape) {
        long product = 1;
        for (int side : shape) product = Math.multiplyExact(product, (long) side);
        return product;
    }

    /** Returns what it holds: {@code float32[20, 96]}. */
    public String words() {
        return dtype + shape;
    }
}
