"""Where cells run: in this process, or each in a process of its own."""
