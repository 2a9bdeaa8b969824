"""Who takes part in a round. One small file a strategy; all are deterministic in (seed, round, who is available)."""
