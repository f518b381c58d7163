"""Memory, latency, modules and training step of each distinct deployed network."""
