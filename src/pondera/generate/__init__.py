"""Completions for prompts, from several back-ends."""
