package edgewise.wire.secure;

import edgewise.wire.Messages.SecureInbox;
import edgewise.wire.Messages.SecureKeys;
import edgewise.wire.Messages.SecureQuorum;
import edgewise.wire.Messages.SecureShares;
import edgewise.wire.Messages.SecureSurvivors;
import edgewise.wire.Messages.SecureTerms;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Three more devices of a secure round and what a coordinator would tell the one that is tested, whose number is 0. */
public final class Circle {
    public static final SecureTerms TERMS = new SecureTerms(4, 3, 20, 4, 64, 0, 0);

    private final String fleet;
    private final long round;
    private final List<Member> others = new ArrayList<>();
    private byte[] roster;
    private final List<byte[]> shares = new ArrayList<>();
    private final List<byte[]> pledges = new ArrayList<>();

    public Circle(String fleet, long round) {
        this.fleet = fleet;
        this.round = round;
        for (int i = 0; i < 3; i++) {
            others.add(new Member(new Member.Place(fleet, round, name(i), 1), TERMS, Notes.fresh(), null, null, Member.Rules.NONE));
        }
    }

    private static String name(int number) {
        return "pi-" + number;
    }

    /** Returns a roster of the device and the others. */
    public byte[] roster(String device, SecureKeys keys) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        byte[] name = fleet.getBytes(StandardCharsets.UTF_8);
        Out.put(out, "EWR1".getBytes(StandardCharsets.US_ASCII));
        out.write(name.length);
        Out.put(out, name);
        Out.u64(out, round);
        for (long number : new long[] {4, 3, 3, 3, TERMS.cohort(), TERMS.least()}) Out.u32(out, number);
        out.write(TERMS.valueBits());
        Out.f64(out, TERMS.range());
        Out.u32(out, TERMS.weightMax());
        Out.f64(out, TERMS.noise());
        Out.f64(out, TERMS.clip());
        entry(device, keys).write(out);
        for (int i = 0; i < 3; i++) entry(name(i), others.get(i).keys()).write(out);
        roster = out.toByteArray();
        return roster;
    }

    private static Entry entry(String device, SecureKeys k) {
        return new Entry(device, 1, k.agreement(), k.mask(), k.signer(), k.certificate(), k.signature());
    }

    /** Returns what the device hears when all have shared. */
    public SecureInbox inbox(SecureShares own) {
        shares.clear();
        shares.add(own.data());
        for (Member other : others) shares.add(other.join(roster, 0).data());
        byte[] all = Roll.of(Arrays.asList(0, 1, 2, 3), 4);
        pledges.clear();
        for (int i = 0; i < 3; i++) pledges.add(others.get(i).take(new SecureInbox(1, all, pieces(i + 1))).signature());
        return new SecureInbox(1, all, pieces(0));
    }

    private byte[] pieces(int recipient) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (int sender = 0; sender < 4; sender++) {
            if (sender == recipient) continue;
            int at = 32 + Secrets.SEALED_BYTES * (recipient < sender ? recipient : recipient - 1);
            Out.put(out, Arrays.copyOfRange(shares.get(sender), at, at + Secrets.SEALED_BYTES));
        }
        return out.toByteArray();
    }

    /** Returns what the device hears when these others, by their numbers, have survived with it. */
    public SecureSurvivors survivors(Integer... numbers) {
        List<Integer> all = new ArrayList<>(Arrays.asList(numbers));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (int number : all) Out.put(out, pledges.get(number - 1));
        all.add(0);
        return new SecureSurvivors(1, Roll.of(all, 4), out.toByteArray());
    }

    /** Returns what it hears when the first two others and it have agreed; {@code pledge} and {@code consent} are its own. */
    public SecureQuorum quorum(byte[] pledge, byte[] consent) {
        byte[] roll = Roll.of(Arrays.asList(0, 1, 2), 4);
        byte[] one = others.get(0).consent(new SecureSurvivors(1, roll, Out.join(pledge, pledges.get(1)))).signature();
        byte[] two = others.get(1).consent(new SecureSurvivors(1, roll, Out.join(pledge, pledges.get(0)))).signature();
        return new SecureQuorum(1, roll, Out.join(consent, one, two));
    }
}
