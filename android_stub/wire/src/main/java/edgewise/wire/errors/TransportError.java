package edgewise.wire.errors;

/** The broker cannot be reached, refused us, or the link is down. */
public class TransportError extends UnavailableError {
    private static final long serialVersionUID = 1L;

    public TransportError(String message) {
        super(message);
    }

    public TransportError(String message, Throwable cause) {
        super(message, cause);
    }
}
