package edgewise.device;

import edgewise.wire.Messages.EvaluationReport;

/** Says an evaluation's sums until they are acknowledged. */
final class SendReport extends Phase {
    private static final double REPEAT_SECONDS = 10;

    private final Link link;
    private final Clock clock;
    private final Work work;
    private final EvaluationReport report;

    SendReport(Link link, Clock clock, Work work, EvaluationReport report) {
        this.link = link;
        this.clock = clock;
        this.work = work;
        this.report = report;
    }

    @Override
    DeviceState state() {
        return DeviceState.UPLOADING;
    }

    @Override
    void start() {
        repeat();
    }

    @Override
    void connected() {
        repeat(); // it may have been lost with the link
    }

    @Override
    void tick() {
        if (clock.now() >= due) repeat();
    }

    @Override
    void repeat() {
        link.say(report, work.round());
        due = clock.now() + REPEAT_SECONDS;
    }
}
