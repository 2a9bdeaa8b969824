package edgewise.wire.errors;

/** A peer sent bytes that are not a valid message: drop the message and count it. */
public class ProtocolError extends EdgewiseError {
    private static final long serialVersionUID = 1L;

    public ProtocolError(String message) {
        super(message);
    }

    public ProtocolError(String message, Throwable cause) {
        super(message, cause);
    }
}
