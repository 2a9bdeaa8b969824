"""Finding a fleet's words: rounds in which devices vote for prefixes, and what is told of the votes."""
