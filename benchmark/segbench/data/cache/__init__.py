"""The cache of decoded samples on disk."""
