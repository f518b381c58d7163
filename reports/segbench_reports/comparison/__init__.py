"""Comparisons of two runs as text: for the terminal, for a pull request, for programs."""
