"""The assessor: one object that scores media."""
