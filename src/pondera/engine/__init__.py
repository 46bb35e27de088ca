"""Training: packed forward pass, objective, cold start, reinforcement."""
