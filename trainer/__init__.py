"""Train checkpoints; needed only until training ends."""
