package edgewise.wire;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import edgewise.wire.Messages.Body;
import edgewise.wire.Messages.Envelope;
import edgewise.wire.codec.Codec;
import edgewise.wire.codec.Layout;
import edgewise.wire.codec.Slot;
import edgewise.wire.errors.ProtocolError;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** Byte for byte the messages that Python writes and reads, and its reasons for refusing the corrupt ones. */
class MessagesGoldenTest {
    @TestFactory
    Stream<DynamicTest> aMessageIsReadAndWrittenAsPythonDoes() {
        return each("messages", (name, entry) -> {
            byte[] payload = Golden.bytes("messages/" + name + ".bin");
            Envelope found = Codec.decode(payload);
            assertEquals(entry.get("message"), describe(Envelope.LAYOUT, found), name);
            if (entry.get("canonical").getAsBoolean()) {
                assertArrayEquals(payload, Codec.encode(found), name);
                Envelope made = (Envelope) understand(Envelope.LAYOUT, entry.getAsJsonObject("message"));
                assertArrayEquals(payload, Codec.encode(made), name);
            }
        });
    }

    @TestFactory
    Stream<DynamicTest> aCorruptMessageIsRefusedForPythonsReason() {
        return each("corrupt", (name, entry) -> {
            byte[] payload = Golden.bytes("corrupt/" + name + ".bin");
            ProtocolError refusal = assertThrows(ProtocolError.class, () -> Codec.decode(payload));
            assertEquals(entry.get("because").getAsString(), refusal.getMessage());
        });
    }

    @Test
    void everyBodyIsAmongTheGoldenMessages() {
        List<String> names = new ArrayList<>();
        for (JsonElement entry : Golden.entries("messages")) names.add(entry.getAsJsonObject().get("name").getAsString());
        for (Layout<?> body : Messages.BODIES) assertTrue(names.contains(body.name + "-full"), body.name);
    }

    @Test
    void whateverBytesComeThereIsAMessageOrARefusal() {
        Random dice = new Random(1);
        List<byte[]> good = new ArrayList<>();
        for (JsonElement entry : Golden.entries("messages")) {
            good.add(Golden.bytes("messages/" + entry.getAsJsonObject().get("name").getAsString() + ".bin"));
        }
        int read = 0, refused = 0;
        for (int i = 0; i < 20_000; i++) {
            byte[] payload = good.get(dice.nextInt(good.size())).clone();
            for (int n = dice.nextInt(4); n >= 0; n--) {
                payload[dice.nextInt(Math.min(payload.length, 400))] = (byte) dice.nextInt(256);
            }
            try {
                Codec.decode(payload);
                read++;
            } catch (ProtocolError error) {
                refused++;
            }
        }
        assertTrue(read > 1000 && refused > 1000, read + " read, " + refused + " refused");
    }

    @Test
    void whatIsWrittenIsWhatTheGeneratedClassesRead() {
        byte[] payload = Golden.bytes("messages/Assignment-full.bin");
        var root = edgewise.wire.generated.Envelope.getRootAsEnvelope(ByteBuffer.wrap(Codec.encode(Codec.decode(payload))));
        var asked = (edgewise.wire.generated.Assignment) root.body(new edgewise.wire.generated.Assignment());
        Messages.Assignment ours = (Messages.Assignment) Codec.decode(payload).body();
        assertEquals(ours.learningRate(), asked.learningRate());
        assertEquals(ours.weights().size(), asked.weights().size());
        assertEquals(ours.encoding(), asked.encoding());
        assertEquals(Messages.BODIES.size(), edgewise.wire.generated.Body.names.length - 1);
    }

    private interface Check {
        void check(String name, JsonObject entry);
    }

    private static Stream<DynamicTest> each(String folder, Check check) {
        return StreamSupport.stream(Golden.entries(folder).spliterator(), false).map(JsonElement::getAsJsonObject)
                .map(entry -> {
                    String name = entry.get("name").getAsString();
                    return DynamicTest.dynamicTest(name, () -> check.check(name, entry));
                });
    }

    /** Says a message as the golden index does: bytes in hexadecimal, 64-bit integers and NaN, Infinity as strings. */
    private static JsonObject describe(Layout<?> layout, Object message) {
        JsonObject said = new JsonObject();
        Object[] values = take(layout, message);
        for (int i = 0; i < values.length; i++) {
            Slot slot = layout.slots.get(i);
            said.add(slot.name, slot.kind == Slot.Kind.UNION_TYPE
                    ? new JsonPrimitive(((Envelope) message).body().layout().name) : say(slot, values[i]));
        }
        return said;
    }

    @SuppressWarnings("unchecked")
    private static <T> Object[] take(Layout<T> layout, Object message) {
        return layout.take.apply((T) message);
    }

    private static JsonElement say(Slot slot, Object value) {
        switch (slot.kind) {
            case OCTETS:
                return new JsonPrimitive(Bytes.hex((byte[]) value));
            case UTF8:
                return new JsonPrimitive((String) value);
            case BOOL:
                return new JsonPrimitive((Boolean) value);
            case U64:
                return new JsonPrimitive(Long.toUnsignedString((Long) value));
            case F32:
            case F64:
                double number = ((Number) value).doubleValue();
                return Double.isFinite(number) ? new JsonPrimitive(number) : new JsonPrimitive(String.valueOf(number));
            case TABLE:
                return describe(slot.items.get(0), value);
            case UNION:
                return describe(((Body) value).layout(), value);
            case TABLES:
                JsonArray all = new JsonArray();
                for (Object item : (List<?>) value) all.add(describe(slot.items.get(0), item));
                return all;
            default:
                return new JsonPrimitive((Number) value);
        }
    }

    private static Object understand(Layout<?> layout, JsonObject said) {
        Object[] values = new Object[layout.slots.size()];
        for (int i = 0; i < values.length; i++) {
            Slot slot = layout.slots.get(i);
            JsonElement one = said.get(slot.name);
            if (slot.kind == Slot.Kind.UNION_TYPE) {
                values[i] = 0;
            } else if (slot.kind == Slot.Kind.UNION) {
                String type = said.get(slot.name + "_type").getAsString();
                Layout<?> body = Messages.BODIES.stream().filter(b -> b.name.equals(type)).findFirst().orElseThrow();
                values[i] = understand(body, one.getAsJsonObject());
            } else {
                values[i] = understood(slot, one);
            }
        }
        return layout.make.apply(values);
    }

    private static Object understood(Slot slot, JsonElement said) {
        switch (slot.kind) {
            case OCTETS:
                return Bytes.unhex(said.getAsString());
            case UTF8:
                return said.getAsString();
            case BOOL:
                return said.getAsBoolean();
            case U8:
            case U16:
                return said.getAsInt();
            case U32:
                return said.getAsLong();
            case U64:
                return Long.parseUnsignedLong(said.getAsString());
            case F32:
                return (float) Double.parseDouble(said.getAsString());
            case F64:
                return Double.parseDouble(said.getAsString());
            case TABLE:
                return understand(slot.items.get(0), said.getAsJsonObject());
            default:
                List<Object> all = new ArrayList<>();
                for (JsonElement item : said.getAsJsonArray()) all.add(understand(slot.items.get(0), item.getAsJsonObject()));
                return all;
        }
    }
}
