package edgewise.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import edgewise.device.transport.BrokerAddress;
import edgewise.wire.errors.ConfigError;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

/** Words for people are one bounded line; addresses and bundles are read strictly, and no password is ever shown. */
class LinkTest {
    @Test
    void aSentenceIsOneLineOf512BytesWithoutWhatATerminalWouldObey() {
        assertEquals("a b ?c", Link.sentence("a \n\t b \u001bc"));
        String cut = Link.sentence("ü".repeat(400));
        assertEquals(512, cut.getBytes(StandardCharsets.UTF_8).length);
    }

    @Test
    void anAddressIsTakenApart() {
        BrokerAddress address = BrokerAddress.parse("mqtts://me:secret@broker.example");
        assertEquals("mqtts://broker.example:8883", address.toString());
        assertEquals("secret", address.password());
        assertEquals(1884, BrokerAddress.parse("mqtt://127.0.0.1:1884").port());
        ConfigError error = assertThrows(ConfigError.class, () -> BrokerAddress.parse("http://me:secret@x"));
        assertTrue(!error.getMessage().contains("secret"));
    }

    @Test
    void aBundleThatIsNoneIsRefused() {
        for (String bad : new String[] {"", "{}", "[]", "{\"format\": 2}", "{\"format\": 1, \"fleet\": \"home\"}",
                "{\"format\": 1, \"fleet\": \"a/b\", \"device\": \"d\", \"broker\": \"mqtts://b\", \"ca\": \"\", \"cert\": \"\","
                        + " \"coordinator_key\": \"\", \"expires\": 1, \"key\": \"\"}",
                "{\"format\": 1, \"fleet\": \"a\", \"device\": \"d\", \"broker\": \"mqtt://b\", \"ca\": \"\", \"cert\": \"\","
                        + " \"coordinator_key\": \"\", \"expires\": 1, \"key\": \"\"}"}) {
            assertThrows(ConfigError.class, () -> Bundle.parse(bad.getBytes(StandardCharsets.UTF_8)), bad);
        }
    }
}
