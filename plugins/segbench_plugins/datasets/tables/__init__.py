"""Official class lists of datasets that have too many classes for a constant: CSV files with a header."""
