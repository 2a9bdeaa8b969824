"""Programs that `simulator_speed.py` runs in Pythons of their own; see `common`."""
