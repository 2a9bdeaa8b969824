package edgewise.wire.errors;

/** A setting is out of its range or contradicts another. */
public class ConfigError extends InputError {
    private static final long serialVersionUID = 1L;

    public ConfigError(String message) {
        super(message);
    }

    public ConfigError(String message, Throwable cause) {
        super(message, cause);
    }
}
