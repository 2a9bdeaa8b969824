package edgewise.device.transport;

import edgewise.wire.crypto.Enrolled;
import edgewise.wire.crypto.Register;
import edgewise.wire.errors.ConfigError;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;
import org.bouncycastle.util.encoders.Base64;

/** A device's certificate, its key and the authority to trust, out of the PEM texts of a bundle. */
public final class Papers {
    private Papers() {}

    /**
     * Returns the sockets of a TLS link: trusting this authority alone, showing our certificate.
     *
     * @throws ConfigError if a text is not what its name says
     */
    public static SSLSocketFactory sockets(String ca, String cert, String key) {
        try {
            CertificateFactory certificates = CertificateFactory.getInstance("X.509");
            KeyStore trusted = empty(), own = empty();
            int n = 0;
            for (Certificate one : certificates.generateCertificates(stream(ca))) {
                trusted.setCertificateEntry("ca-" + n++, one);
            }
            Certificate[] chain = certificates.generateCertificates(stream(cert)).toArray(new Certificate[0]);
            if (n == 0 || chain.length == 0) throw new ConfigError("bundle: without certificates");
            own.setKeyEntry("device", privateKey(key), new char[0], chain);
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(trusted);
            KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
            keys.init(own, new char[0]);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
            return context.getSocketFactory();
        } catch (GeneralSecurityException | IOException error) {
            throw new ConfigError("bundle: its papers cannot be used (" + error.getMessage() + ")", error);
        }
    }

    /** Returns the device's own papers, to show other devices. Throws {@code ConfigError} as {@link #sockets}. */
    public static Enrolled enrolled(String cert, String key) {
        try {
            return new Enrolled(certificate(cert).getEncoded(), privateKey(key));
        } catch (GeneralSecurityException error) {
            throw new ConfigError("bundle: its papers cannot be used (" + error.getMessage() + ")", error);
        }
    }

    /** Returns what knows the other devices of the authority. Throws {@code ConfigError} as {@link #sockets}. */
    public static Register register(String ca) {
        try {
            return new Register(certificate(ca));
        } catch (GeneralSecurityException error) {
            throw new ConfigError("bundle: its authority cannot be used (" + error.getMessage() + ")", error);
        }
    }

    private static X509Certificate certificate(String pem) throws GeneralSecurityException {
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(stream(pem));
    }

    private static KeyStore empty() throws GeneralSecurityException, IOException {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        return store;
    }

    private static ByteArrayInputStream stream(String pem) {
        return new ByteArrayInputStream(pem.getBytes(StandardCharsets.US_ASCII));
    }

    private static PrivateKey privateKey(String pem) throws GeneralSecurityException {
        String begin = "-----BEGIN PRIVATE KEY-----", end = "-----END PRIVATE KEY-----";
        int from = pem.indexOf(begin), to = pem.indexOf(end);
        if (from < 0 || to < from) throw new ConfigError("bundle: its key is not an unlocked PKCS #8 key in PEM");
        try {
            byte[] der = Base64.decode(pem.substring(from + begin.length(), to));
            return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(der));
        } catch (RuntimeException error) {
            throw new ConfigError("bundle: its key is not base64", error);
        }
    }
}
