package edgewise.wire.model;

import edgewise.wire.Bytes;
import edgewise.wire.errors.ModelError;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The TFLite container, read with every offset checked and nothing executed: tensors, signatures, metadata and where the
 * constant buffers lie. The interpreter trusts indices inside the graph, so each is checked against what it points into
 * before the interpreter sees the file; the options inside operators are left to the runtime's own verifier.
 */
public final class TfliteFile {
    private static final long TABLES_MAX = 1_000_000; // a hostile file may point at one table from millions of places
    private static final int RANK_MAX = 8; // TFLite's kernels go no further
    private static final int OPERATORS = 209; // BuiltinOperator of TensorFlow 2.21
    private static final int CUSTOM = 32, PLACEHOLDER = 127;
    private static final String[] TYPES = (
            "float32 float16 int32 uint8 int64 string bool int16 complex64 int8 float64 complex128 uint64 resource "
            + "variant uint32 uint16 int4 bfloat16 int2 uint4 float8_e4m3fn float8_e5m2").split(" ");
    private static final int[] ITEM_BYTES = {4, 2, 4, 1, 8, 0, 1, 2, 8, 1, 8, 16, 8, 0, 0, 4, 2, 0, 2, 0, 0, 0, 0};

    /** Where bytes lie in the file. */
    public record Span(int start, int size) {
        int stop() {
            return start + size;
        }
    }

    /** One tensor of a subgraph; {@code buffer} is the number of its constant buffer. */
    public record Tensor(TensorSpec spec, int type, int buffer) {}

    /** An entry point: the tensors of its subgraph by the names that callers use. */
    public record Signature(Map<String, Tensor> inputs, Map<String, Tensor> outputs) {}

    public final List<Span> buffers;
    public final Map<String, Integer> metadata = new LinkedHashMap<>();
    public final Map<String, Signature> signatures = new LinkedHashMap<>();
    final List<List<Tensor>> subgraphs;

    private final byte[] data;
    private long tables;

    /**
     * Reads the container in {@code data}.
     *
     * @throws ModelError if it is no TFLite file, is torn, or refers to something that it does not hold
     */
    public TfliteFile(byte[] data) {
        this.data = data;
        if (data.length < 8 || data[4] != 'T' || data[5] != 'F' || data[6] != 'L' || data[7] != '3') {
            throw new ModelError("not a TFLite file: it does not carry the mark 'TFL3'");
        }
        try {
            Table root = new Table(follow(0));
            int codes = root.many(1, this::checkCode).size();
            buffers = root.many(4, this::buffer);
            subgraphs = root.many(2, table -> subgraph(table, codes));
            root.many(6, table -> metadata.put(table.text(0), index(table.u32(1), buffers.size(), "buffer")));
            root.many(7, this::signature);
            checkConstants();
        } catch (ModelError error) {
            throw new ModelError("a damaged TFLite file: " + error.getMessage(), error);
        }
    }

    private boolean checkCode(Table table) {
        int old = table.i8(0), fresh = table.i32(3, 0);
        int number = old == PLACEHOLDER || fresh > old ? fresh : old;
        if (number < 0 || number >= OPERATORS) {
            throw new ModelError("operator number " + number + " is none that TFLite has");
        }
        if (number == CUSTOM) table.text(1);
        return true;
    }

    private Span buffer(Table table) {
        if ((table.u64(1) | table.u64(2)) >>> 1 != 0) { // either above 1
            throw new ModelError("constants stored behind the container (a model over 2 GB) are not supported");
        }
        return vector(table.place(0, 4), 1);
    }

    private List<Tensor> subgraph(Table table, int codes) {
        List<Tensor> tensors = table.many(0, this::tensor);
        for (int slot = 1; slot <= 2; slot++) {
            for (int index : table.ints(slot)) {
                if (index < 0 || index >= tensors.size()) {
                    throw new ModelError("a subgraph's inputs or outputs refer to a tensor that it does not have");
                }
            }
        }
        table.many(3, item -> checkOperator(item, codes, tensors.size()));
        table.text(4);
        return tensors;
    }

    private boolean checkOperator(Table table, int codes, int tensors) {
        for (int slot : new int[] {1, 2, 8}) {
            for (int index : table.ints(slot)) {
                if (index < -1 || index >= tensors) {
                    throw new ModelError("an operator refers to a tensor that its subgraph does not have");
                }
            }
        }
        index(table.u32(0), codes, "operator code");
        return true;
    }

    private Tensor tensor(Table table) {
        int[] sides = table.ints(0);
        List<Integer> shape = new ArrayList<>();
        long size = 1;
        boolean wrong = sides.length > RANK_MAX;
        for (int i = 0; i < sides.length && !wrong; i++) {
            wrong = sides[i] < 0;
            size = sides[i] == 0 ? 0 : size > (1L << 31) ? size : size * sides[i];
            shape.add(sides[i]);
        }
        if (wrong || size > 1L << 31) throw new ModelError("a tensor has the shape " + shape);
        int number = table.i8(1);
        if (number < 0 || number >= TYPES.length) {
            throw new ModelError("tensor type number " + number + " is none that TFLite has");
        }
        TensorSpec spec = new TensorSpec(table.text(3), Collections.unmodifiableList(shape), TYPES[number]);
        return new Tensor(spec, number, index(table.u32(2), buffers.size(), "buffer"));
    }

    private boolean signature(Table table) {
        List<Tensor> tensors = subgraphs.get(index(table.u32(4), subgraphs.size(), "subgraph"));
        signatures.put(table.text(2), new Signature(named(table, 0, tensors), named(table, 1, tensors)));
        return true;
    }

    private static Map<String, Tensor> named(Table table, int slot, List<Tensor> tensors) {
        Map<String, Tensor> found = new LinkedHashMap<>();
        table.many(slot, item -> found.put(item.text(0), tensors.get(index(item.u32(1), tensors.size(), "tensor"))) == null);
        return found;
    }

    /** Checks that each constant has as many bytes as its tensor needs: kernels read that many. */
    private void checkConstants() {
        for (List<Tensor> tensors : subgraphs) {
            for (Tensor tensor : tensors) {
                int have = buffers.get(tensor.buffer()).size(), item = ITEM_BYTES[tensor.type()];
                if (have != 0 && item != 0 && have != item * tensor.spec().size()) {
                    throw new ModelError("the constant '" + tensor.spec().name() + "': " + tensor.spec().words()
                            + " does not have " + have + " bytes");
                }
            }
        }
    }

    private static int index(long number, int count, String what) {
        if (number >= count) throw new ModelError(what + " " + number + " is referred to, but there are " + count);
        return (int) number;
    }

    private int at(long place, int size) {
        if (place < 0 || place + size > data.length) {
            throw new ModelError("an offset at byte " + place + " points outside of its " + data.length + " bytes");
        }
        return (int) place;
    }

    /** Returns where the forward offset at {@code place} leads. */
    private long follow(long place) {
        return place + Bytes.u32(data, at(place, 4));
    }

    /** Returns the items of the vector whose offset stands at {@code place} (0: absent). */
    private Span vector(int place, int itemBytes) {
        if (place == 0) return new Span(0, 0);
        long start = follow(place);
        long size = Bytes.u32(data, at(start, 4)) * itemBytes;
        if (start + 4 + size > data.length) {
            throw new ModelError("a vector at byte " + start + " reaches outside of its " + data.length + " bytes");
        }
        return new Span((int) start + 4, (int) size);
    }

    private interface Read<T> {
        T read(Table table);
    }

    /** One FlatBuffers table; a field is named by its slot and reads as a default where absent. */
    private final class Table {
        private final int start;
        private final int vtable;
        private final int vtableSize;
        private final int size;

        Table(long where) {
            if (++tables > TABLES_MAX) throw new ModelError("more than " + TABLES_MAX + " tables");
            start = at(where, 4);
            vtable = at((long) start - Bytes.i32(data, start), 4);
            vtableSize = Bytes.u16(data, vtable);
            size = Bytes.u16(data, vtable + 2);
            if (vtableSize < 4 || size < 4 || start + size > data.length) {
                throw new ModelError("the table at byte " + start + " is damaged");
            }
        }

        /** Returns where the field stands, or 0 if it is absent. */
        int place(int slot, int bytes) {
            int entry = 4 + 2 * slot;
            if (entry + 2 > vtableSize) return 0;
            int offset = Bytes.u16(data, at((long) vtable + entry, 2));
            if (offset != 0 && (offset < 4 || offset + bytes > size)) {
                throw new ModelError("the table at byte " + start + " has a field outside of itself");
            }
            return offset == 0 ? 0 : start + offset;
        }

        int i8(int slot) {
            int place = place(slot, 1);
            return place == 0 ? 0 : data[place];
        }

        int i32(int slot, int absent) {
            int place = place(slot, 4);
            return place == 0 ? absent : Bytes.i32(data, place);
        }

        long u32(int slot) {
            return i32(slot, 0) & 0xFFFFFFFFL;
        }

        long u64(int slot) {
            int place = place(slot, 8);
            return place == 0 ? 0 : Bytes.i64(data, place);
        }

        int[] ints(int slot) {
            Span span = vector(place(slot, 4), 4);
            int[] found = new int[span.size() / 4];
            for (int i = 0; i < found.length; i++) found[i] = Bytes.i32(data, span.start() + 4 * i);
            return found;
        }

        String text(int slot) {
            Span span = vector(place(slot, 4), 1);
            try {
                return StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
                        .decode(ByteBuffer.wrap(data, span.start(), span.size())).toString();
            } catch (CharacterCodingException error) {
                throw new ModelError("the name at byte " + span.start() + " is not UTF-8", error);
            }
        }

        <T> List<T> many(int slot, Read<T> read) {
            Span span = vector(place(slot, 4), 4);
            List<T> found = new ArrayList<>();
            for (int place = span.start(); place < span.stop(); place += 4) found.add(read.read(new Table(follow(place))));
            return found;
        }
    }
}
