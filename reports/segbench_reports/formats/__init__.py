"""Report formats, one a file."""
