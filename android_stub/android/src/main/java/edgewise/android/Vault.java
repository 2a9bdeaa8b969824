package edgewise.android;

import android.security.keystore.KeyGenParameterSpec;
import android.security.keystore.KeyProperties;
import edgewise.wire.Files;
import edgewise.wire.errors.DataError;
import edgewise.wire.errors.UnavailableError;
import java.io.File;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyStore;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.spec.GCMParameterSpec;

/**
 * A file that only this app on this phone can read: AES-256-GCM with a key that the Android Keystore made and never gives
 * out. A bundle holds the device's private key, so it is kept in one.
 */
final class Vault {
    private static final String PROVIDER = "AndroidKeyStore", ALIAS = "edgewise", CIPHER = "AES/GCM/NoPadding";
    private static final int TAG_BITS = 128, NONCE_BYTES = 12;
    private static final int BYTES_MAX = 2 << 20;

    /** Where the wrapping key comes from. */
    interface Keys {
        Key wrappingKey() throws GeneralSecurityException, IOException;

        /** Destroys it: what it sealed cannot be opened any more, wherever a copy of it lies. */
        void destroy() throws GeneralSecurityException, IOException;
    }

    private final File path;
    private final Keys keys;

    Vault(File path, Keys keys) {
        this.path = path;
        this.keys = keys;
    }

    boolean exists() {
        return path.isFile();
    }

    /** Keeps bytes, sealed. */
    void put(byte[] data) {
        try {
            Cipher cipher = Cipher.getInstance(CIPHER);
            cipher.init(Cipher.ENCRYPT_MODE, keys.wrappingKey()); // the Keystore draws the nonce itself
            byte[] nonce = cipher.getIV(), sealed = cipher.doFinal(data);
            byte[] out = Arrays.copyOf(nonce, nonce.length + sealed.length);
            System.arraycopy(sealed, 0, out, nonce.length, sealed.length);
            if (nonce.length != NONCE_BYTES) throw new GeneralSecurityException("a nonce of " + nonce.length + " bytes");
            Files.writeDurably(path, out);
        } catch (GeneralSecurityException | IOException error) {
            throw new UnavailableError("the bundle cannot be sealed: " + error.getMessage(), error);
        }
    }

    /** Returns what was kept. Throws {@link DataError} if it was not sealed on this phone, or was changed. */
    byte[] get() {
        byte[] data = Files.read(path, BYTES_MAX);
        try {
            if (data.length <= NONCE_BYTES) throw new GeneralSecurityException("too short");
            Cipher cipher = Cipher.getInstance(CIPHER);
            cipher.init(Cipher.DECRYPT_MODE, keys.wrappingKey(), new GCMParameterSpec(TAG_BITS, data, 0, NONCE_BYTES));
            return cipher.doFinal(data, NONCE_BYTES, data.length - NONCE_BYTES);
        } catch (GeneralSecurityException | IOException error) {
            throw new DataError("the kept bundle cannot be opened (" + error.getMessage() + "): join again", error);
        }
    }

    /** Destroys the key, then the file. */
    void delete() {
        try {
            keys.destroy();
        } catch (GeneralSecurityException | IOException error) {
            throw new UnavailableError("the bundle's key cannot be destroyed: " + error.getMessage(), error);
        } finally {
            path.delete();
        }
    }

    /** The key in the Android Keystore, made when it is first needed. */
    static final class KeystoreKeys implements Keys {
        @Override
        public Key wrappingKey() throws GeneralSecurityException, IOException {
            KeyStore store = KeyStore.getInstance(PROVIDER);
            store.load(null);
            Key found = store.getKey(ALIAS, null);
            if (found != null) return found;
            KeyGenerator generator = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, PROVIDER);
            int use = KeyProperties.PURPOSE_ENCRYPT | KeyProperties.PURPOSE_DECRYPT;
            generator.init(new KeyGenParameterSpec.Builder(ALIAS, use).setKeySize(256)
                    .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
                    .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE).build());
            return generator.generateKey();
        }

        @Override
        public void destroy() throws GeneralSecurityException, IOException {
            KeyStore store = KeyStore.getInstance(PROVIDER);
            store.load(null);
            store.deleteEntry(ALIAS);
        }
    }
}
