"""Results of a run: its records, metrics and directory."""
