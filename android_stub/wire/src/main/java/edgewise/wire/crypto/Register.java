package edgewise.wire.crypto;

import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.util.Arrays;
import java.util.Date;
import java.util.List;

/**
 * Knows whom a fleet's authority has enrolled. Whoever holds the authority can make devices up; kept apart from the
 * coordinator, this is what stops a coordinator that lies.
 */
public final class Register {
    private static final int CERTIFICATE_BYTES_MAX = 1024; // ours have 450 to 600
    private static final String CLIENT = "1.3.6.1.5.5.7.3.2"; // extended key usage: client authentication
    private static final byte[] COMMON_NAME = {6, 3, 0x55, 4, 3}; // the identifier 2.5.4.3 in DER
    private static final int SEQUENCE = 0x30, SET = 0x31, PRINTABLE = 0x13, UTF8 = 0x0C;

    private final X509Certificate authority;

    public Register(X509Certificate authority) {
        this.authority = authority;
    }

    /**
     * Returns whether the device of this name, enrolled and in force at {@code now}, signed these bytes.
     *
     * @param certificate in DER, as it came
     * @param signature in DER
     * @param now seconds since the epoch
     */
    public boolean vouchesFor(String device, byte[] certificate, byte[] data, byte[] signature, double now) {
        if (certificate.length > CERTIFICATE_BYTES_MAX || device.startsWith("_")) return false; // "_coordinator" is none
        try {
            ByteArrayInputStream in = new ByteArrayInputStream(certificate);
            X509Certificate found = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
            if (in.available() > 0 || !found.getIssuerX500Principal().equals(authority.getSubjectX500Principal())) return false;
            found.verify(authority.getPublicKey());
            found.checkValidity(new Date((long) (1000 * now)));
            List<String> purposes = found.getExtendedKeyUsage();
            if (purposes == null || !purposes.contains(CLIENT)) return false;
            if (!device.equals(commonName(found.getSubjectX500Principal().getEncoded()))) return false;
            if (!(found.getPublicKey() instanceof ECPublicKey)) return false;
            Signature check = Signature.getInstance(Enrolled.ALGORITHM);
            check.initVerify(found.getPublicKey());
            check.update(data);
            return check.verify(signature);
        } catch (GeneralSecurityException | RuntimeException error) { // a peer has sent it
            return false;
        }
    }

    /**
     * Returns the one common name of a subject in DER, {@code null} if it has none, several, or anything that is not read
     * here: a name is SEQUENCE of SET of SEQUENCE of identifier and text.
     */
    static String commonName(byte[] name) {
        String found = null;
        int at = start(name, 0, SEQUENCE);
        if (end(name, 0) != name.length) return null;
        while (at < name.length) {
            int next = end(name, at), inner = start(name, at, SET), pair = start(name, inner, SEQUENCE);
            if (end(name, inner) != next) return null; // several attributes in one set
            if (Arrays.equals(Arrays.copyOfRange(name, pair, Math.min(pair + COMMON_NAME.length, next)), COMMON_NAME)) {
                int text = pair + COMMON_NAME.length, kind = name[text] & 255;
                if (found != null || kind != UTF8 && kind != PRINTABLE || end(name, text) != next) return null;
                found = new String(name, start(name, text, kind), next - start(name, text, kind), StandardCharsets.UTF_8);
            }
            at = next;
        }
        return found;
    }

    /** Returns where the value of what stands at {@code at} begins. */
    private static int start(byte[] data, int at, int kind) {
        if ((data[at] & 255) != kind) throw new IllegalArgumentException("unexpected DER");
        int length = data[at + 1] & 255;
        return at + 2 + (length < 128 ? 0 : length & 127);
    }

    /** Returns where it ends. */
    private static int end(byte[] data, int at) {
        int length = data[at + 1] & 255, bytes = length & 127;
        if (length < 128) return at + 2 + length;
        if (bytes > 2) throw new IllegalArgumentException("unexpected DER");
        int value = 0;
        for (int i = 0; i < bytes; i++) value = value << 8 | data[at + 2 + i] & 255;
        return at + 2 + bytes + value;
    }
}
