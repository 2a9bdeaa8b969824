package edgewise.wire.secure;

import edgewise.wire.Bytes;
import edgewise.wire.crypto.Register;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** One device of a roster and the keys it advertised; {@code attempt} is an unsigned 32-bit number. */
public record Entry(String device, long attempt, byte[] agreement, byte[] mask, byte[] signer, byte[] certificate,
        byte[] signature) {
    /** Returns what a device signs with the key it was enrolled with. */
    public byte[] statement(String fleet, long round) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        Out.put(out, ("edgewise secure keys 1\n" + fleet + "\n" + device + "\n").getBytes(StandardCharsets.UTF_8));
        Out.u64(out, round);
        Out.u32(out, attempt);
        Out.put(out, agreement, mask, signer);
        return out.toByteArray();
    }

    /** Returns whether an enrolled device of this name advertised these keys for this round. */
    boolean vouchedFor(Register register, String fleet, long round, double now) {
        return register.vouchesFor(device, certificate, statement(fleet, round), signature, now);
    }

    /** Writes it as it stands in a roster. */
    void write(ByteArrayOutputStream out) {
        byte[] name = device.getBytes(StandardCharsets.UTF_8);
        out.write(name.length);
        Out.put(out, name);
        Out.u32(out, attempt);
        Out.put(out, agreement, mask, signer);
        out.write(certificate.length);
        out.write(certificate.length >>> 8);
        Out.put(out, certificate);
        out.write(signature.length);
        Out.put(out, signature);
    }

    private byte[] bytes() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        write(out);
        return out.toByteArray();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Entry entry && Arrays.equals(bytes(), entry.bytes());
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(agreement);
    }

    @Override
    public String toString() {
        return "keys of " + device + ", " + Bytes.hex(signer).substring(0, 8);
    }
}
