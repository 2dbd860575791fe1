"""The training loop: order of updates, averaging, checkpoints, what a run shows."""
