package edgewise.device;

import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.Kind;
import edgewise.wire.errors.ConfigError;
import edgewise.wire.transforms.Codec;
import edgewise.wire.transforms.Codecs;
import edgewise.wire.transforms.Key;

/** How a device's update becomes the bytes that it sends: in the encoding that the assignment names. */
final class Encoding {
    private Encoding() {}

    /** Returns how many bytes an assignment's update will have; 0 for an encoding that is not known. */
    static long updateBytes(Assignment asked) {
        if (asked.kind() == Kind.EVALUATE) return 0;
        long numbers = (asked.weights().size() + (asked.correction().isEmpty() ? 0 : asked.control().size())) / 4;
        try {
            return Codecs.get(asked.encoding()).size((int) Math.max(1, Math.min(numbers, Integer.MAX_VALUE / 8)));
        } catch (ConfigError error) {
            return 0;
        }
    }

    /**
     * Returns an update's bytes; what they leave unsaid is kept on disk for a later round. Law: a function of (seed, round,
     * device), the update and the residual in force: made again after a crash, it is the same bytes.
     */
    static byte[] encodeUpdate(Home home, Work work, String device, float[] update) {
        Assignment asked = work.asked();
        Codec codec = Codecs.get(asked.encoding());
        Controls kept = new Controls(home, asked.graph().hash(), Controls.RESIDUALS);
        float[] residual = codec.stateful() ? kept.load(asked.controlRound(), update.length) : null;
        Codec.Encoded encoded = codec.encode(update, new Key(asked.seed(), work.round(), device), residual);
        if (encoded.residual() != null) kept.save(work.round(), encoded.residual(), asked.controlRound());
        return encoded.data();
    }
}
