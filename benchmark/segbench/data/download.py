"""Download a dataset: resumed where it was cut, checked against its checksum, from mirrors in turn, unpacked inside its folder only.

Files are written under ``<name>.part`` and renamed once they are whole, so that what has its right name is complete. By hand, since neither
pooch nor torchvision continues a download that was cut, which matters for archives of gigabytes, or tries mirrors in turn.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.data.archive import unpack
from segbench.errors import DataError
from segbench.plugin.options import Options
from segbench.plugin.specs import DatasetSpec, Download, resolve

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60.0
_ATTEMPTS = 3  # for each address: a cut connection is resumed this often

FetchProgress = Callable[[Download, int, "int | None"], None]
"""``progress(download, bytes so far, bytes in all or None)``, called about once per mebibyte."""


@dataclass(frozen=True)
class Fetched:
    """The result of :func:`fetch_dataset`: targets by what was done with them."""

    downloaded: tuple[str, ...] = ()
    already_there: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()  # neither the dataset nor the server gave a checksum


def fetch_dataset(
    spec: DatasetSpec,
    options: Options,
    root: Path,
    *,
    mirrors: Sequence[str] = (),
    progress: FetchProgress | None = None,
) -> Fetched:
    """Download what a dataset asks for into ``root``; what is already there is left alone.

    ``mirrors`` are addresses that are tried first, with each file's target behind them. Raises :class:`DataError` with what to do
    where nothing can be downloaded, a checksum does not fit, or an archive would write outside of its folder.
    """
    if spec.fetch is None:
        raise DataError(f"dataset '{spec.name}' cannot be downloaded by segbench. Place its files in a folder and give it as --data DIR.")
    downloads: Iterable[Download] = resolve(spec.fetch)(root, options)
    downloaded, present, unchecked = [], [], []
    for download in downloads:
        if inside(root, download.provides or download.target).exists():
            present.append(download.target)
            continue
        if not fetch_file(download, root, mirrors=mirrors, progress=progress):
            unchecked.append(download.target)
        downloaded.append(download.target)
    return Fetched(tuple(downloaded), tuple(present), tuple(unchecked))


def fetch_file(download: Download, root: Path, *, mirrors: Sequence[str] = (), progress: FetchProgress | None = None) -> bool:
    """Download, check and unpack one file. Returns whether there was a checksum to hold it against."""
    target = inside(root, download.target)
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        checked = _from_any(download, part, mirrors, progress)
        os.replace(part, target)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or error}") from error
    if download.extract is not None:
        unpack(target, inside(root, download.extract))
        target.unlink()
    return checked


def inside(root: Path, name: str) -> Path:
    """``root / name``; raises :class:`DataError` where that is not below ``root``."""
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise DataError(f"'{name}' would be written outside of {root}: refused")
    return path


def _from_any(download: Download, part: Path, mirrors: Sequence[str], progress: FetchProgress | None) -> bool:
    """Try every address in turn, and tell of all failures where none works."""
    quoted = urllib.parse.quote(download.target)
    failures = []
    for url in (*(f"{mirror.rstrip('/')}/{quoted}" for mirror in mirrors), *download.urls):
        for _ in range(_ATTEMPTS):
            resumed = part.exists()
            try:
                server_sum = _receive(url, part, lambda done, total: progress(download, done, total) if progress else None)
                return _verify(part, download.checksum or server_sum)
            except _WrongContentError as error:
                part.unlink(missing_ok=True)
                failures.append(f"{url}: {error}")
                if not resumed:  # else what was there before may be at fault: once more from the beginning
                    break
            except (urllib.error.HTTPError, urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                failures.append(f"{url}: {getattr(error, 'reason', None) or error}")
                if isinstance(error, urllib.error.HTTPError):
                    break
    listed = "\n  ".join(dict.fromkeys(failures)) or "no address is known"
    raise DataError(
        f"cannot download {download.target}:\n  {listed}\nTry again later (it continues where it stopped), name a mirror (--mirror URL), "
        f"or place the file yourself as {part.with_name(part.name.removesuffix('.part'))}."
    )


class _WrongContentError(Exception):
    """The content is not that of the file that was requested; resuming cannot help."""


def _receive(url: str, part: Path, progress: Callable[[int, int | None], None]) -> str:
    """Append to ``part`` what is missing of ``url``. Returns the checksum that the server gives, or an empty text."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "segbench", **({"Range": f"bytes={have}-"} if have else {})})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return _complete_or_foreign(error, have)
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server starts from the beginning
        total = _total(response, have)
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
        if total is not None and have < total:
            raise ConnectionError(f"the connection ended after {have} of {total} bytes")
        return _server_checksum(response.headers)


def _complete_or_foreign(error: urllib.error.HTTPError, have: int) -> str:
    """The answer to a range that starts at or behind the end: all is here already, or ``part`` is of another file."""
    total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
    error.close()
    if total == str(have):
        return _server_checksum(error.headers)
    raise _WrongContentError("a file of another size had been begun; it was dropped") from None


def _total(response: Any, have: int) -> int | None:
    length = response.headers.get("Content-Length")
    return have + int(length) if length else None


def _server_checksum(headers: Any) -> str:
    """Google's storage sends ``x-goog-hash: md5=<base64>`` with each file: it tells damage on the way, not who made the file."""
    for value in headers.get_all("x-goog-hash") or []:
        for part in value.split(","):
            name, _, code = part.strip().partition("=")
            if name == "md5":
                return f"md5:{base64.b64decode(code).hex()}"
    return ""


def _verify(file: Path, checksum: str) -> bool:
    """Raise :class:`_WrongContentError` where the file's digest differs; returns whether there was one to compare."""
    if not checksum:
        return False
    algorithm, _, expected = checksum.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != expected.lower():
        raise _WrongContentError(f"its {algorithm} is {digest.hexdigest()} instead of {expected}")
    return True
