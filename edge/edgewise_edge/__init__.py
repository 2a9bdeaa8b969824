"""The device: examples, the trainer over a TFLite runtime, and the agent that takes part in rounds."""
