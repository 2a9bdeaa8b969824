package edgewise.wire.secure;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import edgewise.wire.Bytes;
import edgewise.wire.Golden;
import edgewise.wire.Messages.SecureInbox;
import edgewise.wire.Messages.SecureQuorum;
import edgewise.wire.Messages.SecureReveal;
import edgewise.wire.Messages.SecureSurvivors;
import edgewise.wire.Messages.SecureTerms;
import edgewise.wire.errors.ProtocolError;
import edgewise.wire.errors.RefusedError;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/** The secure round of tests/golden/secure.json, byte for byte Python's; and what a device refuses in it. */
class SecureRoundTest {
    private static final JsonObject GOLDEN = Golden.json("secure.json");
    private static final SecureTerms TERMS = terms(GOLDEN.getAsJsonObject("terms"));
    private static final byte[] ROSTER = bytes(GOLDEN, "roster");

    private static SecureTerms terms(JsonObject t) {
        return new SecureTerms(t.get("cohort").getAsLong(), t.get("least").getAsLong(), t.get("value_bits").getAsInt(),
                t.get("range").getAsDouble(), t.get("weight_max").getAsLong(), t.get("noise").getAsDouble(),
                t.get("clip").getAsDouble());
    }

    private static byte[] bytes(JsonObject row, String name) {
        return Bytes.unhex(row.get(name).getAsString());
    }

    private static List<JsonObject> rows() {
        List<JsonObject> found = new ArrayList<>();
        for (JsonElement one : GOLDEN.getAsJsonArray("devices")) found.add(one.getAsJsonObject());
        return found;
    }

    private static JsonObject row(String device) {
        return rows().stream().filter(r -> r.get("device").getAsString().equals(device)).findFirst().orElseThrow();
    }

    private static Member member(JsonObject row, Notes notes, Member.Rules rules) {
        Member.Place place = new Member.Place(GOLDEN.get("fleet").getAsString(), GOLDEN.get("round").getAsLong(),
                row.get("device").getAsString(), GOLDEN.get("attempt").getAsLong());
        return new Member(place, TERMS, notes, null, null, rules);
    }

    private static Member member(JsonObject row) {
        return member(row, new Notes(bytes(row, "master")), Member.Rules.NONE);
    }

    private static SecureInbox inbox(JsonObject row) {
        return new SecureInbox(1, bytes(GOLDEN, "sharers"), bytes(row, "inbox"));
    }

    private static SecureSurvivors survivors(JsonObject row) {
        return new SecureSurvivors(1, bytes(GOLDEN, "survivors"), bytes(row, "survivor_pledges"));
    }

    private static SecureQuorum quorum() {
        return new SecureQuorum(1, bytes(GOLDEN, "signers"), bytes(GOLDEN, "consents"));
    }

    private static byte[] masked(Member member, JsonObject row) {
        int[] words = new int[row.getAsJsonArray("words").size()];
        for (int i = 0; i < words.length; i++) words[i] = (int) row.getAsJsonArray("words").get(i).getAsLong();
        Masking masking = member.masking(words);
        for (int i = 0; i < 100; i++) {
            byte[] found = masking.step();
            if (found != null) return found;
        }
        throw new AssertionError("it masks for ever");
    }

    @Test
    void everyByteOfTheRoundIsPythons() {
        assertEquals(GOLDEN.get("hash").getAsString(), Bytes.hex(Roster.read(ROSTER).hash()));
        for (JsonObject row : rows()) {
            Member member = member(row);
            String name = row.get("device").getAsString();
            assertEquals(row.get("agreement").getAsString(), Bytes.hex(member.keys().agreement()), name);
            assertEquals(row.get("mask").getAsString(), Bytes.hex(member.keys().mask()), name);
            assertEquals(row.get("signer").getAsString(), Bytes.hex(member.keys().signer()), name);
            assertEquals(row.get("shares").getAsString(), Bytes.hex(member.join(ROSTER, 0).data()), name);
            assertEquals(row.get("number").getAsInt(), Roster.read(ROSTER).number(name));
            if (!row.has("words")) continue; // the one that fell silent
            assertEquals(row.get("pledge").getAsString(), Bytes.hex(member.take(inbox(row)).signature()), name);
            assertEquals(row.get("masked").getAsString(), Bytes.hex(masked(member, row)), name);
            assertEquals(row.get("consent").getAsString(), Bytes.hex(member.consent(survivors(row)).signature()), name);
            SecureReveal opened = member.reveal(quorum());
            assertEquals(row.get("of").getAsString(), Bytes.hex(opened.of()), name);
            assertEquals(row.get("opened").getAsString(), Bytes.hex(opened.data()), name);
            assertArrayEquals(opened.data(), member.reveal(quorum()).data()); // the same question, the same answer
        }
    }

    @Test
    void inASparseGraphADeviceKnowsItsNeighboursAndSaysWhatPythonSays() {
        JsonObject row = Golden.json("client.json").getAsJsonObject("sparse");
        com.google.gson.JsonArray t = row.getAsJsonArray("terms");
        SecureTerms terms = new SecureTerms(t.get(0).getAsLong(), t.get(1).getAsLong(), t.get(2).getAsInt(),
                t.get(3).getAsDouble(), t.get(4).getAsLong(), t.get(5).getAsDouble(), t.get(6).getAsDouble());
        String name = row.get("device").getAsString();
        byte[] master = Bytes.hash(name.getBytes(java.nio.charset.StandardCharsets.US_ASCII)), data = bytes(row, "roster");
        Member.Place place = new Member.Place("home", row.get("round").getAsLong(), name, 1);
        Member member = new Member(place, terms, new Notes(master), null, null, Member.Rules.NONE);
        assertEquals(row.get("shares").getAsString(), Bytes.hex(Bytes.hash(member.join(data, 0).data())));
        List<Integer> near = new ArrayList<>();
        for (JsonElement one : row.getAsJsonArray("neighbours")) near.add(one.getAsInt());
        assertEquals(64, near.size());
        assertEquals(near, Roster.read(data).neighbours(42));
        SecureInbox inbox = new SecureInbox(1, bytes(row, "sharers"), bytes(row, "inbox"));
        assertEquals(row.get("pledge").getAsString(), Bytes.hex(member.take(inbox).signature()));
        int[] words = new int[502];
        for (int i = 0; i < words.length; i++) words[i] = i;
        Masking masking = member.masking(words);
        byte[] masked = null;
        for (int i = 0; i < 100 && masked == null; i++) masked = masking.step();
        assertEquals(row.get("masked").getAsString(), Bytes.hex(Bytes.hash(masked)));
    }

    @Test
    void aProcessThatTakesTheNotesUpSaysTheSameAtEveryPoint() {
        JsonObject row = row("pi-3");
        Notes notes = new Notes(bytes(row, "master"));
        member(row, notes, Member.Rules.NONE).keys();
        notes = Notes.read(notes.toBytes()); // a process each
        Member second = member(row, notes, Member.Rules.NONE);
        second.join(ROSTER, 0);
        notes = Notes.read(notes.toBytes());
        Member third = member(row, notes, Member.Rules.NONE);
        assertEquals(row.get("shares").getAsString(), Bytes.hex(third.join(ROSTER, 0).data()));
        third.take(inbox(row));
        notes = Notes.read(notes.toBytes());
        Member fourth = member(row, notes, Member.Rules.NONE);
        fourth.join(ROSTER, 0);
        assertEquals(row.get("masked").getAsString(), Bytes.hex(masked(fourth, row)));
        fourth.consent(survivors(row));
        notes = Notes.read(notes.toBytes());
        Member last = member(row, notes, Member.Rules.NONE);
        last.join(ROSTER, 0);
        assertEquals(row.get("opened").getAsString(), Bytes.hex(last.reveal(quorum()).data()));
        assertNull(Notes.read(Arrays.copyOf(notes.toBytes(), 40)));
        assertNull(Notes.read("{\"master\": 7}".getBytes(java.nio.charset.StandardCharsets.US_ASCII)));
        assertNotEquals(Bytes.hex(Notes.fresh().get(Notes.MASTER)), Bytes.hex(Notes.fresh().get(Notes.MASTER)));
    }

    @Test
    void nothingIsAnsweredBeforeItsTimeOrTwiceDifferently() {
        JsonObject row = row("pi-1");
        Member member = member(row);
        assertRefused("not seen its roster", () -> member.take(inbox(row)));
        member.join(ROSTER, 0);
        assertRefused("not heard who shared", () -> member.consent(survivors(row)));
        assertRefused("not heard who shared", member::pledge);
        member.take(inbox(row));
        assertRefused("before this device has seen who survived", () -> member.reveal(quorum()));
        int size = 4;
        SecureInbox other = new SecureInbox(1, Roll.of(Arrays.asList(0, 2, 3), size),
                Arrays.copyOfRange(bytes(row, "inbox"), Secrets.SEALED_BYTES, 3 * Secrets.SEALED_BYTES));
        assertRefused("a second sharers", () -> member.take(other));
        member.consent(survivors(row));
        // All four would unmask what three already have: both secrets of the silent one would be known.
        byte[] all = Roll.of(Arrays.asList(0, 1, 2, 3), size);
        byte[] pledges = Out.join(new byte[64], bytes(row, "survivor_pledges"));
        assertRefused("no proof", () -> member.consent(new SecureSurvivors(1, all, pledges)));
        Notes notes = new Notes(new byte[32]);
        notes.bind(Notes.SURVIVORS, new byte[] {13});
        assertRefused("a second survivors", () -> notes.bind(Notes.SURVIVORS, new byte[] {15}));
    }

    @Test
    void fewerThanTheTermsTheOwnerOrAQuorumAskForAreRefused() {
        JsonObject row = row("pi-1");
        Member picky = member(row, new Notes(bytes(row, "master")), new Member.Rules(5, 0));
        assertRefused("4 devices take part, expected 5", () -> picky.join(ROSTER, 0));
        Member careful = member(row, new Notes(bytes(row, "master")), new Member.Rules(0, 4));
        careful.join(ROSTER, 0);
        careful.take(inbox(row));
        assertRefused("3 updates are in its sum, expected 4", () -> careful.consent(survivors(row)));
        Member member = member(row);
        member.join(ROSTER, 0);
        SecureInbox two = new SecureInbox(1, Roll.of(Arrays.asList(0, 2), 4), new byte[Secrets.SEALED_BYTES]);
        assertRefused("2 devices shared", () -> member.take(two));
        member.take(inbox(row));
        assertRefused("this device among them", () -> member.consent(
                new SecureSurvivors(1, Roll.of(Arrays.asList(1, 2, 3), 4), bytes(row, "survivor_pledges"))));
        member.consent(survivors(row));
        byte[] consents = bytes(GOLDEN, "consents");
        assertRefused("2 devices agree", () -> member.reveal(
                new SecureQuorum(1, Roll.of(Arrays.asList(0, 2), 4), Arrays.copyOf(consents, 128))));
        consents[0] ^= 1;
        assertRefused("2 devices agree", () -> member.reveal(new SecureQuorum(1, bytes(GOLDEN, "signers"), consents)));
    }

    @Test
    void aRosterThatIsNotTheRoundsIsRefused() {
        JsonObject row = row("pi-1");
        byte[] own = ROSTER.clone();
        int at = indexOf(own, bytes(row, "mask"));
        own[at] ^= 1;
        assertRefused("does not have this device's keys", () -> member(row).join(own, 0));
        byte[] threshold = ROSTER.clone();
        threshold[4 + 1 + 4 + 8 + 4 + 4] = 2; // of four: two shares open a secret
        assertRefused("open a secret", () -> member(row).join(threshold, 0));
        byte[] terms = ROSTER.clone();
        terms[4 + 1 + 4 + 8 + 16] ^= 1;
        assertRefused("other terms", () -> member(row).join(terms, 0));
        byte[] twice = ROSTER.clone();
        System.arraycopy(bytes(row, "signer"), 0, twice, indexOf(ROSTER, bytes(row("pi-3"), "signer")), 32);
        assertThrows(ProtocolError.class, () -> Roster.read(twice));
        assertThrows(ProtocolError.class, () -> Roster.read(Arrays.copyOf(ROSTER, ROSTER.length - 1)));
        assertThrows(ProtocolError.class, () -> Roster.read(Arrays.copyOf(ROSTER, ROSTER.length + 1)));
        assertThrows(ProtocolError.class, () -> Roster.read(new byte[3]));
    }

    @Test
    void whateverBytesComeThereIsARosterOrARefusal() {
        Random dice = new Random(3);
        int taken = 0;
        for (int i = 0; i < 3000; i++) {
            byte[] data = dice.nextInt(5) == 0 ? Arrays.copyOf(ROSTER, dice.nextInt(ROSTER.length)) : ROSTER.clone();
            for (int n = 0; n < 2 && data.length > 0; n++) data[dice.nextInt(data.length)] = (byte) dice.nextInt(256);
            try {
                Roster.read(data);
                taken++;
            } catch (ProtocolError refused) {
                assertTrue(refused.getMessage().contains("roster"));
            }
        }
        assertTrue(taken > 100 && taken < 2900);
    }

    @Test
    void masksCancelAndASharedSecretIsOpenedByAnyThreeOfFour() {
        List<Integer> points = Arrays.asList(1, 2, 3, 4);
        byte[] secret = new byte[32], coefficients = new byte[80];
        new Random(4).nextBytes(secret);
        new Random(5).nextBytes(coefficients);
        List<byte[]> shares = Shamir.split(secret, points, 3, coefficients);
        assertEquals(33, shares.get(0).length);
        assertArrayEquals(secret, Arrays.copyOfRange(
                open(shares, 0, 1, 2), 1, 33)); // by Lagrange's weights at 0
        assertArrayEquals(open(shares, 0, 1, 2), open(shares, 1, 2, 3));
        assertEquals(new TreeSet<>(points), Roll.read(Roll.of(points, 5), 5));
        assertThrows(ProtocolError.class, () -> Roll.read(new byte[] {32}, 5));
        assertThrows(ProtocolError.class, () -> Roll.read(new byte[2], 5));
    }

    private static byte[] open(List<byte[]> shares, int... chosen) {
        java.math.BigInteger prime = java.math.BigInteger.ONE.shiftLeft(256).add(java.math.BigInteger.valueOf(297));
        java.math.BigInteger sum = java.math.BigInteger.ZERO;
        for (int i : chosen) {
            java.math.BigInteger weight = new java.math.BigInteger(1, shares.get(i));
            for (int j : chosen) {
                if (i == j) continue;
                weight = weight.multiply(java.math.BigInteger.valueOf(j + 1))
                        .multiply(java.math.BigInteger.valueOf(j - i).modInverse(prime));
            }
            sum = sum.add(weight).mod(prime);
        }
        byte[] raw = sum.toByteArray(), out = new byte[33];
        System.arraycopy(raw, 0, out, 33 - raw.length, raw.length);
        return out;
    }

    private static int indexOf(byte[] data, byte[] wanted) {
        for (int at = 0; ; at++) if (Arrays.equals(Arrays.copyOfRange(data, at, at + wanted.length), wanted)) return at;
    }

    private static void assertRefused(String words, org.junit.jupiter.api.function.Executable act) {
        RefusedError error = assertThrows(RefusedError.class, act);
        assertTrue(error.getMessage().contains(words), error.getMessage());
    }
}
