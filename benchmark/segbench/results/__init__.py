"""What a run produces: its records, metrics and directory."""
