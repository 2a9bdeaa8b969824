package edgewise.device;

import com.google.gson.JsonObject;
import edgewise.wire.Blobs;
import edgewise.wire.Bytes;
import edgewise.wire.Files;
import edgewise.wire.Json;
import edgewise.wire.Messages;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.Body;
import edgewise.wire.Messages.Envelope;
import edgewise.wire.Messages.EvaluationReport;
import edgewise.wire.Messages.UploadRequest;
import edgewise.wire.codec.Codec;
import edgewise.wire.errors.DataError;
import edgewise.wire.errors.ProtocolError;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The assignment in work, as it stands on disk; files and law are those of {@code edge/edgewise_edge/session.py}: a report
 * is announced only after it and its update are on disk and synced, and from then on the device says these bytes and no
 * others for this (round, attempt).
 */
final class SessionFolder {
    /** What an earlier process left: its work, and the report if that was finished ({@code null} if not). */
    record Found(Work work, Body report) {}

    final File update;
    final File masked;
    private final File folder;
    private final String fleet;
    private final File assignment;
    private final File notes;
    private final File report;
    private final File secure;

    SessionFolder(File folder, String fleet) {
        this.folder = folder;
        this.fleet = fleet;
        assignment = new File(folder, "assignment");
        notes = new File(folder, "notes.json");
        report = new File(folder, "report");
        update = new File(folder, "update");
        secure = new File(folder, "secure");
        masked = new File(folder, "masked");
    }

    /** Returns what an earlier process left, {@code null} if nothing; whatever is torn or foreign is cleared. */
    Found load() {
        Envelope found = read(assignment);
        if (found == null || !(found.body() instanceof Assignment asked)) {
            clear();
            return null;
        }
        double received = Json.number(Json.readObject(notes).get("received"), 0);
        Work work = new Work(found.fleet(), found.round(), found.messageId(), asked, received);
        return new Found(work, loadReport(work));
    }

    private Body loadReport(Work work) {
        Envelope found = read(report);
        if (found == null || found.round() != work.round()) return null;
        if (found.body() instanceof EvaluationReport said) return said.attempt() == work.asked().attempt() ? said : null;
        if (!(found.body() instanceof UploadRequest said) || said.attempt() != work.asked().attempt()) return null;
        try {
            byte[] data = Files.read(update, Blobs.BYTES_MAX);
            return Arrays.equals(Bytes.hash(data), said.update().hash()) ? said : null;
        } catch (DataError error) {
            return null;
        }
    }

    private Envelope read(File path) {
        try {
            Envelope found = Codec.decode(Files.read(path, Messages.PAYLOAD_BYTES));
            return found.fleet().equals(fleet) ? found : null;
        } catch (DataError | ProtocolError error) {
            return null;
        }
    }

    /** Keeps an accepted assignment. */
    void save(Work work) {
        clear();
        writeNotes(work.received(), 0);
        Files.writeDurably(assignment, work.toBytes());
    }

    private void writeNotes(double received, int begun) {
        JsonObject plain = new JsonObject();
        plain.addProperty("received", received);
        plain.addProperty("begun", begun);
        Files.writeLightly(notes, (plain + "\n").getBytes(StandardCharsets.UTF_8));
    }

    void saveUpdate(byte[] data) {
        Files.writeDurably(update, data);
    }

    /** Returns what was bound in a secure round, empty for nothing yet. */
    byte[] secureNotes() {
        return secure.isFile() ? Files.read(secure, Messages.PAYLOAD_BYTES * 4L) : Bytes.NONE;
    }

    /** Keeps what was bound. */
    void saveSecure(byte[] data) {
        if (!Arrays.equals(data, secureNotes())) Files.writeDurably(secure, data);
    }

    void saveMasked(byte[] data) {
        Files.writeDurably(masked, data);
    }

    /** Keeps a finished report; its update must be there already. */
    void saveReport(Work work, Body body) {
        Files.writeDurably(report, Codec.encode(new Envelope(fleet, work.round(), 0, body, 1)));
    }

    /** Notes that training begins and returns how often it has, since a graph may kill the process. */
    int countBegin() {
        JsonObject found = Json.readObject(notes);
        int begun = (int) Json.number(found.get("begun"), 0) + 1;
        writeNotes(Json.number(found.get("received"), 0), begun);
        return begun;
    }

    /** Forgets it all, the assignment first: without it the rest means nothing. */
    void clear() {
        assignment.delete();
        File[] rest = folder.listFiles();
        if (rest != null) for (File one : rest) one.delete();
    }
}
