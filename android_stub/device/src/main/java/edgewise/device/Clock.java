package edgewise.device;

/** Time as something that is handed in, in seconds. */
public interface Clock {
    /** Returns seconds since some fixed moment; never goes backwards. */
    double now();

    /** Returns seconds since the epoch, as well as this machine knows. */
    double wall();

    /** The machine's own clocks. */
    Clock SYSTEM = new Clock() {
        @Override
        public double now() {
            return System.nanoTime() / 1e9;
        }

        @Override
        public double wall() {
            return System.currentTimeMillis() / 1e3;
        }
    };
}
