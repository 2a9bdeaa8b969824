package edgewise.android;

import android.database.Cursor;
import android.database.SQLException;
import android.database.sqlite.SQLiteDatabase;
import android.database.sqlite.SQLiteDatabaseCorruptException;
import android.database.sqlite.SQLiteStatement;
import edgewise.device.store.Database;
import edgewise.wire.errors.DataError;
import edgewise.wire.errors.EdgewiseError;
import edgewise.wire.errors.UnavailableError;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** SQLite as Android has it. */
final class AndroidDatabase implements Database {
    private final File path;
    private final SQLiteDatabase db;

    AndroidDatabase(File path) {
        this.path = path;
        try {
            // A file that is damaged is for its owner to decide about: Android's default handler would delete it.
            db = SQLiteDatabase.openOrCreateDatabase(path.getPath(), null, damaged -> {
                throw new SQLiteDatabaseCorruptException(path + " is damaged");
            });
        } catch (SQLException error) {
            throw translated(error);
        }
    }

    @Override
    public int execute(String statement, Object... values) {
        try {
            if (values.length == 0 && isPragma(statement)) {
                // Some pragmas answer with a row, which execSQL refuses.
                try (Cursor cursor = db.rawQuery(statement, null)) {
                    cursor.moveToFirst();
                    return 0;
                }
            }
            if (values.length == 0 && !statement.startsWith("DELETE") && !statement.startsWith("UPDATE")) {
                db.execSQL(statement);
                return 0;
            }
            try (SQLiteStatement compiled = bound(statement, values)) {
                return compiled.executeUpdateDelete();
            }
        } catch (SQLException error) {
            throw translated(error);
        }
    }

    private static boolean isPragma(String statement) {
        return statement.toUpperCase(Locale.ROOT).startsWith("PRAGMA");
    }

    @Override
    public long insert(String statement, Object... values) {
        try (SQLiteStatement compiled = bound(statement, values)) {
            return compiled.executeInsert();
        } catch (SQLException error) {
            throw translated(error);
        }
    }

    private SQLiteStatement bound(String statement, Object... values) {
        SQLiteStatement compiled = db.compileStatement(statement);
        for (int i = 0; i < values.length; i++) {
            Object value = values[i];
            if (value == null) compiled.bindNull(i + 1);
            else if (value instanceof Double || value instanceof Float) compiled.bindDouble(i + 1, ((Number) value).doubleValue());
            else if (value instanceof Number) compiled.bindLong(i + 1, ((Number) value).longValue());
            else compiled.bindString(i + 1, value.toString());
        }
        return compiled;
    }

    @Override
    public List<Object[]> query(String statement, Object... values) {
        String[] texts = new String[values.length];
        for (int i = 0; i < texts.length; i++) texts[i] = String.valueOf(values[i]);
        try (Cursor cursor = db.rawQuery(statement, texts)) {
            List<Object[]> rows = new ArrayList<>();
            while (cursor.moveToNext()) {
                Object[] row = new Object[cursor.getColumnCount()];
                for (int i = 0; i < row.length; i++) row[i] = value(cursor, i);
                rows.add(row);
            }
            return rows;
        } catch (SQLException error) {
            throw translated(error);
        }
    }

    private static Object value(Cursor cursor, int column) {
        switch (cursor.getType(column)) {
            case Cursor.FIELD_TYPE_NULL:
                return null;
            case Cursor.FIELD_TYPE_INTEGER:
                return cursor.getLong(column);
            case Cursor.FIELD_TYPE_FLOAT:
                return cursor.getDouble(column);
            default:
                return cursor.getString(column);
        }
    }

    @Override
    public void transaction(Runnable act) {
        db.beginTransaction(); // exclusive: it owns the write lock
        try {
            act.run();
            db.setTransactionSuccessful();
        } catch (SQLException error) {
            throw translated(error);
        } finally {
            db.endTransaction();
        }
    }

    @Override
    public void close() {
        db.close();
    }

    private EdgewiseError translated(SQLException error) {
        return error instanceof SQLiteDatabaseCorruptException
                ? new DataError(path + ": not a database that can be read (" + error.getMessage() + ")", error)
                : new UnavailableError(path + ": " + error.getMessage(), error);
    }
}
