"""Speed and memory, measured as ratios in one run against a baseline that each file names. `python -m benchmarks`."""
