"""The one reader of image and mask files: pixels, validity, and what was noticed of the file. Nothing here needs torch."""
