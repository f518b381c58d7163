"""The configuration of a run: what to run, and the settings of a cell."""
