"""Versioned prompt templates and the answer format each asks for."""
