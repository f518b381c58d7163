"""Folders of predicted masks: files paired with the images of a split, and the classes that stored values stand for."""
