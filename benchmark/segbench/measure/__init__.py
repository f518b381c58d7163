"""What is measured: one quantity per file."""
