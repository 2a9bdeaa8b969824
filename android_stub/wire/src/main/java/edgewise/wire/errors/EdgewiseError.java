package edgewise.wire.errors;

/** The root of everything that edgewise raises on purpose; the tree is that of Python's {@code edgewise_wire.errors}. */
public class EdgewiseError extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public EdgewiseError(String message) {
        super(message);
    }

    public EdgewiseError(String message, Throwable cause) {
        super(message, cause);
    }
}
