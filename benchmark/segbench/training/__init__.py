"""Training: one loop for every model and loss, its checkpoints, teachers and record."""
