"""Rules that plugins keep."""
