package edgewise.device;

import edgewise.device.transport.Transport;
import edgewise.wire.Messages.Abort;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.BlobChunk;
import edgewise.wire.Messages.Body;
import edgewise.wire.Messages.ChunkAck;
import edgewise.wire.Messages.ComeBackLater;
import edgewise.wire.Messages.Decline;
import edgewise.wire.Messages.Envelope;
import edgewise.wire.Messages.ReportAck;
import edgewise.wire.Messages.SecureInbox;
import edgewise.wire.Messages.SecureQuorum;
import edgewise.wire.Messages.SecureRoster;
import edgewise.wire.Messages.SecureSurvivors;
import edgewise.wire.Messages.UploadGrant;
import edgewise.wire.Topics;
import edgewise.wire.VerifyKey;
import edgewise.wire.codec.Codec;
import edgewise.wire.errors.ProtocolError;
import edgewise.wire.errors.TransportError;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;
import java.util.logging.Logger;

/** The device's end of the wire: what it says goes out as messages, what comes in is decoded, checked and counted. */
final class Link {
    private static final Logger LOG = Logger.getLogger("edgewise.device");
    private static final int SENTENCE_BYTES = 512;

    /** A message that passed every check. */
    record Heard(long round, long messageId, Body body) {}

    final Transport transport;
    final Identity identity;
    /** Whether the link is up, as far as the agent has heard. */
    boolean up;
    /** How many messages were of no use, by reason. */
    final Map<String, Integer> dropped = new TreeMap<>();
    private final VerifyKey key;
    private final String down;
    private long said;

    /** With a key, only assignments are taken that it says the coordinator signed; {@code null} takes any. */
    Link(Transport transport, Identity identity, VerifyKey key) {
        this.transport = transport;
        this.identity = identity;
        this.key = key;
        down = Topics.deviceDown(identity.fleet(), identity.device());
    }

    boolean signed() {
        return key != null;
    }

    /** Asks for what is said to this device. */
    void listen() {
        transport.subscribe(down);
    }

    /** Publishes the presence. */
    void show(boolean online) {
        publish(Topics.deviceState(identity.fleet(), identity.device()), identity.presence(online), true, 1);
    }

    boolean say(Body body, long round) {
        return say(body, round, 1, "");
    }

    /**
     * Says something to the coordinator, or {@code to} an aggregator, and returns whether it went to the transport. While the link is down nothing is
     * said: the check-in that follows every reconnect tells the coordinator how things stand.
     */
    boolean say(Body body, long round, int qos, String to) {
        if (!up) return false;
        said++;
        Envelope envelope = new Envelope(identity.fleet(), round, identity.session() + said, body, Topics.PROTOCOL);
        String topic = to.isEmpty() ? Topics.deviceUp(identity.fleet(), identity.device())
                : Topics.deviceUpTo(identity.fleet(), identity.device(), to);
        return publish(topic, Codec.encode(envelope), false, qos);
    }

    private boolean publish(String topic, byte[] payload, boolean retain, int qos) {
        try {
            transport.publish(topic, payload, retain, qos);
            return true;
        } catch (TransportError error) {
            LOG.fine("not sent: " + error.getMessage());
            return false;
        }
    }

    /** Returns what a message says, {@code null} if it is not for this device or not valid. */
    Heard hear(Transport.Message message) {
        Envelope envelope;
        try {
            envelope = Codec.decode(message.payload());
        } catch (ProtocolError error) {
            return drop("invalid", error.getMessage());
        }
        Body body = envelope.body();
        if (!envelope.fleet().equals(identity.fleet()) || envelope.protocol() != Topics.PROTOCOL) {
            return drop("foreign", "protocol " + envelope.protocol());
        }
        boolean chunk = body instanceof BlobChunk;
        String expected = body instanceof BlobChunk b ? Topics.blobChunk(identity.fleet(), b.hash(), b.index()) : down;
        boolean known = chunk || body instanceof Assignment || body instanceof UploadGrant || body instanceof ChunkAck
                || body instanceof ReportAck || body instanceof Abort || body instanceof ComeBackLater
                || isSecure(body);
        if (!known || !message.topic().equals(expected)) return drop("misplaced", body.layout().name);
        if (body instanceof Assignment asked && key != null
                && !key.vouchesFor(identity.device(), message.payload(), asked.signature())) {
            return dropForged(envelope.round());
        }
        return new Heard(envelope.round(), envelope.messageId(), body);
    }

    /** Returns whether this is what a coordinator says in a secure round. */
    static boolean isSecure(Body body) {
        return body instanceof SecureRoster || body instanceof SecureInbox || body instanceof SecureSurvivors
                || body instanceof SecureQuorum;
    }

    /** It is not declined: its round and attempt may be those of an honest one. Round 0 is no round. */
    private Heard dropForged(long round) {
        drop("forged", "an assignment of round " + round + " without the coordinator's signature");
        int count = dropped.get("forged");
        if ((count & count - 1) == 0) { // a flood of forgeries is not answered by another
            LOG.warning("refused an assignment that the coordinator did not sign (" + count + " so far)");
            say(Decline.ABSENT.withReason("refused " + count + " assignments that the coordinator did not sign"), 0);
        }
        return null;
    }

    /** Counts a message that was of no use. */
    Heard drop(String kind, String detail) {
        Integer count = dropped.get(kind);
        dropped.put(kind, count == null ? 1 : count + 1);
        LOG.fine("dropped a message: " + kind + " (" + detail + ")");
        return null;
    }

    /** Returns words for people as one line of at most 512 bytes of UTF-8, without what a terminal would obey. */
    static String sentence(String text) {
        StringBuilder flat = new StringBuilder();
        for (int i = 0, code; i < text.length(); i += Character.charCount(code)) {
            code = text.codePointAt(i);
            int shown = Character.isWhitespace(code) ? ' ' : printable(code) ? code : '?';
            boolean doubled = shown == ' ' && (flat.length() == 0 || flat.charAt(flat.length() - 1) == ' ');
            String next = new String(Character.toChars(shown));
            int length = flat.toString().getBytes(StandardCharsets.UTF_8).length;
            if (length + next.getBytes(StandardCharsets.UTF_8).length > SENTENCE_BYTES) break;
            if (!doubled) flat.append(next);
        }
        return flat.toString().trim();
    }

    private static boolean printable(int code) {
        int type = Character.getType(code);
        return type != Character.CONTROL && type != Character.FORMAT && type != Character.SURROGATE
                && type != Character.PRIVATE_USE && type != Character.UNASSIGNED;
    }
}
