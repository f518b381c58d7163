"""A plugin's model and loss under one calling convention, and the checkpoints of trained networks."""
