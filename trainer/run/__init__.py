"""The training loop, checkpoints and resumption."""
