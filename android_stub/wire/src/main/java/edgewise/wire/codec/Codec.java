package edgewise.wire.codec;

import edgewise.wire.Messages.Envelope;

/**
 * Messages to bytes and back. The laws: {@code decode(encode(m))} is {@code m}; equal messages are equal bytes, in
 * every language; any bytes at all give an envelope or a {@code ProtocolError}, in memory proportional to their number.
 */
public final class Codec {
    private Codec() {}

    /**
     * Returns the message in {@code payload}. Slots that this version does not know are skipped, missing ones read as
     * their defaults; numbers are passed on as they are (a NaN too), so whoever uses one checks it.
     *
     * @throws edgewise.wire.errors.ProtocolError if it is anything but one valid message
     */
    public static Envelope decode(byte[] payload) {
        return Reader.decode(payload);
    }

    /**
     * Returns {@code envelope} as bytes.
     *
     * @throws edgewise.wire.errors.InputError if a value is outside its field's bounds, or the whole is too long
     */
    public static byte[] encode(Envelope envelope) {
        return Writer.encode(envelope);
    }
}
