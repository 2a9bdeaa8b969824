"""Brokers that edgewise starts itself, each a process of its own: `embedded` needs nothing installed, `mosquitto` does.

The package imports nothing, so that `python -m edgewise.brokers.embedded` finds its module fresh.
"""
