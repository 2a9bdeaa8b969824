package edgewise.wire.errors;

/** A model file, its manifest or its signatures are not what edgewise needs. */
public class ModelError extends InputError {
    private static final long serialVersionUID = 1L;

    public ModelError(String message) {
        super(message);
    }

    public ModelError(String message, Throwable cause) {
        super(message, cause);
    }
}
