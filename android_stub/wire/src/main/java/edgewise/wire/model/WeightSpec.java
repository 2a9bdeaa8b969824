package edgewise.wire.model;

import java.util.List;

/**
 * One weight: its name, shape, dtype name ({@code float32}) and role. {@code trainable} and {@code state} (batch-norm
 * statistics) are averaged; a {@code slot} of the optimizer stays on the device.
 */
public record WeightSpec(String name, List<Integer> shape, String dtype, String role) {
    /** Returns the number of its elements. */
    public long size() {
        return TensorSpec.elements(shape);
    }

    /** Returns whether it travels and is averaged. */
    public boolean averaged() {
        return !role.equals("slot");
    }

    /** Returns the weight as one input or output of a signature. */
    public TensorSpec tensor() {
        return new TensorSpec(name, shape, dtype);
    }
}
