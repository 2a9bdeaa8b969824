package edgewise.wire.transforms;

import edgewise.wire.errors.ConfigError;
import edgewise.wire.errors.InputError;
import java.nio.charset.StandardCharsets;

/** Every encoding by its name on the wire: {@code float32}, {@code rotated-4}, {@code eden-1}, {@code clip-0.5+eden-2}. */
public final class Codecs {
    private static final int NAME_BYTES = 64;
    private static final String EXAMPLES =
            "float32, float16, rotated-1 … rotated-8, eden-1 … eden-4, lloyd-1 … lloyd-4, topk-0.01, clip-1+eden-2";

    private Codecs() {}

    /**
     * Returns the codec of this name; the empty one means float32.
     *
     * @throws ConfigError if there is none, a number in it is out of its range, or its parts do not compose
     */
    public static Codec get(String name) {
        if (name.getBytes(StandardCharsets.UTF_8).length > NAME_BYTES) {
            throw new ConfigError("encoding: expected a name of at most " + NAME_BYTES + " bytes");
        }
        int plus = name.indexOf('+');
        String first = plus < 0 ? name : name.substring(0, plus);
        if (first.startsWith("clip-")) {
            Codec codec = new Clip(number(first.substring(5), name), get(plus < 0 ? "" : name.substring(plus + 1)));
            return checked(codec, name);
        }
        if (plus >= 0) {
            throw new ConfigError("encoding '" + name + "': '" + first + "' cannot come before another; only clip-NORM can");
        }
        return name.isEmpty() ? new Float32() : checked(made(name), name);
    }

    private static Codec made(String name) {
        if (name.equals("float32")) return new Float32();
        if (name.equals("float16")) return new Float16();
        int dash = name.indexOf('-');
        String kind = dash < 0 ? name : name.substring(0, dash), argument = dash < 0 ? "" : name.substring(dash + 1);
        switch (kind) {
            case "rotated":
                return new Rotated((int) number(argument, name));
            case "eden":
                return new Eden(true, (int) number(argument, name));
            case "lloyd":
                return new Eden(false, (int) number(argument, name));
            case "topk":
                return new TopK(number(argument, name));
            default:
                throw unknown(name);
        }
    }

    private static double number(String argument, String name) {
        try {
            return Double.parseDouble(argument);
        } catch (NumberFormatException error) {
            throw unknown(name);
        }
    }

    private static ConfigError unknown(String name) {
        return new ConfigError("encoding '" + name + "': not known; expected one of " + EXAMPLES);
    }

    /** One name an encoding: {@code eden-01} and {@code topk-1e-2} would be strangers to the other side. */
    private static Codec checked(Codec codec, String name) {
        if (!codec.name().equals(name)) {
            throw new ConfigError("encoding '" + name + "': write '" + codec.name() + "' instead");
        }
        return codec;
    }

    /**
     * Returns the version that {@code data} leads to from {@code base}, or from zero where that is {@code null}
     * (the way down: {@code transforms/delta.py}).
     *
     * @throws edgewise.wire.errors.ProtocolError if the bytes are not a difference in this encoding
     */
    public static float[] follow(String name, byte[] data, float[] base, byte[] baseHash, int parameters) {
        float[] difference = get(name).decode(data, parameters, new Key(0, 0, edgewise.wire.Bytes.hex(baseHash)));
        if (base == null) return difference;
        if (base.length != parameters) throw new InputError("base of " + base.length + " numbers: expected " + parameters);
        for (int i = 0; i < difference.length; i++) difference[i] = base[i] + difference[i];
        return difference;
    }
}
