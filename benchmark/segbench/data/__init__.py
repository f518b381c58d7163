"""Data: reading and checking samples, geometry, loaders, the decoded cache, statistics, digests and tiles."""
