"""A trained network through each backend."""
