package edgewise.wire.errors;

/** A run could not reach its goal though its input was fine. */
public class RunError extends EdgewiseError {
    private static final long serialVersionUID = 1L;

    public RunError(String message) {
        super(message);
    }

    public RunError(String message, Throwable cause) {
        super(message, cause);
    }
}
