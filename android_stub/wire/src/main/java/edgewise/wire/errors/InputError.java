package edgewise.wire.errors;

/** What the caller handed over cannot be used: mend it and call again. */
public class InputError extends EdgewiseError {
    private static final long serialVersionUID = 1L;

    public InputError(String message) {
        super(message);
    }

    public InputError(String message, Throwable cause) {
        super(message, cause);
    }
}
