package edgewise.android;

import java.security.Key;
import javax.crypto.spec.SecretKeySpec;

/** A wrapping key in memory: no desktop JVM has an Android Keystore. */
final class SoftKeys implements Vault.Keys {
    private final byte[] key = new byte[32];

    SoftKeys(int seed) {
        key[0] = (byte) seed;
    }

    @Override
    public Key wrappingKey() {
        return new SecretKeySpec(key, "AES");
    }

    @Override
    public void destroy() {
        key[1]++; // another one from now on
    }
}
