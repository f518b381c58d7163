"""Measured numbers in, verdicts out; no torch."""
