"""The only package that imports `cryptography`: signed assignments, and the papers of a fleet.

It comes with the extras `device` and `coordinator` and has 16 MB installed. Nothing outside imports it before a key or
a bundle is named, so a plain demo runs without.
"""
