"""From a configuration to the graph of cells that it asks for, and the fingerprints that say which of them are done."""
