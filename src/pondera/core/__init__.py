"""The pure core: records, answer formats, rewards, advantages, metrics. Standard library and NumPy only."""
