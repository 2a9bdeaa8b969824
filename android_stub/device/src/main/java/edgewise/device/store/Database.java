package edgewise.device.store;

import java.io.Closeable;
import java.util.List;

/**
 * One SQLite file: on a phone Android's own, on a desktop JVM sqlite-jdbc. Values are {@code Long}, {@code Double},
 * {@code String} or {@code null}; columns that a query compares with an argument have a declared type, because Android
 * binds the arguments of queries as texts.
 *
 * <p>Every method throws {@code UnavailableError} if the disk refuses and {@code DataError} if the file is no database.
 */
public interface Database extends Closeable {
    /** Runs a statement and returns how many rows it changed. */
    int execute(String statement, Object... values);

    /** Runs an INSERT and returns the number of its row. */
    long insert(String statement, Object... values);

    /** Returns the rows that a statement gives. */
    List<Object[]> query(String statement, Object... values);

    /** Runs {@code act} in one transaction that owns the write lock from its beginning: all or nothing. */
    void transaction(Runnable act);

    @Override
    void close();

    /** Opens files. */
    interface Opener {
        Database open(java.io.File path);
    }
}
