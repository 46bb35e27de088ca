"""Loading models: one adapter per stock family, and the built-in nano model."""
