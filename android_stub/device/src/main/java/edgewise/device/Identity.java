package edgewise.device;

import edgewise.device.transport.Transport.Will;
import edgewise.wire.Messages.Envelope;
import edgewise.wire.Messages.Presence;
import edgewise.wire.Topics;
import edgewise.wire.codec.Codec;

/** Who a device is on the wire. {@code session} is drawn anew at every process start. */
public record Identity(String fleet, String device, long session) {
    /** Throws {@code ConfigError} if a name may not stand in a topic. */
    public Identity {
        Topics.checkName("fleet", fleet);
        Topics.checkName("device", device);
    }

    /** Returns the encoded presence; the same message id every time, since it is retained and says a state. */
    byte[] presence(boolean online) {
        return Codec.encode(new Envelope(fleet, 0, 0, new Presence(online, session), Topics.PROTOCOL));
    }

    /** Returns what the broker says for this device when its link breaks. */
    public Will will() {
        return new Will(Topics.deviceState(fleet, device), presence(false));
    }
}
