package edgewise.device;

import edgewise.device.Link.Heard;
import edgewise.device.LocalTraining.Step;
import edgewise.wire.BlobStore;
import edgewise.wire.Blobs;
import edgewise.wire.Bytes;
import edgewise.wire.Files;
import edgewise.wire.Messages.Body;
import edgewise.wire.Messages.SecureConsent;
import edgewise.wire.Messages.SecureInbox;
import edgewise.wire.Messages.SecureQuorum;
import edgewise.wire.Messages.SecureReveal;
import edgewise.wire.Messages.SecureRoster;
import edgewise.wire.Messages.SecureShares;
import edgewise.wire.Messages.SecureSurvivors;
import edgewise.wire.Messages.UploadRequest;
import edgewise.wire.secure.Form;
import edgewise.wire.secure.Masking;
import edgewise.wire.secure.Member;
import edgewise.wire.secure.Notes;
import edgewise.wire.secure.Roster;
import java.util.Collections;

/**
 * Reporting in a secure round: what a device does between its finished update and the sum that has it; files and law are
 * those of {@code edge/edgewise_edge/secure_report.py}.
 *
 * <pre>
 * session/update   the words that it adds to the sum, in the clear; they never leave the device
 * session/secure   what it has bound itself to, its secrets among it
 * session/masked   the masked words, as they are sent
 * </pre>
 *
 * <p>Each step's notes are on disk before what they gave rise to is sent. A process that takes the session up again says the
 * same, and a device that cannot go on just as before drops out.
 */
final class SecureReport extends Phase {
    private static final double REPEAT_SECONDS = 10; // what was said last is said again until the coordinator goes on

    private final Link link;
    private final Clock clock;
    private final BlobStore blobs;
    private final SessionFolder session;
    private final Work work;
    private final Member member;
    private Phase inner;
    private Masking masking;
    private Body saying;
    private byte[] roster = Bytes.NONE;
    private boolean revealed;
    private boolean safe;

    SecureReport(Link link, Clock clock, BlobStore blobs, SessionFolder session, Work work, Member.Rules rules, Trust trust) {
        this.link = link;
        this.clock = clock;
        this.blobs = blobs;
        this.session = session;
        this.work = work;
        Notes kept = Notes.read(session.secureNotes());
        Member.Place place = new Member.Place(link.identity.fleet(), work.round(), link.identity.device(),
                work.asked().attempt());
        member = new Member(place, work.asked().secure(), kept == null ? Notes.fresh() : kept, trust.enrolled(),
                trust.register(), rules);
    }

    // What a worker asks a phase

    @Override
    DeviceState state() {
        return DeviceState.UPLOADING;
    }

    /** Returns whether masks are being made. */
    @Override
    boolean busy() {
        return masking != null;
    }

    @Override
    double due() {
        return Math.min(due, inner == null ? Double.POSITIVE_INFINITY : inner.due());
    }

    @Override
    long bytesDown() {
        return bytesDown + (inner == null ? 0 : inner.bytesDown());
    }

    @Override
    long bytesUp() {
        return bytesUp + (inner == null ? 0 : inner.bytesUp());
    }

    @Override
    Step progress() {
        return inner == null ? Step.NONE : inner.progress();
    }

    @Override
    boolean safe() {
        return safe;
    }

    /** Advertises the keys, or goes on where an earlier process was. */
    @Override
    void start() {
        keep();
        byte[] known = member.notes.roster();
        if (known.length > 0 && blobs.has(known)) join();
        else say(member.keys());
    }

    @Override
    void connected() {
        if (inner != null) inner.connected();
        repeat();
    }

    @Override
    void tick() {
        double now = clock.now();
        if (inner != null && now >= inner.due()) inner.tick();
        if (now >= due) repeat();
        advance();
    }

    @Override
    void repeat() {
        if (inner instanceof Upload) {
            link.say(member.pledge(), work.round());
            inner.repeat();
        } else if (saying != null) {
            say(saying);
        }
    }

    @Override
    void hear(Heard heard) {
        if (heard.body() instanceof SecureRoster told) {
            hearRoster(told);
        } else if (heard.body() instanceof SecureInbox told) {
            hearInbox(told);
        } else if (heard.body() instanceof SecureSurvivors told && masked()) {
            SecureConsent consent = member.consent(told);
            keep();
            say(consent);
        } else if (heard.body() instanceof SecureQuorum told && masked()) {
            SecureReveal opened = member.reveal(told);
            revealed = true;
            say(opened);
        } else if (inner != null) {
            inner.hear(heard);
            advance();
        }
    }

    /** Makes one mask. */
    @Override
    void compute() {
        double began = clock.now();
        byte[] done = masking == null ? null : masking.step();
        seconds += clock.now() - began;
        if (done == null) return;
        masking = null;
        session.saveMasked(done);
        upload();
    }

    /** Takes word that the coordinator has the update safe; returns whether nothing more is to be done. */
    @Override
    boolean acknowledged() {
        if (!revealed) {
            safe = true;
            leave();
            if (!(saying instanceof SecureConsent)) {
                say(SecureConsent.ABSENT.withAttempt(work.asked().attempt())); // a question: who survived?
            }
        }
        return revealed;
    }

    @Override
    void stop() {
        leave();
        due = Double.POSITIVE_INFINITY;
    }

    // Step by step

    private void hearRoster(SecureRoster told) {
        Blobs.checkRef(told.roster(), Roster.BYTES_MAX);
        if (member.notes.roster().length > 0 || inner instanceof Download) return;
        due = Double.POSITIVE_INFINITY;
        roster = told.roster().hash();
        inner = new Download(link, clock, blobs, work.round(), Collections.singletonList(told.roster()), "");
        inner.start();
        advance();
    }

    private void advance() {
        if (inner instanceof Download && inner.finished()) {
            leave();
            join();
        }
    }

    private void join() {
        byte[] known = member.notes.roster();
        byte[] data = Files.read(blobs.path(known.length > 0 ? known : roster), Roster.BYTES_MAX);
        SecureShares shares = member.join(data, clock.wall());
        keep();
        if (!member.notes.shared()) say(shares);
        else if (masked()) upload();
        else mask();
    }

    private void hearInbox(SecureInbox told) {
        if (masking != null || inner instanceof Upload || safe) return;
        member.take(told);
        keep();
        saying = null;
        due = Double.POSITIVE_INFINITY;
        link.say(member.pledge(), work.round());
        if (masked()) upload();
        else mask();
    }

    private void mask() {
        byte[] data = Files.read(session.update, Blobs.BYTES_MAX);
        int[] words = new int[data.length / 4];
        for (int i = 0; i < words.length; i++) words[i] = Bytes.i32(data, 4 * i);
        masking = member.masking(words);
    }

    private boolean masked() {
        return member.notes.shared() && session.masked.isFile();
    }

    private void upload() {
        link.say(member.pledge(), work.round());
        UploadRequest request = UploadRequest.ABSENT.withAttempt(work.asked().attempt())
                .withUpdate(Blobs.makeRef(session.masked)).withExamples(1).withEncoding(Form.ENCODING);
        inner = new Upload(link, clock, work.round(), request, session.masked, work.asked().aggregator());
        inner.start();
    }

    private void keep() {
        session.saveSecure(member.notes.toBytes());
    }

    private void leave() {
        Phase left = inner;
        inner = null;
        if (left == null) return;
        bytesDown += left.bytesDown();
        bytesUp += left.bytesUp();
        left.stop();
    }

    private void say(Body body) {
        saying = body;
        link.say(body, work.round());
        due = clock.now() + REPEAT_SECONDS;
    }
}
