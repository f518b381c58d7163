"""Measurements: one quantity per file."""
