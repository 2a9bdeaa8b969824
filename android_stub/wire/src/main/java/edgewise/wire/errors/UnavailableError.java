package edgewise.wire.errors;

/** Something outside is not there (a broker, disk space, a runtime): provide it, or try again later. */
public class UnavailableError extends EdgewiseError {
    private static final long serialVersionUID = 1L;

    public UnavailableError(String message) {
        super(message);
    }

    public UnavailableError(String message, Throwable cause) {
        super(message, cause);
    }
}
