"""Renderers: a RunResult to text or pictures."""
