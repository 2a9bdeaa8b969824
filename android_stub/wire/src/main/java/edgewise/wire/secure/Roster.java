package edgewise.wire.secure;

import edgewise.wire.Bytes;
import edgewise.wire.Messages.SecureTerms;
import edgewise.wire.crypto.Agreement;
import edgewise.wire.crypto.Register;
import edgewise.wire.errors.ProtocolError;
import edgewise.wire.errors.RefusedError;
import java.io.ByteArrayOutputStream;
import java.math.BigInteger;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The devices of one secure round, in the order of their names: {@code docs/protocol.md} has the bytes. Law: two devices
 * that hold rosters of the same hash hold the same roster; every key, share and signature of the round is bound to it.
 */
public final class Roster {
    public static final int BYTES_MAX = 1 << 21; // 1,536 entries with their certificates have 1.3 MB
    private static final byte[] MAGIC = "EWR1".getBytes(StandardCharsets.US_ASCII);

    public final String fleet;
    public final long round;
    public final Plan plan;
    public final SecureTerms terms;
    public final List<Entry> entries;
    private final byte[] hash;
    private final Graph graph;

    private Roster(String fleet, long round, Plan plan, SecureTerms terms, List<Entry> entries, byte[] hash) {
        this.fleet = fleet;
        this.round = round;
        this.plan = plan;
        this.terms = terms;
        this.entries = entries;
        this.hash = hash;
        graph = new Graph(hash, entries.size(), plan.degree());
    }

    /** Returns the SHA-256 of the bytes. */
    public byte[] hash() {
        return hash.clone();
    }

    /** Returns with whom a device shares masks, by their numbers, ascending. */
    public List<Integer> neighbours(int device) {
        return graph.neighbours(device);
    }

    /** Returns a device's number, -1 if it is not in it. */
    public int number(String device) {
        for (int i = 0; i < entries.size(); i++) if (entries.get(i).device().equals(device)) return i;
        return -1;
    }

    /** Reads a roster. Throws {@link ProtocolError} if the bytes are none, or not just the ones it would be written as. */
    public static Roster read(byte[] data) {
        if (data.length > BYTES_MAX || data.length < 4 || !Arrays.equals(Arrays.copyOf(data, 4), MAGIC)) {
            throw new ProtocolError("roster of " + data.length + " bytes: expected at most " + BYTES_MAX
                    + ", beginning with EWR1");
        }
        ByteBuffer in = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
        in.getInt(); // the beginning that was looked at
        Roster made;
        try {
            made = parse(in, data);
        } catch (BufferUnderflowException error) {
            throw new ProtocolError("roster of " + data.length + " bytes: cut short or damaged", error);
        }
        if (in.hasRemaining() || !Arrays.equals(made.bytes(), data)) { // a name that is no UTF-8 is written otherwise
            throw new ProtocolError("roster of " + data.length + " bytes: not written as it must be");
        }
        made.checkOrder();
        return made;
    }

    private static Roster parse(ByteBuffer in, byte[] data) {
        String fleet = text(in);
        long round = in.getLong(), size = u32(in);
        long degree = u32(in), threshold = u32(in), quorum = u32(in);
        SecureTerms terms = new SecureTerms(u32(in), u32(in), in.get() & 255, in.getDouble(), u32(in), in.getDouble(),
                in.getDouble());
        if (size < 2 || size > Form.COHORT_MAX) {
            throw new ProtocolError("roster of " + size + " devices: expected 2 to " + Form.COHORT_MAX);
        }
        List<Entry> entries = new ArrayList<>();
        for (int i = 0; i < size; i++) {
            String name = text(in);
            entries.add(new Entry(name, u32(in), take(in, Agreement.KEY_BYTES), take(in, Agreement.KEY_BYTES),
                    take(in, Agreement.KEY_BYTES), take(in, in.getShort() & 0xFFFF), take(in, in.get() & 255)));
        }
        return new Roster(fleet, round, new Plan((int) size, degree, threshold, quorum), terms, entries, Bytes.hash(data));
    }

    private static long u32(ByteBuffer in) {
        return in.getInt() & 0xFFFFFFFFL;
    }

    private static byte[] take(ByteBuffer in, int length) {
        byte[] out = new byte[length];
        in.get(out);
        return out;
    }

    private static String text(ByteBuffer in) {
        return new String(take(in, in.get() & 255), StandardCharsets.UTF_8);
    }

    /** Returns it as it is written. */
    private byte[] bytes() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        byte[] name = fleet.getBytes(StandardCharsets.UTF_8);
        Out.put(out, MAGIC);
        out.write(name.length);
        Out.put(out, name);
        Out.u64(out, round);
        for (long each : new long[] {entries.size(), plan.degree(), plan.threshold(), plan.quorum(), terms.cohort(),
            terms.least()}) Out.u32(out, each);
        out.write(terms.valueBits());
        Out.f64(out, terms.range());
        Out.u32(out, terms.weightMax());
        Out.f64(out, terms.noise());
        Out.f64(out, terms.clip());
        for (Entry entry : entries) entry.write(out);
        return out.toByteArray();
    }

    private void checkOrder() {
        Set<BigInteger> keys = new HashSet<>();
        for (int i = 0; i < entries.size(); i++) {
            Entry entry = entries.get(i);
            if (i > 0 && compare(entries.get(i - 1).device(), entry.device()) >= 0) {
                throw new ProtocolError("roster: its devices do not stand in the order of their names, each once");
            }
            for (byte[] key : Arrays.asList(entry.agreement(), entry.mask(), entry.signer())) {
                if (!keys.add(new BigInteger(key))) throw new ProtocolError("roster: a key stands in it twice");
            }
        }
    }

    /** Compares by the bytes of UTF-8. */
    private static int compare(String one, String two) {
        byte[] a = one.getBytes(StandardCharsets.UTF_8), b = two.getBytes(StandardCharsets.UTF_8);
        for (int i = 0; i < Math.min(a.length, b.length); i++) if (a[i] != b[i]) return (a[i] & 255) - (b[i] & 255);
        return a.length - b.length;
    }

    /**
     * Checks, as a device, that nothing is wrong with taking part.
     *
     * @param own what this device advertised
     * @param asked the terms of its assignment
     * @param register who is enrolled; {@code null} in a fleet without certificates, where the coordinator is believed
     * @param least the fewest devices that the owner allows
     * @throws RefusedError naming what is
     */
    public void check(Entry own, SecureTerms asked, Register register, long least, double now) {
        int size = entries.size(), number = number(own.device());
        if (!terms.equals(asked)) throw new RefusedError("secure round: its roster has other terms than the assignment");
        if (number < 0 || !entries.get(number).equals(own)) {
            throw new RefusedError("secure round: its roster does not have this device's keys");
        }
        long fewest = Math.max(least, asked.least());
        if (size < fewest || size > asked.cohort()) {
            throw new RefusedError("secure round: " + size + " devices take part, expected " + fewest + " to "
                    + asked.cohort());
        }
        String why = plan.unsafe();
        if (why != null) throw new RefusedError("secure round: " + why);
        if (register == null) return;
        for (Entry entry : entries) {
            if (!entry.vouchedFor(register, fleet, round, now)) {
                throw new RefusedError("secure round: '" + entry.device() + "' is in its roster without having been enrolled");
            }
        }
    }
}
