package edgewise.wire.crypto;

import edgewise.wire.Bytes;
import edgewise.wire.errors.EdgewiseError;
import edgewise.wire.errors.ProtocolError;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.crypto.InvalidCipherTextException;
import org.bouncycastle.crypto.engines.ChaChaEngine;
import org.bouncycastle.crypto.modes.ChaCha20Poly1305;
import org.bouncycastle.crypto.params.AEADParameters;
import org.bouncycastle.crypto.params.KeyParameter;
import org.bouncycastle.math.ec.rfc7748.X25519;
import org.bouncycastle.math.ec.rfc8032.Ed25519;

/**
 * What secure aggregation is built from: X25519, HKDF-SHA256, ChaCha20-Poly1305, ChaCha20 and Ed25519, by Bouncy Castle
 * where API 24 has none. Nonces are zero throughout, since every key is derived for one message or one mask and never used
 * again. {@code wire/edgewise_wire/crypto/agreement.py} is the same in Python.
 */
public final class Agreement {
    public static final int KEY_BYTES = 32, SIGNATURE_BYTES = 64, TAG_BYTES = 16;
    private static final int BLOCK_WORDS = 16, ROUNDS = 20;
    private static final int[] CONSTANTS = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}; // RFC 8439, §2.3

    private Agreement() {}

    /** Returns 32 bytes for one purpose (HKDF with SHA-256, RFC 5869); an empty salt stands for 32 zero bytes. */
    public static byte[] derive(byte[] secret, byte[] purpose, byte[] salt) {
        byte[] extracted = hmac(salt.length == 0 ? new byte[KEY_BYTES] : salt, secret);
        byte[] info = Arrays.copyOf(purpose, purpose.length + 1);
        info[purpose.length] = 1; // one block of SHA-256 is all that is ever asked for
        return hmac(extracted, info);
    }

    /** The same, for a purpose in words. */
    public static byte[] derive(byte[] secret, String purpose, byte[] salt) {
        return derive(secret, purpose.getBytes(StandardCharsets.US_ASCII), salt);
    }

    private static byte[] hmac(byte[] key, byte[] data) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            return mac.doFinal(data);
        } catch (GeneralSecurityException error) {
            throw new EdgewiseError("this device has no HMAC with SHA-256", error); // every Android has it
        }
    }

    /** Returns the half of an X25519 key that is advertised (RFC 7748); any 32 bytes are a private key. */
    public static byte[] agreementPublic(byte[] secret) {
        byte[] out = new byte[KEY_BYTES];
        X25519.generatePublicKey(secret, 0, out, 0);
        return out;
    }

    /**
     * Returns the secret shared with the holder of {@code theirs}.
     *
     * @throws ProtocolError if that is no key (a point of small order among them)
     */
    public static byte[] agree(byte[] secret, byte[] theirs) {
        byte[] out = new byte[KEY_BYTES];
        if (theirs.length != KEY_BYTES || !X25519.calculateAgreement(secret, 0, theirs, 0, out, 0)) {
            throw new ProtocolError("X25519 key: not one that a secret can be agreed with");
        }
        return out;
    }

    /** Returns the public half of an Ed25519 seed. */
    public static byte[] signerPublic(byte[] seed) {
        byte[] out = new byte[KEY_BYTES];
        Ed25519.generatePublicKey(seed, 0, out, 0);
        return out;
    }

    /** Returns an Ed25519 signature of 64 bytes. */
    public static byte[] sign(byte[] seed, byte[] data) {
        byte[] out = new byte[SIGNATURE_BYTES];
        Ed25519.sign(seed, 0, data, 0, data.length, out, 0);
        return out;
    }

    /** Returns whether the holder of an Ed25519 key signed these bytes. */
    public static boolean signedBy(byte[] key, byte[] data, byte[] signature) {
        return key.length == KEY_BYTES && signature.length == SIGNATURE_BYTES
                && Ed25519.verify(signature, 0, key, 0, data, 0, data.length);
    }

    /** Returns {@code data} encrypted, 16 bytes longer; the key must never be used again. */
    public static byte[] seal(byte[] key, byte[] data, byte[] about) {
        try {
            return sealing(true, key, data, about);
        } catch (InvalidCipherTextException error) {
            throw new IllegalStateException(error); // encrypting does not fail
        }
    }

    /** Returns what was sealed, {@code null} if it was not with this key, about this. */
    public static byte[] unseal(byte[] key, byte[] data, byte[] about) {
        try {
            return data.length < TAG_BYTES ? null : sealing(false, key, data, about);
        } catch (InvalidCipherTextException error) {
            return null;
        }
    }

    private static byte[] sealing(boolean encrypt, byte[] key, byte[] data, byte[] about)
            throws InvalidCipherTextException {
        ChaCha20Poly1305 cipher = new ChaCha20Poly1305();
        cipher.init(encrypt, new AEADParameters(new KeyParameter(key), 8 * TAG_BYTES, new byte[12], about));
        byte[] out = new byte[cipher.getOutputSize(data.length)];
        int length = cipher.processBytes(data, 0, data.length, out, 0);
        length += cipher.doFinal(out, length);
        return length == out.length ? out : Arrays.copyOf(out, length);
    }

    /** Returns the first {@code length} bytes of a key's ChaCha20 stream. */
    public static byte[] keyStream(byte[] key, int length) {
        int[] words = new int[(length + 3) / 4];
        addMask(words, key, 1);
        byte[] out = new byte[4 * words.length];
        for (int i = 0; i < words.length; i++) Bytes.putI32(out, 4 * i, words[i]);
        return Arrays.copyOf(out, length);
    }

    /** Adds (or, with {@code sign} -1, subtracts) a key's stream, a little-endian word an element, modulo 2^32. */
    public static void addMask(int[] total, byte[] key, int sign) {
        int[] state = new int[BLOCK_WORDS], stream = new int[BLOCK_WORDS];
        System.arraycopy(CONSTANTS, 0, state, 0, CONSTANTS.length);
        for (int i = 0; i < KEY_BYTES / 4; i++) state[4 + i] = Bytes.i32(key, 4 * i);
        for (int at = 0; at < total.length; at += BLOCK_WORDS) {
            ChaChaEngine.chachaCore(ROUNDS, state, stream);
            state[12]++; // the counter; the nonce behind it is zero
            int end = Math.min(BLOCK_WORDS, total.length - at);
            if (sign > 0) for (int i = 0; i < end; i++) total[at + i] += stream[i];
            else for (int i = 0; i < end; i++) total[at + i] -= stream[i];
        }
    }
}
