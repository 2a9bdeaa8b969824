package edgewise.device.store;

import edgewise.device.Policy;
import edgewise.wire.Bytes;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.Kind;
import edgewise.wire.errors.DataError;
import java.io.Closeable;
import java.io.File;
import java.util.ArrayList;
import java.util.List;

/**
 * What was asked of this device, what it sent, and when: its owner's record, on its own disk. One row per assignment
 * received, by the assignment's digest.
 */
public final class ParticipationLog implements Closeable {
    private static final int SCHEMA_VERSION = 2, ENTRIES_MAX = 20_000;
    private static final String COLUMNS = "digest, round, attempt, kind, outcome, reason, asked_epochs, began, ended, "
            + "examples, steps, loss, norm, seconds, bytes_down, bytes_up, bytes_metered, clip, noise";

    /** How a participation ended. */
    public enum Outcome {
        WORKING, REPORTED, REFUSED, DECLINED, ABORTED, SUPERSEDED, EXPIRED, FAILED;

        /** Returns the word that stands in the log. */
        public String word() {
            return name().toLowerCase(java.util.Locale.ROOT);
        }
    }

    /**
     * One participation; times in seconds since the epoch, {@code null} for what is not known. {@code clip} is the norm that
     * the update was clipped to and {@code noise} the promised multiplier, 0 for none.
     */
    public record Entry(String digest, long round, long attempt, String kind, Outcome outcome, String reason,
            double began, Double ended, long examples, long steps, Double loss, Double norm, double seconds,
            long bytesDown, long bytesUp, double clip, double noise) {}

    /** What participations took together: epochs begun, seconds computed, bytes both ways, those on metered networks. */
    public record Used(long epochs, double seconds, long traffic, long metered) {
        public static final Used NOTHING = new Used(0, 0, 0, 0);
    }

    private final Database db;

    /** Throws {@link DataError} if the file is no participation log, or one from a newer version. */
    public ParticipationLog(File path, Database.Opener opener) {
        db = opener.open(path);
        long version = ((Number) db.query("PRAGMA user_version").get(0)[0]).longValue();
        if (version > SCHEMA_VERSION) {
            throw new DataError(path + ": written by a newer edgewise (version " + version + "); update this one");
        }
        db.execute("PRAGMA synchronous = FULL");
        db.execute("CREATE TABLE IF NOT EXISTS participation (digest TEXT PRIMARY KEY, round INTEGER NOT NULL,"
                + " attempt INTEGER NOT NULL, kind TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,"
                + " asked_epochs INTEGER NOT NULL, began REAL NOT NULL, ended REAL, examples INTEGER NOT NULL DEFAULT 0,"
                + " steps INTEGER NOT NULL DEFAULT 0, loss REAL, norm REAL, seconds REAL NOT NULL DEFAULT 0,"
                + " bytes_down INTEGER NOT NULL DEFAULT 0, bytes_up INTEGER NOT NULL DEFAULT 0,"
                + " bytes_metered INTEGER NOT NULL DEFAULT 0)");
        db.execute("CREATE INDEX IF NOT EXISTS by_time ON participation (began)");
        if (version < SCHEMA_VERSION) db.transaction(this::migrate);
    }

    /** Adds what version 2 has: of a private round its run, its number in it, the norm and the noise. */
    private void migrate() {
        if (((Number) db.query("PRAGMA user_version").get(0)[0]).longValue() >= SCHEMA_VERSION) return; // another was first
        for (String column : new String[] {"run TEXT NOT NULL DEFAULT ''", "number INTEGER NOT NULL DEFAULT 0",
            "clip REAL NOT NULL DEFAULT 0", "noise REAL NOT NULL DEFAULT 0"}) {
            db.execute("ALTER TABLE participation ADD COLUMN " + column);
        }
        db.execute("PRAGMA user_version = " + SCHEMA_VERSION);
    }

    /** Notes an assignment: accepted ({@code kept} is WORKING) or not ({@code why} says the reason). */
    public void begin(byte[] digest, long round, Assignment asked, double when, Outcome kept, String why) {
        String kind = asked.kind() == Kind.TRAIN ? "train" : asked.kind() == Kind.EVALUATE ? "evaluate"
                : asked.kind() == Kind.DISCOVER ? "discover" : String.valueOf(asked.kind());
        db.execute("INSERT OR REPLACE INTO participation (digest, round, attempt, kind, outcome, reason, asked_epochs,"
                + " began, ended, run, number, clip, noise) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", Bytes.hex(digest), round, asked.attempt(), kind,
                kept.word(), why, asked.epochs(), when, kept == Outcome.WORKING ? null : when, run(asked.privacy().run()), bounded(asked.privacy().number()),
                Policy.offeredClipping(asked), Policy.offeredNoise(asked));
        db.execute("DELETE FROM participation WHERE began < (SELECT began FROM participation ORDER BY began DESC"
                + " LIMIT 1 OFFSET " + ENTRIES_MAX + ")");
    }

    /** Adds bytes that were moved for an assignment. */
    public void addTraffic(byte[] digest, long down, long up, boolean metered) {
        db.execute("UPDATE participation SET bytes_down=bytes_down+?, bytes_up=bytes_up+?, bytes_metered=bytes_metered+?"
                + " WHERE digest=?", down, up, metered ? down + up : 0L, Bytes.hex(digest));
    }

    /** Adds time that was computed for an assignment, whatever becomes of it. */
    public void addSeconds(byte[] digest, double seconds) {
        db.execute("UPDATE participation SET seconds=seconds+? WHERE digest=?", seconds, Bytes.hex(digest));
    }

    /** Notes what was computed. */
    public void note(byte[] digest, long examples, long steps, Double loss, Double norm) {
        db.execute("UPDATE participation SET examples=?, steps=?, loss=?, norm=? WHERE digest=?", examples, steps, loss,
                norm, Bytes.hex(digest));
    }

    /** Notes how it ended. */
    public void end(byte[] digest, double when, Outcome outcome, String reason) {
        db.execute("UPDATE participation SET outcome=?, reason=?, ended=? WHERE digest=?", outcome.word(), reason, when,
                Bytes.hex(digest));
    }

    /** Ends every row but this one that an earlier process left open. */
    public void closeOpen(byte[] digest, double when) {
        db.execute("UPDATE participation SET outcome='failed', reason='the process ended in the middle of it', ended=?"
                + " WHERE outcome='working' AND digest<>?", when, Bytes.hex(digest));
    }

    /** Returns what the participations took that ended after {@code since}, or run still, and began before {@code until}. */
    public Used used(double since, double until) {
        Object[] row = db.query("SELECT coalesce(sum(CASE WHEN kind='train' AND (seconds>0 OR steps>0) THEN asked_epochs"
                + " END), 0), coalesce(sum(seconds), 0.0), coalesce(sum(bytes_down + bytes_up), 0),"
                + " coalesce(sum(bytes_metered), 0) FROM participation WHERE (ended IS NULL OR ended > ?) AND began < ?",
                since, until).get(0);
        return new Used(number(row[0]).longValue(), number(row[1]).doubleValue(), number(row[2]).longValue(),
                number(row[3]).longValue());
    }

    /** Returns the row of an assignment, {@code null} if it was never received. */
    public Entry find(byte[] digest) {
        List<Entry> found = select("WHERE digest=?", Bytes.hex(digest));
        return found.isEmpty() ? null : found.get(0);
    }

    /** Returns the latest rows, newest first. */
    public List<Entry> entries(int limit) {
        return select("ORDER BY began DESC, rowid DESC LIMIT " + limit);
    }

    /** Returns when the last participation ended whose report was accepted, {@code null} if none was. */
    public Double lastReport() {
        Object when = db.query("SELECT max(ended) FROM participation WHERE outcome='reported'").get(0)[0];
        return when == null ? null : number(when).doubleValue();
    }

    /** Returns the number of the last round of a run that was taken, whatever became of it; 0 for none. */
    public long lastNumber(long run) {
        return number(db.query("SELECT coalesce(max(number), 0) FROM participation WHERE run=? AND kind='train'"
                + " AND outcome<>'declined'", run(run)).get(0)[0]).longValue();
    }

    /** Returns how many rounds of a run were taken, whatever became of them, the one numbered {@code besides} left out. */
    public long roundsTaken(long run, long besides) {
        return number(db.query("SELECT count(DISTINCT number) FROM participation WHERE run=? AND kind='train' AND number>0"
                + " AND outcome<>'declined' AND number<>?", run(run), besides).get(0)[0]).longValue();
    }

    private static String run(long run) {
        return String.format(java.util.Locale.ROOT, "%016x", run);
    }

    /** Returns an unsigned number as the largest that SQLite holds at most. */
    public static long bounded(long number) {
        return number < 0 ? Long.MAX_VALUE : number;
    }

    private List<Entry> select(String clause, Object... values) {
        List<Entry> found = new ArrayList<>();
        for (Object[] row : db.query("SELECT " + COLUMNS + " FROM participation " + clause, values)) {
            found.add(new Entry((String) row[0], (Long) row[1], (Long) row[2], (String) row[3],
                    Outcome.valueOf(((String) row[4]).toUpperCase(java.util.Locale.ROOT)), (String) row[5],
                    number(row[7]).doubleValue(), real(row[8]), (Long) row[9], (Long) row[10], real(row[11]),
                    real(row[12]), number(row[13]).doubleValue(), (Long) row[14], (Long) row[15], number(row[17]).doubleValue(),
                    number(row[18]).doubleValue()));
        }
        return found;
    }

    private static Number number(Object value) {
        return (Number) value;
    }

    private static Double real(Object value) {
        return value == null ? null : number(value).doubleValue();
    }

    @Override
    public void close() {
        db.close();
    }
}
