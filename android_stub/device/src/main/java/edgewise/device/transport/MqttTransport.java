package edgewise.device.transport;

import edgewise.wire.errors.TransportError;
import java.io.InterruptedIOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.logging.Logger;
import javax.net.SocketFactory;
import org.eclipse.paho.client.mqttv3.IMqttDeliveryToken;
import org.eclipse.paho.client.mqttv3.IMqttToken;
import org.eclipse.paho.client.mqttv3.MqttAsyncClient;
import org.eclipse.paho.client.mqttv3.MqttCallback;
import org.eclipse.paho.client.mqttv3.MqttConnectOptions;
import org.eclipse.paho.client.mqttv3.MqttException;
import org.eclipse.paho.client.mqttv3.MqttMessage;
import org.eclipse.paho.client.mqttv3.persist.MemoryPersistence;

/**
 * A {@link Transport} over MQTT 3.1.1 with clean sessions, through Eclipse Paho: each link is a new Paho client, driven
 * from one thread of ours. What the broker did not acknowledge is sent again after a reconnect: at least once, in order.
 * When the inbox is full Paho's callback waits, and the socket is not read.
 */
public final class MqttTransport implements Transport {
    private static final Logger LOG = Logger.getLogger("edgewise.transport");
    private static final int WINDOW = 64; // unacknowledged at once
    private static final int OUTBOX = 10_000, INBOX = 256;
    private static final int SUBSCRIBE_BATCH = 8; // AWS IoT Core closes the connection at 9
    private static final int CONNECT_SECONDS = 10, KEEPALIVE_SECONDS = 30;
    private static final long HELD_NANOS = TimeUnit.SECONDS.toNanos(5); // such a link resets the back-off

    private record Outgoing(String topic, byte[] payload, boolean retain, int qos) {}

    private final BrokerAddress address;
    private final String clientId;
    private final Will will;
    private final SocketFactory sockets;
    private final BlockingQueue<Event> inbox = new LinkedBlockingQueue<>(INBOX);
    private final Object lock = new Object(); // guards what follows
    private final Deque<Outgoing> outbox = new ArrayDeque<>();
    private final Deque<Outgoing> flying = new ArrayDeque<>();
    private final Set<String> wanted = new LinkedHashSet<>();
    private final Set<String> asked = new HashSet<>();
    private final List<String> dropped = new ArrayList<>();
    private String problem;
    private String lost;
    private boolean up;
    private boolean closing;
    private Thread thread;
    private Callback current; // what an earlier link's client still says is of no interest

    /**
     * A link that is not begun yet.
     *
     * @param sockets makes the sockets of a TLS link, with our certificate; {@code null} for a plain one
     */
    public MqttTransport(BrokerAddress address, String clientId, Will will, SocketFactory sockets) {
        this.address = address;
        this.clientId = clientId;
        this.will = will;
        this.sockets = sockets;
    }

    /** Begins to connect and goes on trying for ever. */
    public MqttTransport start() {
        thread = new Thread(this::run, "mqtt-" + clientId);
        thread.setDaemon(true);
        thread.start();
        return this;
    }

    @Override
    public void publish(String topic, byte[] payload, boolean retain, int qos) {
        synchronized (lock) {
            if (closing) throw new TransportError(address + ": publish to '" + topic + "' after close()");
            if (qos == 0 && !up) return; // lost with the link, as QoS 0 is
            if (outbox.size() + flying.size() >= OUTBOX) {
                throw new TransportError("publish to '" + topic + "': " + OUTBOX + " messages wait for the broker already");
            }
            outbox.add(new Outgoing(topic, payload, retain, qos));
            lock.notifyAll();
        }
    }

    @Override
    public void subscribe(String... topics) {
        synchronized (lock) {
            wanted.addAll(Arrays.asList(topics));
            lock.notifyAll();
        }
    }

    @Override
    public void unsubscribe(String... topics) {
        synchronized (lock) {
            for (String topic : topics) if (wanted.remove(topic) && asked.remove(topic)) dropped.add(topic);
            lock.notifyAll();
        }
    }

    @Override
    public Event poll(double seconds) {
        synchronized (lock) {
            if (problem != null) {
                String told = problem;
                problem = null;
                throw new TransportError(told);
            }
        }
        try {
            return inbox.poll((long) (seconds * 1e6), TimeUnit.MICROSECONDS);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            return null;
        }
    }

    @Override
    public void close() {
        synchronized (lock) {
            closing = true;
            lock.notifyAll();
        }
        inbox.clear(); // lets a callback that waits for room go on
        if (thread == null) return;
        try {
            thread.join(4000);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }

    private void run() {
        Backoff backoff = new Backoff();
        boolean told = false;
        while (!isClosing()) {
            long began = System.nanoTime();
            String reason = serve();
            boolean held;
            synchronized (lock) {
                held = up;
                up = false;
                for (Outgoing one; (one = flying.pollLast()) != null; ) if (one.qos > 0) outbox.addFirst(one);
                outbox.removeIf(one -> one.qos == 0);
                asked.clear();
                dropped.clear();
            }
            if (isClosing()) return;
            if (held && System.nanoTime() - began > HELD_NANOS) backoff.reset();
            if (held || !told) put(new Disconnected(reason));
            told = true;
            pause(backoff.next());
        }
    }

    /** Serves one link from its beginning to its end and returns why it ended. */
    private String serve() {
        Callback callback = new Callback();
        synchronized (lock) {
            lost = null;
            current = callback;
        }
        MqttAsyncClient client = null;
        try {
            client = new MqttAsyncClient(
                    (address.tls() ? "ssl://" : "tcp://") + address.host() + ":" + address.port(), clientId,
                    new MemoryPersistence());
            client.setCallback(callback);
            client.connect(options()).waitForCompletion(2000L * CONNECT_SECONDS);
            drive(client);
            return "closed";
        } catch (MqttException | InterruptedIOException error) {
            Throwable cause = error.getCause() == null ? error : error.getCause();
            return address + ": " + cause;
        } finally {
            if (client != null) drop(client);
        }
    }

    private MqttConnectOptions options() {
        MqttConnectOptions options = new MqttConnectOptions();
        options.setMqttVersion(MqttConnectOptions.MQTT_VERSION_3_1_1);
        options.setCleanSession(true);
        options.setAutomaticReconnect(false);
        options.setConnectionTimeout(CONNECT_SECONDS);
        options.setKeepAliveInterval(KEEPALIVE_SECONDS);
        options.setMaxInflight(WINDOW + 16); // the window is ours; subscriptions count too
        options.setWill(will.topic(), will.payload(), 1, true);
        if (address.user() != null) options.setUserName(address.user());
        if (address.password() != null) options.setPassword(address.password().toCharArray());
        if (sockets != null) {
            options.setSocketFactory(sockets);
            options.setHttpsHostnameVerificationEnabled(true);
        }
        return options;
    }

    /** Subscribes, then sends what may be sent, until the link is lost or the owner has closed it. */
    private void drive(MqttAsyncClient client) throws MqttException, InterruptedIOException {
        renew(client);
        synchronized (lock) {
            up = true;
        }
        put(new Connected());
        long closeBy = Long.MAX_VALUE;
        while (true) {
            Outgoing next = null;
            List<String> add = new ArrayList<>(), remove = new ArrayList<>();
            synchronized (lock) {
                if (lost != null) throw new InterruptedIOException(lost);
                if (closing && closeBy == Long.MAX_VALUE) closeBy = System.nanoTime() + TimeUnit.SECONDS.toNanos(1);
                if (closing && (outbox.isEmpty() && flying.isEmpty() || System.nanoTime() >= closeBy)) return;
                for (String topic : wanted) if (asked.add(topic)) add.add(topic);
                remove.addAll(dropped);
                dropped.clear();
                if (flying.size() < WINDOW && !outbox.isEmpty()) flying.add(next = outbox.poll());
                if (next == null && add.isEmpty() && remove.isEmpty()) {
                    idle(closing ? 50 : 1000);
                    continue;
                }
            }
            for (List<String> batch : batches(add)) subscribe(client, batch);
            for (List<String> batch : batches(remove)) client.unsubscribe(batch.toArray(new String[0]));
            if (next != null) send(client, next);
        }
    }

    private void idle(long milliseconds) throws InterruptedIOException {
        try {
            lock.wait(milliseconds);
        } catch (InterruptedException error) {
            throw new InterruptedIOException("interrupted");
        }
    }

    /** Renews all subscriptions and waits for the broker's answer. */
    private void renew(MqttAsyncClient client) throws MqttException {
        List<String> all;
        synchronized (lock) {
            all = new ArrayList<>(wanted);
            asked.addAll(all);
        }
        for (List<String> batch : batches(all)) {
            IMqttToken token = subscribe(client, batch);
            token.waitForCompletion(1000L * CONNECT_SECONDS);
        }
    }

    private IMqttToken subscribe(MqttAsyncClient client, List<String> topics) throws MqttException {
        int[] qos = new int[topics.size()];
        Arrays.fill(qos, 1);
        return client.subscribe(topics.toArray(new String[0]), qos, null, new Granted(topics));
    }

    private void send(MqttAsyncClient client, Outgoing one) throws MqttException {
        MqttMessage message = new MqttMessage(one.payload);
        message.setQos(one.qos);
        message.setRetained(one.retain);
        client.publish(one.topic, message, null, new Settled(one));
    }

    private void settle(Outgoing one) {
        synchronized (lock) {
            flying.remove(one); // the same object: records of arrays are equal only to themselves here
            lock.notifyAll();
        }
    }

    private static List<List<String>> batches(List<String> topics) {
        List<List<String>> found = new ArrayList<>();
        for (int at = 0; at < topics.size(); at += SUBSCRIBE_BATCH) {
            found.add(topics.subList(at, Math.min(topics.size(), at + SUBSCRIBE_BATCH)));
        }
        return found;
    }

    private void drop(MqttAsyncClient client) {
        try {
            if (client.isConnected()) {
                if (isClosing()) client.disconnect(0).waitForCompletion(1000);
                else client.disconnectForcibly(0, 100);
            }
        } catch (MqttException error) {
            LOG.fine("not a clean end: " + error);
        }
        try {
            client.close(true);
        } catch (MqttException error) {
            LOG.fine("not closed: " + error);
        }
    }

    private boolean isClosing() {
        synchronized (lock) {
            return closing;
        }
    }

    private void pause(double seconds) {
        long until = System.nanoTime() + (long) (seconds * 1e9);
        synchronized (lock) {
            for (long left; !closing && (left = until - System.nanoTime()) > 0; ) {
                try {
                    lock.wait(left / 1_000_000 + 1);
                } catch (InterruptedException error) {
                    closing = true;
                }
            }
        }
    }

    /** Appends an event, waiting for room: nothing that arrived is dropped. */
    private void put(Event event) {
        try {
            while (!inbox.offer(event, 200, TimeUnit.MILLISECONDS)) if (isClosing()) return;
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }

    private final class Callback implements MqttCallback {
        @Override
        public void connectionLost(Throwable cause) {
            synchronized (lock) {
                if (current != this) return;
                lost = address + ": the connection was lost (" + cause + ")";
                lock.notifyAll();
            }
        }

        @Override
        public void messageArrived(String topic, MqttMessage message) {
            put(new Message(topic, message.getPayload()));
        }

        @Override
        public void deliveryComplete(IMqttDeliveryToken token) {}
    }

    private final class Settled implements org.eclipse.paho.client.mqttv3.IMqttActionListener {
        private final Outgoing one;

        Settled(Outgoing one) {
            this.one = one;
        }

        @Override
        public void onSuccess(IMqttToken token) {
            settle(one);
        }

        @Override
        public void onFailure(IMqttToken token, Throwable error) {
            // the link is lost: what flies is sent again over the next one
        }
    }

    private final class Granted implements org.eclipse.paho.client.mqttv3.IMqttActionListener {
        private final List<String> topics;

        Granted(List<String> topics) {
            this.topics = new ArrayList<>(topics);
        }

        @Override
        public void onSuccess(IMqttToken token) {
            int[] granted = token.getGrantedQos();
            for (int i = 0; i < granted.length && i < topics.size(); i++) {
                if (granted[i] >= 128) complain(topics.get(i));
            }
        }

        @Override
        public void onFailure(IMqttToken token, Throwable error) {
            complain(topics.toString());
        }

        private void complain(String what) {
            synchronized (lock) {
                problem = address + ": the broker refused the subscription to '" + what + "'; check its access rules";
            }
        }
    }
}
