package edgewise.device.transport;

import edgewise.wire.errors.ConfigError;
import java.net.URI;
import java.net.URISyntaxException;

/** Where a broker is: {@code mqtt[s]://[user[:password]@]host[:port]}; printing it never shows the password. */
public record BrokerAddress(String host, int port, boolean tls, String user, String password) {
    /** Takes an address apart. Options behind a question mark (a rate, MQTT 5) are for other clients and passed over. */
    public static BrokerAddress parse(String text) {
        try {
            URI uri = new URI(text);
            boolean tls = "mqtts".equals(uri.getScheme());
            if (!tls && !"mqtt".equals(uri.getScheme()) || uri.getHost() == null) {
                throw new URISyntaxException(text, "no mqtt:// or mqtts:// with a host");
            }
            String info = uri.getUserInfo();
            int colon = info == null ? -1 : info.indexOf(':');
            return new BrokerAddress(uri.getHost(), uri.getPort() > 0 ? uri.getPort() : tls ? 8883 : 1883, tls,
                    colon < 0 ? info : info.substring(0, colon), colon < 0 ? null : info.substring(colon + 1));
        } catch (URISyntaxException error) {
            String shown = text.substring(text.lastIndexOf('@') + 1); // what stands before may be a password
            throw new ConfigError("broker address '" + shown + "': " + error.getReason()
                    + "; expected something like mqtt://127.0.0.1:1883");
        }
    }

    @Override
    public String toString() {
        return (tls ? "mqtts://" : "mqtt://") + host + ":" + port;
    }
}
