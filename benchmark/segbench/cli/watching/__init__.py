"""The state of a run for ``segbench watch``, read from its files alone: without its lock, its checkpoints or torch."""
