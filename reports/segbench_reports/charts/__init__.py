"""Charts of a run, as Altair definitions."""
