"""Training and scoring of one cell."""
