"""Reward terms: one file per idea, each a pure function of a pool."""
