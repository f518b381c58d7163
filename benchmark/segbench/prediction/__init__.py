"""Prediction on images without labels: a trained network or an exported file, over pictures, rasters or a dataset's own samples."""
