"""The benchmarks: time to quality, the cost of a step, and how cost grows."""
