"""A benchmark run from configuration to run.json."""
