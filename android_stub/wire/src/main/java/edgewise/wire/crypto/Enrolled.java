package edgewise.wire.crypto;

import edgewise.wire.errors.EdgewiseError;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.Signature;

/** A device's own papers: the certificate (DER) that it was enrolled with, and the key that it signs with (ECDSA, P-256). */
public final class Enrolled {
    static final String ALGORITHM = "SHA256withECDSA";

    private final byte[] certificate;
    private final PrivateKey key;

    public Enrolled(byte[] certificate, PrivateKey key) {
        this.certificate = certificate.clone();
        this.key = key;
    }

    public byte[] certificate() {
        return certificate.clone();
    }

    /** Returns a signature in DER, another one each time. */
    public byte[] sign(byte[] data) {
        try {
            Signature signer = Signature.getInstance(ALGORITHM);
            signer.initSign(key);
            signer.update(data);
            return signer.sign();
        } catch (GeneralSecurityException error) {
            throw new EdgewiseError("the device's key cannot sign (" + error.getMessage() + ")", error);
        }
    }
}
