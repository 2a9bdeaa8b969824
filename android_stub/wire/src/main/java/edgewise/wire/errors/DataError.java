package edgewise.wire.errors;

/** A text, data or vocabulary file cannot be read as what it should be. */
public class DataError extends InputError {
    private static final long serialVersionUID = 1L;

    public DataError(String message) {
        super(message);
    }

    public DataError(String message, Throwable cause) {
        super(message, cause);
    }
}
