"""Aggregators: processes beside the coordinator, or on other machines, that take updates in and add them up."""
