"""Recipes: typed, frozen, closed configuration read from YAML."""
