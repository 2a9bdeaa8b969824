"""The main job end to end: export, broker, coordinator and devices as processes of their own, and what came of it."""
