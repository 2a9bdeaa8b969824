package edgewise.wire.errors;

/** The other side understood and said no: do what its reason says. */
public class RefusedError extends EdgewiseError {
    private static final long serialVersionUID = 1L;

    public RefusedError(String message) {
        super(message);
    }

    public RefusedError(String message, Throwable cause) {
        super(message, cause);
    }
}
