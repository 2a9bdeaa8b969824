package edgewise.wire.secure;

import edgewise.wire.Messages.SecureConsent;
import edgewise.wire.Messages.SecureInbox;
import edgewise.wire.Messages.SecureKeys;
import edgewise.wire.Messages.SecurePledge;
import edgewise.wire.Messages.SecureQuorum;
import edgewise.wire.Messages.SecureReveal;
import edgewise.wire.Messages.SecureShares;
import edgewise.wire.Messages.SecureSurvivors;
import edgewise.wire.Messages.SecureTerms;
import edgewise.wire.crypto.Agreement;
import edgewise.wire.crypto.Enrolled;
import edgewise.wire.crypto.Register;
import edgewise.wire.errors.ProtocolError;
import edgewise.wire.errors.RefusedError;
import edgewise.wire.secure.Secrets.Shares;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * One device in one secure round: what it answers to each thing that a coordinator tells it, and what it refuses; the same
 * as {@code wire/edgewise_wire/secure/member.py}. The same message again gets the same answer.
 *
 * <p>Law: its {@link Notes} are on disk before what they gave rise to is sent. A device that is killed then goes on with the
 * same keys, roster, sharers and survivors, or not at all: no mask is ever used for two inputs, and never are shares of both
 * secrets of one device handed out.
 *
 * <p>Methods throw {@link RefusedError} where the owner's rules, or the round's promises, forbid to go on, and
 * {@link ProtocolError} for what is no such message.
 */
public final class Member {
    /** What a device's owner asks: the fewest devices in a round, and the fewest in its sum. */
    public record Rules(long cohort, long survivors) {
        public static final Rules NONE = new Rules(0, 0);
    }

    /** Which device in which round. */
    public record Place(String fleet, long round, String device, long attempt) {}

    public final Notes notes;
    public final Form form;
    private final Place place;
    private final SecureTerms terms;
    private final Register register;
    private final Rules rules;
    private final Secrets secrets;
    private final Entry own;
    private Roster roster;
    private int me = -1;

    /**
     * @param notes what it has bound itself to so far
     * @param enrolled its papers; {@code null} in a fleet without certificates
     * @param register knows who else is enrolled; {@code null} there
     */
    public Member(Place place, SecureTerms terms, Notes notes, Enrolled enrolled, Register register, Rules rules) {
        this.place = place;
        this.terms = terms;
        this.notes = notes;
        this.register = register;
        this.rules = rules;
        form = Form.of(terms);
        secrets = new Secrets(notes.get(Notes.MASTER));
        own = entry(enrolled);
    }

    private Entry entry(Enrolled enrolled) {
        Entry made = plain();
        if (enrolled == null || made.signature().length > 0) return made;
        // An ECDSA signature is another one each time; the first is kept, so that a roster with it stays ours.
        notes.bind(Notes.CERTIFICATE, enrolled.certificate());
        notes.bind(Notes.SIGNATURE, enrolled.sign(made.statement(place.fleet(), place.round())));
        return plain();
    }

    private Entry plain() {
        return new Entry(place.device(), place.attempt(), Agreement.agreementPublic(secrets.agreement),
                Agreement.agreementPublic(secrets.mask), Agreement.signerPublic(secrets.signer),
                notes.get(Notes.CERTIFICATE), notes.get(Notes.SIGNATURE));
    }

    /** Returns what it advertises. */
    public SecureKeys keys() {
        return SecureKeys.ABSENT.withAttempt(place.attempt()).withAgreement(own.agreement()).withMask(own.mask())
                .withSigner(own.signer()).withCertificate(own.certificate()).withSignature(own.signature());
    }

    /** Takes a roster, and shares the secrets with the neighbours in it. */
    public SecureShares join(byte[] data, double now) {
        Roster found = Roster.read(data);
        if (!found.fleet.equals(place.fleet()) || found.round != place.round()) {
            throw new RefusedError("secure round: the roster is of '" + found.fleet + "', round " + found.round);
        }
        // One that stands in the notes was checked before this process began.
        if (!Arrays.equals(notes.get(Notes.ROSTER), found.hash())) found.check(own, terms, register, rules.cohort(), now);
        notes.bind(Notes.ROSTER, found.hash());
        roster = found;
        me = found.number(place.device());
        return SecureShares.ABSENT.withAttempt(place.attempt()).withData(secrets.sealShares(roster, me));
    }

    /** Notes who has shared, keeps what neighbours have sealed, and signs whom the update is masked with. */
    public SecurePledge take(SecureInbox inbox) {
        SortedSet<Integer> sharers = Roll.read(inbox.sharers(), joined().entries.size());
        SortedSet<Integer> senders = near(sharers);
        if (!sharers.contains(me) || sharers.size() < least()) {
            throw new RefusedError("secure round: " + sharers.size() + " devices shared their secrets, expected " + least());
        }
        if (inbox.data().length != Secrets.SEALED_BYTES * senders.size()) {
            throw new ProtocolError("sealed shares: expected " + Secrets.SEALED_BYTES * senders.size() + " bytes, got "
                    + inbox.data().length);
        }
        notes.bind(Notes.SHARERS, inbox.sharers());
        notes.bind(Notes.INBOX, inbox.data());
        return pledge();
    }

    /** Returns what {@link #take} returned. */
    public SecurePledge pledge() {
        return SecurePledge.ABSENT.withAttempt(place.attempt())
                .withSignature(Agreement.sign(secrets.signer, sharersStatement()));
    }

    /** Returns what masks a device's words, a mask a step. */
    public Masking masking(int[] words) {
        return new Masking(words, secrets, joined(), me, sharers(), form);
    }

    /** Signs who survived, this once. */
    public SecureConsent consent(SecureSurvivors told) {
        SortedSet<Integer> sharers = sharers(), survivors = Roll.read(told.survivors(), joined().entries.size());
        if (!sharers.containsAll(survivors) || !survivors.contains(me)) {
            throw new RefusedError(
                    "secure round: its survivors are not who it was masked with, this device among them");
        }
        if (survivors.size() < least()) {
            throw new RefusedError("secure round: " + survivors.size() + " updates are in its sum, expected " + least());
        }
        byte[] statement = sharersStatement();
        each(near(survivors), told.data(), "pledges of survivors").forEach((device, signature) -> {
            if (!signed(device, statement, signature)) {
                throw new RefusedError("secure round: no proof that '" + roster.entries.get(device).device()
                        + "' masked its update with the same devices");
            }
        });
        notes.bind(Notes.SURVIVORS, told.survivors());
        return SecureConsent.ABSENT.withAttempt(place.attempt())
                .withSignature(Agreement.sign(secrets.signer, sumStatement()));
    }

    /** Opens the shares of the neighbours' own masks where they survived, of the keys of their masks where not. */
    public SecureReveal reveal(SecureQuorum quorum) {
        int size = joined().entries.size();
        if (notes.get(Notes.SURVIVORS).length == 0) {
            throw new RefusedError("secure round: shares were asked for before this device has seen who survived");
        }
        SortedSet<Integer> survivors = Roll.read(notes.get(Notes.SURVIVORS), size);
        checkQuorum(survivors, each(Roll.read(quorum.signers(), size), quorum.data(), "consents"));
        Map<Integer, Shares> held = held();
        byte[][] shares = new byte[held.size()][];
        int at = 0;
        for (Map.Entry<Integer, Shares> one : held.entrySet()) {
            shares[at++] = survivors.contains(one.getKey()) ? one.getValue().seed() : one.getValue().key();
        }
        return SecureReveal.ABSENT.withAttempt(place.attempt()).withOf(Roll.of(held.keySet(), size))
                .withData(Out.join(shares));
    }

    private void checkQuorum(SortedSet<Integer> survivors, Map<Integer, byte[]> signatures) {
        byte[] statement = sumStatement();
        int good = 0;
        for (Map.Entry<Integer, byte[]> one : signatures.entrySet()) {
            if (survivors.contains(one.getKey()) && signed(one.getKey(), statement, one.getValue())) good++;
        }
        if (good < roster.plan.quorum()) {
            throw new RefusedError("secure round: " + good + " devices agree on who survived, expected at least "
                    + roster.plan.quorum());
        }
    }

    private Map<Integer, Shares> held() {
        Map<Integer, Shares> held = new TreeMap<>();
        byte[] inbox = notes.get(Notes.INBOX);
        int at = 0;
        for (int sender : near(sharers())) {
            byte[] piece = Arrays.copyOfRange(inbox, at, at + Secrets.SEALED_BYTES);
            Shares found = secrets.openShares(roster, me, sender, piece);
            if (found != null) held.put(sender, found);
            at += Secrets.SEALED_BYTES;
        }
        held.put(me, secrets.shared(roster, me).get(me));
        return held;
    }

    private SortedSet<Integer> near(SortedSet<Integer> devices) {
        SortedSet<Integer> near = new TreeSet<>(roster.neighbours(me));
        near.retainAll(devices);
        return near;
    }

    private long least() {
        return Math.max(terms.least(), Math.max(rules.survivors(), joined().plan.quorum()));
    }

    private Roster joined() {
        if (roster == null) throw new RefusedError("secure round: this device has not seen its roster");
        return roster;
    }

    private SortedSet<Integer> sharers() {
        if (!notes.shared()) throw new RefusedError("secure round: this device has not heard who shared secrets");
        return Roll.read(notes.get(Notes.SHARERS), joined().entries.size());
    }

    private boolean signed(int device, byte[] statement, byte[] signature) {
        return Agreement.signedBy(roster.entries.get(device).signer(), statement, signature);
    }

    private byte[] sharersStatement() {
        sharers();
        return Out.join(ascii("edgewise secure sharers 1\n"), roster.hash(), notes.get(Notes.SHARERS));
    }

    private byte[] sumStatement() {
        sharers();
        return Out.join(ascii("edgewise secure sum 1\n"), roster.hash(), notes.get(Notes.SHARERS),
                notes.get(Notes.SURVIVORS));
    }

    private static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    /** Returns signatures by the numbers of those who made them. */
    private static Map<Integer, byte[]> each(SortedSet<Integer> numbers, byte[] data, String what) {
        if (data.length != Agreement.SIGNATURE_BYTES * numbers.size()) {
            throw new ProtocolError(what + ": expected " + numbers.size() + " of 64 bytes, got " + data.length + " bytes");
        }
        Map<Integer, byte[]> found = new LinkedHashMap<>();
        int at = 0;
        for (int number : numbers) {
            found.put(number, Arrays.copyOfRange(data, at, at + Agreement.SIGNATURE_BYTES));
            at += Agreement.SIGNATURE_BYTES;
        }
        return found;
    }
}
