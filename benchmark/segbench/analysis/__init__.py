"""Verdicts on measured numbers; needs no torch."""
