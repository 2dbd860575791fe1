"""What happens beside the updates: samples, checkpoints, progress."""
