package edgewise.wire.codec;

import java.util.Collections;
import java.util.List;

/**
 * One slot of a table: its name in the schema, what it holds, its bounds and what its absence means.
 *
 * <p>Numbers are held as {@code Integer} (u8, u16), {@code Long} (u32; u64 as the same 64 bits), {@code Float} and
 * {@code Double}; bytes as {@code byte[]}, strings as {@code String}, tables as their records, vectors as lists.
 */
public final class Slot {
    /** What a slot holds. */
    public enum Kind {
        BOOL(1), U8(1), U16(2), U32(4), U64(8), F32(4), F64(8), OCTETS(4), UTF8(4), TABLE(4), TABLES(4),
        UNION_TYPE(1), UNION(4);

        /** Bytes inside the table: a scalar's own size, else that of an offset. */
        final int width;

        Kind(int width) {
            this.width = width;
        }

        boolean isScalar() {
            return ordinal() <= F64.ordinal() || this == UNION_TYPE;
        }
    }

    public final String name;
    public final Kind kind;
    /** The most bytes of a byte field or string, the most elements of a vector. */
    public final int most;
    /** The least bytes of a byte field that is there. */
    public final int least;
    public final Object absent;
    /** Of a table or a vector of them: what its elements are; a union has one for each member. */
    public final List<Layout<?>> items;

    private Slot(String name, Kind kind, int most, int least, Object absent, List<Layout<?>> items) {
        this.name = name;
        this.kind = kind;
        this.most = most;
        this.least = least;
        this.absent = absent;
        this.items = items;
    }

    public static Slot scalar(String name, Kind kind, Object absent) {
        return new Slot(name, kind, 0, 0, absent, Collections.emptyList());
    }

    public static Slot octets(String name, int most, int least) {
        return new Slot(name, Kind.OCTETS, most, least, new byte[0], Collections.emptyList());
    }

    public static Slot utf8(String name, int most) {
        return new Slot(name, Kind.UTF8, most, 0, "", Collections.emptyList());
    }

    public static <T> Slot table(String name, Layout<T> item, T absent) {
        return new Slot(name, Kind.TABLE, 0, 0, absent, Collections.singletonList(item));
    }

    public static Slot tables(String name, Layout<?> item, int most) {
        return new Slot(name, Kind.TABLES, most, 0, Collections.emptyList(), Collections.singletonList(item));
    }

    public static Slot unionType(String name) {
        return new Slot(name, Kind.UNION_TYPE, 0, 0, 0, Collections.emptyList());
    }

    public static Slot union(String name, List<Layout<?>> members) {
        return new Slot(name, Kind.UNION, 0, 0, null, members);
    }
}
