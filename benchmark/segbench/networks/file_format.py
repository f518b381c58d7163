"""The format of a file that is to hold weights, told by its first bytes; needs no torch."""

from __future__ import annotations

import zipfile
from pathlib import Path

_FIRST_BYTES = 512
_EXPORTED = "It is an exported program, not a state dict: save torch.save(model.state_dict(), PATH) of the network that it was made of."


def foreign_format(path: Path) -> str:
    """The format of a file that holds no weights, as a sentence with advice; empty where it may hold some. Only its beginning is read."""
    start = first_bytes(path)
    if not start:
        return "it is empty."
    if start[:2] == b"PK":
        return _foreign_archive(path)
    if starts_as_pickle(start) or starts_as_safetensors(start):
        return ""
    if start[:4] == b"\x89HDF":
        return "it is an HDF5 file (Keras), whose weights are not of a torch network."
    if path.suffix == ".onnx" or _starts_as_onnx(start):
        return f"it is an ONNX file. {_EXPORTED}"
    return _foreign_text(start)


def first_bytes(path: Path) -> bytes:
    """The beginning of a file, by which its format is told."""
    with path.open("rb") as file:
        return file.read(_FIRST_BYTES)


def starts_as_pickle(start: bytes) -> bool:
    """True for a pickle, which is what torch before 1.6 wrote."""
    return start[:1] == b"\x80"


def starts_as_safetensors(start: bytes) -> bool:
    """True for the header of safetensors: its length in eight bytes, then JSON."""
    return start[8:9] == b"{" and b"\x00" in start[:8]


def _starts_as_onnx(start: bytes) -> bool:
    """True for a protobuf that begins with ONNX's version (below 32) and the name of its producer, or the next of its fields."""
    return len(start) > 3 and start[0] == 0x08 and 0 < start[1] < 32 and start[2] in (0x12, 0x3A, 0x42)


def _foreign_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return ""  # a torch file that was cut: its reader says so
    if any(name.endswith("constants.pkl") for name in names):
        return f"it is a TorchScript file. {_EXPORTED}"
    if any(name.endswith((".pt2", "archive_format", "serialized_exported_program.json", "models/model.json")) for name in names):
        return f"it is a file of torch.export. {_EXPORTED}"
    return (
        ""
        if any(name.endswith("data.pkl") for name in names)
        else "it is a zip archive without tensors. Unpack it and give the file in it."
    )


def _foreign_text(start: bytes) -> str:
    text = start.lstrip(b"\xef\xbb\xbf").lstrip()
    low = text.lower()
    if low.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")):
        return "it is an HTML page: the link that it came from gives a page, not the file. Download the file itself."
    if low.startswith(b"<?xml"):
        return f"it is an XML file. {_EXPORTED}" if b"<net" in low else "it is an XML file."
    if low.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer: the file itself was not downloaded. Run 'git lfs pull' in its repository."
    printable = sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start)
    return "it is a text file. Give RUN/CELL, or a file of tensors (torch or safetensors)." if printable == len(start) else ""
