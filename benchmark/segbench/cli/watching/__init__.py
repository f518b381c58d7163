"""Looking on while a run is at work, or after it: from its files alone, without its lock, its checkpoints or torch."""
