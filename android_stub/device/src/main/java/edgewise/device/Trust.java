package edgewise.device;

import edgewise.wire.VerifyKey;
import edgewise.wire.crypto.Enrolled;
import edgewise.wire.crypto.Register;

/**
 * What a device knows of its fleet.
 *
 * @param key only assignments are taken that this coordinator signed; {@code null} takes any
 * @param enrolled this device's own papers, to show other devices in secure rounds; {@code null} without certificates
 * @param register knows which other devices are enrolled; {@code null} there
 */
public record Trust(VerifyKey key, Enrolled enrolled, Register register) {
    /** A fleet without certificates and signatures: for tests and trials at home. */
    public static final Trust NOBODY_IS_ASKED = new Trust(null, null, null);
}
