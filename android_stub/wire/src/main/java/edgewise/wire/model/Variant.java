package edgewise.wire.model;

/** A {@code train} signature for shorter batches: only {@code steps} time steps, only {@code rows} labelled positions. */
public record Variant(String signature, int steps, long rows) {}
