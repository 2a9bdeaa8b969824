package edgewise.wire;

import edgewise.wire.errors.ConfigError;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.bouncycastle.crypto.params.Ed25519PublicKeyParameters;
import org.bouncycastle.crypto.signers.Ed25519Signer;
import org.bouncycastle.util.encoders.Base64;

/**
 * A coordinator's public key: Ed25519 (RFC 8032), which Android's own provider has from API 33 on only.
 *
 * <p>What is signed is the message as it stands on the wire with 64 zero bytes where the signature goes, behind a prefix
 * that names the purpose and the device; see {@code wire/edgewise_wire/crypto/signing.py}.
 */
public final class VerifyKey {
    private static final int KEY_BYTES = 32, SIGNATURE_BYTES = 64;
    private static final String PURPOSE = "edgewise assignment 1\n";

    private final Ed25519PublicKeyParameters key;

    /** Throws {@link ConfigError} if {@code raw} is not 32 bytes that are a key. */
    public VerifyKey(byte[] raw) {
        if (raw.length != KEY_BYTES) {
            throw new ConfigError("the coordinator's key: expected " + KEY_BYTES + " bytes, got " + raw.length);
        }
        try {
            key = new Ed25519PublicKeyParameters(raw, 0);
        } catch (RuntimeException error) {
            throw new ConfigError("the coordinator's key is not an Ed25519 key", error);
        }
    }

    /** Reads a key in base64. Throws {@link ConfigError} if it is none. */
    public static VerifyKey fromText(String text) {
        try {
            return new VerifyKey(Base64.decode(text));
        } catch (RuntimeException error) {
            throw new ConfigError("the coordinator's key: expected base64 of " + KEY_BYTES + " bytes", error);
        }
    }

    /** Returns whether this coordinator signed this payload for this device; {@code signature} is the one inside it. */
    public boolean vouchesFor(String device, byte[] payload, byte[] signature) {
        if (signature.length != SIGNATURE_BYTES) return false;
        int at = find(payload, signature, 0);
        if (at < 0 || find(payload, signature, at + SIGNATURE_BYTES) >= 0) return false;
        byte[] blank = payload.clone();
        Arrays.fill(blank, at, at + SIGNATURE_BYTES, (byte) 0);
        byte[] prefix = (PURPOSE + device + "\n").getBytes(StandardCharsets.UTF_8);
        Ed25519Signer signer = new Ed25519Signer();
        signer.init(false, key);
        signer.update(prefix, 0, prefix.length);
        signer.update(blank, 0, blank.length);
        return signer.verifySignature(signature);
    }

    private static int find(byte[] data, byte[] wanted, int from) {
        outer:
        for (int at = from; at <= data.length - wanted.length; at++) {
            for (int i = 0; i < wanted.length; i++) if (data[at + i] != wanted[i]) continue outer;
            return at;
        }
        return -1;
    }
}
