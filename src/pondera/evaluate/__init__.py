"""Evaluation runs over manifests, protocols and baselines."""
