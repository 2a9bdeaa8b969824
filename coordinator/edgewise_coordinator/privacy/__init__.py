"""Differential privacy: mechanisms, what they cost, and the record of what was spent."""
