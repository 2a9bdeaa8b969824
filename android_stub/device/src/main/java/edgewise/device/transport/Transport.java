package edgewise.device.transport;

/**
 * The one seam through which messages leave and enter. Delivery is by polling: the owner calls {@code poll} from its own
 * loop, so no callback ever runs in a foreign thread.
 */
public interface Transport {
    /** What {@code poll} gives. */
    interface Event {}

    /** The link is up, or up again; the transport has already renewed its subscriptions. */
    record Connected() implements Event {}

    /** The link is down; the transport goes on trying. */
    record Disconnected(String reason) implements Event {}

    /** One message as it came. */
    record Message(String topic, byte[] payload) implements Event {}

    /** What the broker publishes for us, retained, when the link breaks without a goodbye. */
    record Will(String topic, byte[] payload) {}

    /**
     * Hands a message over for sending; it may wait until the link is up.
     *
     * @throws edgewise.wire.errors.TransportError if the bounded outbox is full
     */
    void publish(String topic, byte[] payload, boolean retain, int qos);

    /** Asks for messages on these topics; kept over reconnects. */
    void subscribe(String... topics);

    void unsubscribe(String... topics);

    /**
     * Returns the next event, waiting so many seconds at most; {@code null} if there was none.
     *
     * @throws edgewise.wire.errors.TransportError if the broker refused a subscription; told once
     */
    Event poll(double seconds);

    /** Sends what is pending for a second at most, says goodbye (so that no will is published) and stops. */
    void close();
}
