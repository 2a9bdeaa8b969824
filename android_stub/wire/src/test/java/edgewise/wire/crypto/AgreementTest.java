package edgewise.wire.crypto;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import edgewise.wire.Bytes;
import edgewise.wire.Files;
import edgewise.wire.errors.ProtocolError;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import org.junit.jupiter.api.Test;

/** The primitives against the vectors of their RFCs, and a device's papers as Python's fleet command makes them. */
class AgreementTest {
    @Test
    void x25519IsThatOfRfc7748() {
        byte[] alice = Bytes.unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
        byte[] u = Bytes.unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
        assertEquals("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552", Bytes.hex(Agreement.agree(alice, u)));
        assertThrows(ProtocolError.class, () -> Agreement.agree(alice, new byte[32])); // a point of small order
        assertThrows(ProtocolError.class, () -> Agreement.agree(alice, new byte[31]));
        byte[] other = new byte[32];
        other[5] = 9;
        assertArrayEquals(Agreement.agree(alice, Agreement.agreementPublic(other)),
                Agreement.agree(other, Agreement.agreementPublic(alice)));
    }

    @Test
    void theStreamAndTheSealAreThoseOfRfc8439() {
        // §2.3.2 has another nonce; A.1 vector 1 has the key and nonce of zeros.
        assertEquals("76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7",
                Bytes.hex(Agreement.keyStream(new byte[32], 32)));
        byte[] key = new byte[32], text = "see you".getBytes(StandardCharsets.US_ASCII), about = {1, 2};
        key[0] = 7;
        byte[] sealed = Agreement.seal(key, text, about);
        assertEquals(text.length + 16, sealed.length);
        assertArrayEquals(text, Agreement.unseal(key, sealed, about));
        assertNull(Agreement.unseal(key, sealed, new byte[] {1, 3}));
        assertNull(Agreement.unseal(new byte[32], sealed, about));
        assertNull(Agreement.unseal(key, new byte[3], about));
        int[] total = new int[100];
        Agreement.addMask(total, key, 1);
        byte[] stream = Agreement.keyStream(key, 400);
        for (int i = 0; i < 100; i++) assertEquals(Bytes.i32(stream, 4 * i), total[i]);
        Agreement.addMask(total, key, -1);
        assertArrayEquals(new int[100], total);
    }

    @Test
    void derivedKeysAreThoseOfRfc5869() { // appendix A.1, its first 32 bytes, and A.3, without a salt
        byte[] secret = new byte[22];
        Arrays.fill(secret, (byte) 11);
        byte[] salt = Bytes.unhex("000102030405060708090a0b0c"), info = Bytes.unhex("f0f1f2f3f4f5f6f7f8f9");
        assertEquals("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
                Bytes.hex(Agreement.derive(secret, info, salt)));
        assertEquals("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
                Bytes.hex(Agreement.derive(secret, Bytes.NONE, Bytes.NONE)));
    }

    @Test
    void signaturesAreThoseOfRfc8032() { // §7.1, test 2
        byte[] seed = Bytes.unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        byte[] message = {0x72};
        byte[] signature = Agreement.sign(seed, message);
        assertEquals("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", Bytes.hex(Agreement.signerPublic(seed)));
        assertEquals("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00", Bytes.hex(signature));
        assertTrue(Agreement.signedBy(Agreement.signerPublic(seed), message, signature));
        assertFalse(Agreement.signedBy(Agreement.signerPublic(seed), new byte[] {0x73}, signature));
        assertFalse(Agreement.signedBy(Agreement.signerPublic(seed), message, new byte[63]));
        assertFalse(Agreement.signedBy(new byte[31], message, signature));
    }

    @Test
    void onlyWhomTheAuthorityEnrolledIsVouchedFor() throws Exception {
        File file = new File(System.getProperty("edgewise.golden"),
                "../../android_stub/android/src/test/resources/edgewise/android/phone-1.bundle");
        JsonObject bundle = JsonParser.parseString(new String(Files.read(file, 1 << 16), StandardCharsets.UTF_8)).getAsJsonObject();
        X509Certificate authority = certificate(bundle, "ca"), own = certificate(bundle, "cert");
        String pem = bundle.get("key").getAsString().replaceAll("-----[A-Z ]+-----|\\s", "");
        Enrolled device = new Enrolled(own.getEncoded(),
                KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem))));
        Register register = new Register(authority);
        byte[] said = {1, 2, 3}, signature = device.sign(said);
        double now = own.getNotBefore().getTime() / 1000.0 + 1000, late = own.getNotAfter().getTime() / 1000.0 + 1;
        assertTrue(register.vouchesFor("phone-1", device.certificate(), said, signature, now));
        assertFalse(register.vouchesFor("phone-2", device.certificate(), said, signature, now));
        assertFalse(register.vouchesFor("phone-1", device.certificate(), new byte[] {1}, signature, now));
        assertFalse(register.vouchesFor("phone-1", device.certificate(), said, new byte[8], now));
        assertFalse(register.vouchesFor("phone-1", device.certificate(), said, signature, late));
        assertFalse(register.vouchesFor("phone-1", device.certificate(), said, signature, now - 1e8));
        assertFalse(register.vouchesFor("phone-1", authority.getEncoded(), said, signature, now));
        assertFalse(new Register(own).vouchesFor("phone-1", device.certificate(), said, signature, now));
        byte[] longer = Arrays.copyOf(device.certificate(), device.certificate().length + 1), damaged = device.certificate();
        damaged[damaged.length - 3] ^= 1;
        assertFalse(register.vouchesFor("phone-1", longer, said, signature, now));
        assertFalse(register.vouchesFor("phone-1", damaged, said, signature, now));
        assertFalse(register.vouchesFor("phone-1", new byte[2000], said, signature, now));
        assertFalse(register.vouchesFor("phone-1", Bytes.NONE, said, signature, now));
    }

    @Test
    void aNameIsReadOnlyWhereThereIsOne() {
        byte[] name = Bytes.unhex("3012" + "3110" + "300e" + "0603550403" + "0c07" + "70686f6e652d31");
        assertEquals("phone-1", Register.commonName(name));
        byte[] organisation = name.clone();
        organisation[10] = 10;
        assertNull(Register.commonName(organisation));
        byte[] two = Bytes.unhex("3024" + Bytes.hex(name).substring(4) + Bytes.hex(name).substring(4));
        assertNull(Register.commonName(two));
    }

    private static X509Certificate certificate(JsonObject bundle, String name) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(
                new ByteArrayInputStream(bundle.get(name).getAsString().getBytes(StandardCharsets.US_ASCII)));
    }
}
