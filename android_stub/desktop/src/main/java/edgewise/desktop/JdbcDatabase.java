package edgewise.desktop;

import edgewise.device.store.Database;
import edgewise.wire.errors.DataError;
import edgewise.wire.errors.EdgewiseError;
import edgewise.wire.errors.UnavailableError;
import java.io.File;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;

/** SQLite through JDBC. */
public final class JdbcDatabase implements Database {
    private static final int NOT_A_DATABASE = 26, CORRUPT = 11;

    private final File path;
    private final Connection connection;

    public JdbcDatabase(File path) {
        this.path = path;
        try {
            connection = DriverManager.getConnection("jdbc:sqlite:" + path);
        } catch (SQLException error) {
            throw translated(error);
        }
        execute("PRAGMA busy_timeout = 10000");
        execute("PRAGMA temp_store = MEMORY"); // VACUUM would else leave a copy of the texts on the disk
    }

    @Override
    public int execute(String statement, Object... values) {
        try (PreparedStatement prepared = prepare(statement, values)) {
            prepared.execute();
            return Math.max(prepared.getUpdateCount(), 0);
        } catch (SQLException error) {
            throw translated(error);
        }
    }

    @Override
    public long insert(String statement, Object... values) {
        execute(statement, values);
        return (Long) query("SELECT last_insert_rowid()").get(0)[0];
    }

    @Override
    public List<Object[]> query(String statement, Object... values) {
        try (PreparedStatement prepared = prepare(statement, values); ResultSet found = prepared.executeQuery()) {
            List<Object[]> rows = new ArrayList<>();
            int columns = found.getMetaData().getColumnCount();
            while (found.next()) {
                Object[] row = new Object[columns];
                for (int i = 0; i < columns; i++) {
                    Object value = found.getObject(i + 1);
                    row[i] = value instanceof Integer number ? (Object) number.longValue() : value;
                }
                rows.add(row);
            }
            return rows;
        } catch (SQLException error) {
            throw translated(error);
        }
    }

    private PreparedStatement prepare(String statement, Object... values) throws SQLException {
        PreparedStatement prepared = connection.prepareStatement(statement);
        for (int i = 0; i < values.length; i++) prepared.setObject(i + 1, values[i]);
        return prepared;
    }

    @Override
    public void transaction(Runnable act) {
        execute("BEGIN IMMEDIATE");
        try {
            act.run();
            execute("COMMIT");
        } catch (RuntimeException error) {
            execute("ROLLBACK");
            throw error;
        }
    }

    @Override
    public void close() {
        try {
            connection.close();
        } catch (SQLException error) {
            throw translated(error);
        }
    }

    private EdgewiseError translated(SQLException error) {
        int code = error.getErrorCode() & 255;
        return code == NOT_A_DATABASE || code == CORRUPT
                ? new DataError(path + ": not a database that can be read (" + error.getMessage() + ")", error)
                : new UnavailableError(path + ": " + error.getMessage(), error);
    }
}
