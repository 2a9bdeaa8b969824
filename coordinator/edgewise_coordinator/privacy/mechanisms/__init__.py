"""Mechanisms: which noise a release gets, and how far one device can move all of them."""
