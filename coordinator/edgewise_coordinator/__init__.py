"""The server: selection, rounds, aggregation, model versions; it never sees an example."""
