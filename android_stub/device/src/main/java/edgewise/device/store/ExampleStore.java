package edgewise.device.store;

import edgewise.wire.errors.DataError;
import edgewise.wire.errors.RefusedError;
import edgewise.wire.errors.UnavailableError;
import java.io.Closeable;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.DoubleSupplier;
import java.util.function.Supplier;

/**
 * The device's own examples: one SQLite file that only this device reads; its schema is that of
 * {@code edge/edgewise_edge/store_file.py}. Every fifth example by insertion number is held out: it measures and is never
 * trained on. Deleted rows are overwritten ({@code secure_delete}), and {@code forget} shrinks the file and its log.
 */
public final class ExampleStore implements Closeable {
    public static final int HELD_OUT_EVERY = 5;
    public static final int TEXT_CHARACTERS = 4096;
    private static final long APPLICATION_ID = 0x45574558; // "EWEX"
    private static final int SCHEMA_VERSION = 2;
    private static final String[][] MIGRATIONS = {{
        "CREATE TABLE example (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, bytes INTEGER NOT NULL,"
                + " held_out INTEGER NOT NULL, at REAL NOT NULL)",
        "CREATE INDEX example_age ON example (at, bytes)",
        "CREATE TABLE total (examples INTEGER NOT NULL, bytes INTEGER NOT NULL)",
        "INSERT INTO total VALUES (0, 0)",
        "CREATE TRIGGER example_in AFTER INSERT ON example"
                + " BEGIN UPDATE total SET examples = examples + 1, bytes = bytes + new.bytes; END",
        "CREATE TRIGGER example_out AFTER DELETE ON example"
                + " BEGIN UPDATE total SET examples = examples - 1, bytes = bytes - old.bytes; END",
        "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    }, {
        "CREATE TABLE cipher (key_file TEXT NOT NULL, probe BLOB NOT NULL)", // a Python device's texts may be encrypted
    }};

    /** How much a store may hold; the oldest examples go first, 0 means no limit of that kind; {@code age} in seconds. */
    public record Limits(double age, long count, long bytes) {}

    /** One stored text: {@code at} is when it was written (seconds since 1970). */
    public record Example(long id, String text, boolean heldOut, double at) {}

    private final File path;
    private final Database db;
    private final Supplier<Limits> limits;
    private final DoubleSupplier clock;

    /** Throws {@link DataError} if the file is no example store, or comes from a newer version. */
    public ExampleStore(File path, Database.Opener opener, Supplier<Limits> limits, DoubleSupplier clock) {
        this.path = path;
        this.limits = limits;
        this.clock = clock;
        db = opener.open(path);
        try {
            open();
        } catch (RuntimeException error) {
            db.close();
            throw error;
        }
    }

    private void open() {
        long version = one("PRAGMA user_version"), application = one("PRAGMA application_id");
        long tables = one("SELECT count(*) FROM sqlite_master WHERE name <> 'android_metadata'");
        if (application != APPLICATION_ID && (tables != 0 || version != 0 || application != 0)) {
            throw new DataError("example store " + path + ": an SQLite file of another program; name another file");
        }
        if (version > SCHEMA_VERSION) {
            throw new DataError("example store " + path + ": of version " + version + ", and this edgewise reads up to "
                    + SCHEMA_VERSION + ": update edgewise; nothing was changed");
        }
        db.query("PRAGMA journal_mode = WAL");
        db.execute("PRAGMA synchronous = FULL"); // an acknowledged example survives a power cut
        db.query("PRAGMA secure_delete = ON");
        if (version < SCHEMA_VERSION) db.transaction(this::migrate);
        if (one("SELECT count(*) FROM cipher") > 0) {
            throw new DataError("example store " + path + ": its texts are encrypted by a Python device, which alone reads "
                    + "them");
        }
    }

    private void migrate() {
        for (int next = (int) one("PRAGMA user_version"); next < SCHEMA_VERSION; next++) { // another may have been first
            for (String statement : MIGRATIONS[next]) db.execute(statement);
        }
        db.execute("PRAGMA application_id = " + APPLICATION_ID);
        db.execute("PRAGMA user_version = " + SCHEMA_VERSION);
    }

    /**
     * Stores one text and returns its number; limits apply afterwards.
     *
     * @throws DataError if the text is empty or too long
     * @throws RefusedError if collecting is paused
     */
    public synchronized long add(String text) {
        String cleaned = clean(text);
        long[] number = new long[1];
        db.transaction(() -> {
            if (paused()) throw new RefusedError(path + ": collecting is paused; resume it first");
            int bytes = cleaned.getBytes(StandardCharsets.UTF_8).length;
            number[0] = db.insert("INSERT INTO example (text, bytes, held_out, at) VALUES (?, ?, 0, ?)", cleaned,
                    (long) bytes, clock.getAsDouble());
            if (number[0] % HELD_OUT_EVERY == 0) db.execute("UPDATE example SET held_out = 1 WHERE id = ?", number[0]);
            evict();
        });
        return number[0];
    }

    private static String clean(String text) {
        // a lone surrogate has no UTF-8 and becomes a question mark, as in Python
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        String cleaned = new String(utf8, StandardCharsets.UTF_8).replace('\0', ' ').trim();
        if (cleaned.isEmpty()) throw new DataError("example: expected some text, got none");
        int length = cleaned.codePointCount(0, cleaned.length());
        if (length > TEXT_CHARACTERS) {
            throw new DataError("example: expected at most " + TEXT_CHARACTERS + " characters, got " + length);
        }
        return cleaned;
    }

    /** Returns how many examples are held out, or to train on. */
    public synchronized int count(boolean heldOut) {
        return (int) one("SELECT count(*) FROM example WHERE held_out = " + (heldOut ? 1 : 0));
    }

    /** Returns the texts that are held out, or to train on, by number. */
    public synchronized List<String> texts(boolean heldOut) {
        List<String> found = new ArrayList<>();
        String query = "SELECT text FROM example WHERE held_out = " + (heldOut ? 1 : 0) + " ORDER BY id";
        for (Object[] row : db.query(query)) found.add((String) row[0]);
        return found;
    }

    /** Returns the newest {@code limit} examples, oldest first. */
    public synchronized List<Example> list(int limit) {
        List<Example> found = new ArrayList<>();
        for (Object[] row : db.query("SELECT id, text, held_out, at FROM example ORDER BY id DESC LIMIT " + limit)) {
            found.add(0, new Example((Long) row[0], (String) row[1], (Long) row[2] != 0, ((Number) row[3]).doubleValue()));
        }
        return found;
    }

    /** Deletes one example and returns whether it was there; see {@link #forgetAll}. */
    public synchronized boolean forget(long id) {
        int gone = db.execute("DELETE FROM example WHERE id = ?", id);
        shrink();
        return gone > 0;
    }

    /**
     * Deletes all examples and returns how many went: overwritten, the file shrunk and the log emptied before this
     * returns. What a flash disk's own wear levelling keeps is beyond any program's reach.
     */
    public synchronized int forgetAll() {
        int gone = db.execute("DELETE FROM example");
        shrink();
        return gone;
    }

    private void shrink() {
        db.execute("VACUUM");
        Object[] answer = db.query("PRAGMA wal_checkpoint(TRUNCATE)").get(0);
        if ((Long) answer[0] != 0) {
            throw new UnavailableError(path + ": the examples are deleted, but another process kept the log open, so "
                    + "their bytes may still be on disk: close it and forget again");
        }
    }

    /** Applies the limits now (age passes without an {@code add}). */
    public synchronized void enforce() {
        db.transaction(this::evict);
    }

    private void evict() {
        Limits now = limits.get();
        if (now.age > 0) db.execute("DELETE FROM example WHERE at < ?", clock.getAsDouble() - now.age);
        Object[] total = db.query("SELECT examples, bytes FROM total").get(0);
        long tooMany = now.count > 0 ? (Long) total[0] - now.count : 0;
        long tooLong = now.bytes > 0 ? (Long) total[1] - now.bytes : 0;
        while (tooMany > 0 || tooLong > 0) {
            List<Object[]> oldest = db.query("SELECT id, bytes FROM example ORDER BY at, id LIMIT 100");
            if (oldest.isEmpty()) return;
            for (Object[] row : oldest) {
                if (tooMany <= 0 && tooLong <= 0) return;
                db.execute("DELETE FROM example WHERE id = ?", row[0]);
                tooMany--;
                tooLong -= (Long) row[1];
            }
        }
    }

    /** Returns whether collecting is paused: {@code add} is refused, everything else works. Kept in the file. */
    public synchronized boolean paused() {
        return one("SELECT count(*) FROM setting WHERE name = 'paused' AND value = '1'") > 0;
    }

    public synchronized void setPaused(boolean paused) {
        db.execute("INSERT OR REPLACE INTO setting VALUES ('paused', ?)", paused ? "1" : "0");
    }

    private long one(String query) {
        return ((Number) db.query(query).get(0)[0]).longValue();
    }

    @Override
    public synchronized void close() {
        db.close();
    }
}
