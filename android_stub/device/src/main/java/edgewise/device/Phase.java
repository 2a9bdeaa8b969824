package edgewise.device;

import edgewise.device.Link.Heard;
import edgewise.device.LocalTraining.Step;

/**
 * The part of a session in one state; by default it waits. Driven by the agent: {@code start} once, {@code connected}
 * whenever the link comes up, {@code hear} for messages about this assignment, {@code tick} when {@code due},
 * {@code compute} for one batch while {@code busy}. It throws an {@code EdgewiseError} when it cannot go on.
 */
class Phase {
    double due = Double.POSITIVE_INFINITY;
    long bytesDown;
    long bytesUp;
    double seconds;

    DeviceState state() {
        return DeviceState.IDLE;
    }

    /** Returns whether there is something to compute. */
    boolean busy() {
        return false;
    }

    /** Returns whether the next phase can begin. */
    boolean finished() {
        return false;
    }

    Step progress() {
        return Step.NONE;
    }

    void start() {}

    void connected() {}

    void hear(Heard heard) {}

    void tick() {}

    void compute() {}

    double due() {
        return due;
    }

    long bytesDown() {
        return bytesDown;
    }

    long bytesUp() {
        return bytesUp;
    }

    /** Returns whether the coordinator has said that it has the update safe. */
    boolean safe() {
        return false;
    }

    /** Takes word that the coordinator has the report safe; returns whether nothing more is to be done. */
    boolean acknowledged() {
        return true;
    }

    /** Says again what was last said. */
    void repeat() {}

    /** Lets go of everything; files stay for a later process. */
    void stop() {}
}
