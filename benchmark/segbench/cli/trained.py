"""The help text of what names a trained network, for the commands that take one."""

from __future__ import annotations

TRAINED = """\b
A trained network is named by one of
  RUN        a run's directory, where it has one trained cell
  RUN/CELL   a cell of it, as in runs/camvid-quick/unet--ce--quick--s0
  RUN/PART   a part of its name, where only one cell has it, as in runs/camvid-quick/unet
  FILE       a checkpoint (.pt, .safetensors)
"""
"""Epilog of export, evaluate and predict; the flags and options of other commands that take a trained network refer to it."""
