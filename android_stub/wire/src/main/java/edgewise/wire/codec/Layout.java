package edgewise.wire.codec;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.function.Function;

/**
 * One table of the schema: its slots in the order of the vtable, and how a record is made of them and taken apart.
 *
 * <p>The layouts stand in the generated {@code edgewise.wire.Messages}; reader and writer know nothing else, so a field
 * and its bound are written down in one place only.
 */
public final class Layout<T> {
    public final String name;
    public final List<Slot> slots;
    public final Function<Object[], T> make;
    public final Function<T, Object[]> take;

    public Layout(String name, Function<Object[], T> make, Function<T, Object[]> take, Slot... slots) {
        this.name = name;
        this.make = make;
        this.take = take;
        this.slots = Collections.unmodifiableList(Arrays.asList(slots));
    }

    /** Returns how errors name a slot. */
    public String label(Slot slot) {
        return name + "." + slot.name;
    }

    @SuppressWarnings("unchecked")
    Object[] takeFrom(Object record) {
        return take.apply((T) record);
    }

    /** Returns the values of a table that has none of its slots. */
    public Object[] absent() {
        return slots.stream().map(slot -> slot.absent).toArray();
    }

    /** Returns whether two records hold the same values, bytes compared by what is in them. */
    public boolean same(Object one, Object other) {
        if (one == null || other == null) return one == other;
        return Arrays.deepEquals(normal(one), normal(other));
    }

    private Object[] normal(Object record) {
        Object[] values = takeFrom(record);
        for (int i = 0; i < values.length; i++) {
            Slot slot = slots.get(i);
            if (slot.kind == Slot.Kind.TABLE) values[i] = slot.items.get(0).normal(values[i]);
            if (slot.kind == Slot.Kind.TABLES) {
                values[i] = ((List<?>) values[i]).stream().map(slot.items.get(0)::normal).toArray();
            }
            if (values[i] instanceof Float && (Float) values[i] == 0f) values[i] = 0f; // -0 is 0 here
            if (values[i] instanceof Double && (Double) values[i] == 0d) values[i] = 0d;
        }
        return values;
    }
}
