package edgewise.wire.codec;

import edgewise.wire.Bytes;
import edgewise.wire.Messages;
import edgewise.wire.Messages.Body;
import edgewise.wire.Messages.Envelope;
import edgewise.wire.errors.ProtocolError;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Reading a message out of bytes that anyone may have sent; the checks and their order are those of
 * {@code wire/edgewise_wire/codec/reader.py}, and {@code tests/golden/corrupt} pins both.
 *
 * <p>FlatBuffers' Java runtime verifies nothing, so every offset, vtable, vector length and string is checked against
 * the end of the message before it is followed, and every count against its bound before anything is allocated. The
 * schema nests a fixed number of tables, so reading ends.
 */
final class Reader {
    private static final int LEAST_BYTES = 8; // root offset and identifier
    private static final int OFFSET_BYTES = 4;

    private final byte[] buffer;

    private Reader(byte[] buffer) {
        this.buffer = buffer;
    }

    static Envelope decode(byte[] payload) {
        if (payload.length < LEAST_BYTES || payload.length > Messages.PAYLOAD_BYTES) {
            throw refuse("message of " + payload.length + " bytes: expected " + LEAST_BYTES + " to "
                    + Messages.PAYLOAD_BYTES);
        }
        byte[] identifier = Messages.IDENTIFIER.getBytes(StandardCharsets.US_ASCII);
        for (int i = 0; i < 4; i++) {
            if (payload[4 + i] != identifier[i]) {
                throw refuse("message identifier " + quoted(payload) + ": expected b'" + Messages.IDENTIFIER + "'");
            }
        }
        return new Reader(payload).envelope();
    }

    private Envelope envelope() {
        Object[] values = values(Envelope.LAYOUT, target("Envelope", 0));
        int number = (Integer) values[3];
        int known = Messages.BODIES.size();
        if (number < 1 || number > known) {
            throw refuse("Envelope.body_type " + number + ": expected 1 to " + known
                    + "; the sender may be newer than this version");
        }
        if (values[4] == null) throw refuse("Envelope.body of type " + number + " is missing");
        Body body = (Body) table(Messages.BODIES.get(number - 1), (Integer) values[4]);
        return new Envelope((String) values[0], (Long) values[1], (Long) values[2], body, (Integer) values[5]);
    }

    private <T> T table(Layout<T> layout, int at) {
        return layout.make.apply(values(layout, at));
    }

    /** Returns the values of the table at {@code at}, in the order of its slots. */
    private Object[] values(Layout<?> layout, int at) {
        long vtable = (long) at - Bytes.i32(buffer, at);
        if (vtable < 0 || vtable > buffer.length - 4) {
            throw refuse(layout.name + ": vtable at byte " + vtable + ofMessage());
        }
        int start = (int) vtable;
        int size = Bytes.u16(buffer, start), inline = Bytes.u16(buffer, start + 2);
        if (size < 4 || (size & 1) != 0 || start + size > buffer.length) {
            throw refuse(layout.name + ": vtable of " + size + " bytes at byte " + start + ofMessage());
        }
        if (inline < OFFSET_BYTES || at + inline > buffer.length) {
            throw refuse(layout.name + ": table of " + inline + " bytes at byte " + at + ofMessage());
        }
        Object[] values = layout.absent();
        int known = Math.min((size - 4) / 2, layout.slots.size()); // later slots are from a newer version
        for (int i = 0; i < known; i++) {
            int offset = Bytes.u16(buffer, start + 4 + 2 * i);
            if (offset == 0) continue;
            Slot slot = layout.slots.get(i);
            if (offset < OFFSET_BYTES || offset + slot.kind.width > inline) {
                throw refuse(layout.label(slot) + ": " + slot.kind.width + " bytes at " + offset + " of a table of "
                        + inline + " bytes");
            }
            values[i] = value(layout.label(slot), slot, at + offset);
        }
        return values;
    }

    private Object value(String label, Slot slot, int at) {
        switch (slot.kind) {
            case BOOL:
                if ((buffer[at] & 255) > 1) throw refuse(label + ": byte " + (buffer[at] & 255) + ": expected 0 or 1");
                return buffer[at] == 1;
            case U8:
            case UNION_TYPE:
                return buffer[at] & 255;
            case U16:
                return Bytes.u16(buffer, at);
            case U32:
                return Bytes.u32(buffer, at);
            case U64:
                return Bytes.i64(buffer, at);
            case F32:
                return Bytes.f32(buffer, at);
            case F64:
                return Double.longBitsToDouble(Bytes.i64(buffer, at));
            case OCTETS:
                return octets(label, slot, at);
            case UTF8:
                return utf8(label, slot, at);
            case TABLE:
                return table(slot.items.get(0), target(label, at));
            case TABLES:
                return tables(label, slot, at);
            case UNION:
                return target(label, at);
            default:
                throw new IllegalStateException(label + ": " + slot.kind);
        }
    }

    /** Returns where the offset at {@code at} points: further on, with at least four bytes behind it. */
    private int target(String label, int at) {
        long offset = Bytes.u32(buffer, at);
        if (offset < OFFSET_BYTES || at + offset + OFFSET_BYTES > buffer.length) {
            throw refuse(label + ": offset " + offset + " at byte " + at + ": expected 4 to "
                    + (buffer.length - OFFSET_BYTES - at));
        }
        return (int) (at + offset);
    }

    /** Returns how many elements the vector has to which the offset at {@code at} points, after all checks. */
    private int count(String label, int start, int most, int width) {
        long count = Bytes.u32(buffer, start);
        if (count > most) throw refuse(label + ": " + count + " elements, expected at most " + most);
        if (start + OFFSET_BYTES + count * width > buffer.length) {
            throw refuse(label + ": " + count + " elements at byte " + (start + OFFSET_BYTES)
                    + " leave the message of " + buffer.length + " bytes");
        }
        return (int) count;
    }

    private byte[] octets(String label, Slot slot, int at) {
        int start = target(label, at);
        int count = count(label, start, slot.most, 1);
        if (count < slot.least) throw refuse(label + ": " + count + " elements, expected at least " + slot.least);
        byte[] found = new byte[count];
        System.arraycopy(buffer, start + OFFSET_BYTES, found, 0, count);
        return found;
    }

    private String utf8(String label, Slot slot, int at) {
        int start = target(label, at);
        int count = count(label, start, slot.most, 1), first = start + OFFSET_BYTES, end = first + count;
        if (end == buffer.length || buffer[end] != 0) {
            throw refuse(label + ": string of " + count + " bytes at byte " + first + " does not end in a zero byte");
        }
        CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT);
        ByteBuffer in = ByteBuffer.wrap(buffer, first, count);
        CharBuffer out = CharBuffer.allocate(count);
        CoderResult result = decoder.decode(in, out, true);
        if (result.isError()) throw refuse(label + ": byte " + in.position() + " is not UTF-8");
        return new String(out.array(), 0, out.position());
    }

    private List<Object> tables(String label, Slot slot, int at) {
        int start = target(label, at);
        int count = count(label, start, slot.most, OFFSET_BYTES);
        List<Object> found = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            found.add(table(slot.items.get(0), target(label, start + OFFSET_BYTES + i * OFFSET_BYTES)));
        }
        return Collections.unmodifiableList(found);
    }

    private String ofMessage() {
        return " of a message of " + buffer.length + " bytes";
    }

    private static ProtocolError refuse(String message) {
        return new ProtocolError(message);
    }

    /** Returns the identifier's four bytes as Python writes bytes. */
    private static String quoted(byte[] payload) {
        StringBuilder text = new StringBuilder("b'");
        for (int i = 4; i < 8; i++) {
            int value = payload[i] & 255;
            if (value >= 32 && value < 127) text.append((char) value);
            else text.append(String.format("\\x%02x", value));
        }
        return text.append('\'').toString();
    }
}
