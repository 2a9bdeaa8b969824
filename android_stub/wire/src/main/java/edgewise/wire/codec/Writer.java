package edgewise.wire.codec;

import com.google.flatbuffers.FlatBufferBuilder;
import edgewise.wire.Messages;
import edgewise.wire.Messages.Body;
import edgewise.wire.Messages.Envelope;
import edgewise.wire.errors.InputError;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * Writing a message, one way only, so that equal messages are equal bytes in every language: what a table refers to
 * first, in the order of its slots, depth first; then its fields from the widest to the narrowest and, among equals,
 * from the last slot to the first. What equals its default is not written.
 */
final class Writer {
    private final FlatBufferBuilder builder;

    private Writer(int capacity) {
        builder = new FlatBufferBuilder(capacity);
    }

    static byte[] encode(Envelope envelope) {
        Writer writer = new Writer(sizeHint(envelope.body()));
        writer.builder.finish(writer.table(Envelope.LAYOUT, envelope), Messages.IDENTIFIER);
        byte[] payload = writer.builder.sizedByteArray();
        if (payload.length > Messages.PAYLOAD_BYTES) {
            throw new InputError(envelope.body().layout().name + " of " + payload.length + " bytes: expected at most "
                    + Messages.PAYLOAD_BYTES);
        }
        return payload;
    }

    private static int sizeHint(Body body) {
        int most = 512;
        for (Object value : body.layout().takeFrom(body)) if (value instanceof byte[] b) most += b.length;
        return most;
    }

    private int table(Layout<?> layout, Object record) {
        Object[] values = layout.takeFrom(record);
        int count = values.length;
        for (int i = 0; i < count; i++) {
            Slot slot = layout.slots.get(i);
            if (slot.kind.isScalar()) check(layout.label(slot), slot, values[i]);
            else values[i] = child(layout.label(slot), slot, values[i]);
        }
        builder.startTable(count);
        for (int width = 8; width >= 1; width /= 2) {
            for (int i = count - 1; i >= 0; i--) {
                if (layout.slots.get(i).kind.width == width) place(i, layout.slots.get(i), values[i]);
            }
        }
        return builder.endTable();
    }

    /** Puts a slot's value or offset into the open table; the builder leaves out what equals the default. */
    private void place(int i, Slot slot, Object value) {
        switch (slot.kind) {
            case BOOL -> builder.addBoolean(i, (Boolean) value, (Boolean) slot.absent);
            case U8, UNION_TYPE -> builder.addByte(i, (byte) (int) (Integer) value, (Integer) slot.absent);
            case U16 -> builder.addShort(i, (short) (int) (Integer) value, (Integer) slot.absent);
            case U32 -> builder.addInt(i, (int) (long) (Long) value, (int) (long) (Long) slot.absent);
            case U64 -> builder.addLong(i, (Long) value, (Long) slot.absent);
            case F32 -> builder.addFloat(i, (Float) value, (Float) slot.absent);
            case F64 -> builder.addDouble(i, (Double) value, (Double) slot.absent);
            default -> builder.addOffset(i, (Integer) value, 0);
        }
    }

    private static void check(String label, Slot slot, Object value) {
        long most = switch (slot.kind) {
            case U8 -> 255;
            case U16 -> 65535;
            case U32 -> 0xFFFFFFFFL;
            default -> 0;
        };
        if (most == 0) return;
        long number = ((Number) value).longValue();
        if (number < 0 || number > most) {
            throw new InputError(label + " " + number + ": expected an integer from 0 to " + most);
        }
    }

    /** Writes what a slot refers to and returns its offset, 0 for what is left out. */
    private int child(String label, Slot slot, Object value) {
        return switch (slot.kind) {
            case OCTETS -> octets(label, slot, (byte[]) value);
            case UTF8 -> utf8(label, slot, (String) value);
            case TABLE -> slot.items.get(0).same(value, slot.absent) ? 0 : table(slot.items.get(0), value);
            case TABLES -> tables(label, slot, (List<?>) value);
            case UNION -> table(((Body) value).layout(), value);
            default -> throw new IllegalStateException(label + ": " + slot.kind);
        };
    }

    private int octets(String label, Slot slot, byte[] data) {
        if (data.length == 0) return 0;
        if (data.length < slot.least || data.length > slot.most) {
            throw new InputError(label + " of " + data.length + " bytes: expected " + slot.least + " to " + slot.most
                    + ", or none");
        }
        return builder.createByteVector(data);
    }

    private int utf8(String label, Slot slot, String text) {
        if (text.isEmpty()) return 0;
        ByteBuffer data;
        try {
            data = StandardCharsets.UTF_8.newEncoder().onMalformedInput(CodingErrorAction.REPORT)
                    .encode(CharBuffer.wrap(text));
        } catch (CharacterCodingException error) {
            throw new InputError(label + ": a character of it has no UTF-8", error);
        }
        if (data.remaining() > slot.most) {
            throw new InputError(label + " of " + data.remaining() + " bytes of UTF-8: expected at most " + slot.most);
        }
        return builder.createString(data);
    }

    private int tables(String label, Slot slot, List<?> items) {
        if (items.size() > slot.most) {
            throw new InputError(label + " of " + items.size() + " elements: expected at most " + slot.most);
        }
        if (items.isEmpty()) return 0;
        int[] offsets = new int[items.size()];
        for (int i = 0; i < offsets.length; i++) offsets[i] = table(slot.items.get(0), items.get(i));
        return builder.createVectorOfTables(offsets);
    }
}
