from __future__ import annotations

import base64
import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from segbench import DataError, DatasetSpec, Download, NoOptions
from segbench.data.archive import unpack
from segbench.data.download import fetch_dataset, fetch_file

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@dataclass
class Server:
    """A server on this machine: files by path, and the paths that are cut short at their first request."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server(url="")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.requests.append((self.path, asked))
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
            if start >= len(content) and start:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[start : state.cut.pop(self.path, len(content))])

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        state.url = f"http://127.0.0.1:{running.server_address[1]}"
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield state
        running.shutdown()


def _download(server: Server, **changes: Any) -> Download:
    return Download(**{"target": "data/file.bin", "urls": (f"{server.url}/file.bin",), "checksum": SUM, **changes})


def test_a_file_arrives_whole_under_its_name(server: Server, tmp_path: Path) -> None:
    server.files["/file.bin"] = CONTENT
    told: list[tuple[int, int | None]] = []

    assert fetch_file(_download(server), tmp_path, progress=lambda download, done, total: told.append((done, total)))
    assert (tmp_path / "data/file.bin").read_bytes() == CONTENT
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["file.bin"]
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_cut_download_continues_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.files["/file.bin"] = CONTENT
    server.cut["/file.bin"] = 300_000
    fetch_file(_download(server), tmp_path)

    assert (tmp_path / "data/file.bin").read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=300000-"]


def test_what_an_earlier_run_left_is_continued(server: Server, tmp_path: Path) -> None:
    server.files["/file.bin"] = CONTENT
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file.bin.part").write_bytes(CONTENT[:1000])
    fetch_file(_download(server), tmp_path)

    assert (tmp_path / "data/file.bin").read_bytes() == CONTENT
    assert server.requests == [("/file.bin", "bytes=1000-")]


def test_a_complete_part_file_is_only_checked(server: Server, tmp_path: Path) -> None:
    server.files["/file.bin"] = CONTENT
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file.bin.part").write_bytes(CONTENT)
    fetch_file(_download(server), tmp_path)

    assert (tmp_path / "data/file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * (len(CONTENT) + 5)], ids=["begun", "too long"])
def test_a_part_of_something_else_is_dropped_and_fetched_anew(server: Server, tmp_path: Path, left: bytes) -> None:
    server.files["/file.bin"] = CONTENT
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file.bin.part").write_bytes(left)
    fetch_file(_download(server), tmp_path)

    assert (tmp_path / "data/file.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_all_again(server: Server, tmp_path: Path) -> None:
    server.files["/file.bin"] = CONTENT
    server.ranges = False
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file.bin.part").write_bytes(CONTENT[:1000])
    fetch_file(_download(server), tmp_path)

    assert (tmp_path / "data/file.bin").read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.files["/file.bin"] = b"something else"

    with pytest.raises(DataError, match=r"(?s)cannot download data/file\.bin.*its sha256 is .* instead of .*--mirror URL"):
        fetch_file(_download(server), tmp_path)
    assert list((tmp_path / "data").iterdir()) == []


def test_addresses_are_tried_in_order_with_the_users_mirror_first(server: Server, tmp_path: Path) -> None:
    server.files["/second.bin"] = CONTENT
    download = _download(server, urls=(f"{server.url}/first.bin", f"{server.url}/second.bin"))
    fetch_file(download, tmp_path, mirrors=[f"{server.url}/mirror/"])

    assert (tmp_path / "data/file.bin").read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/mirror/data/file.bin", "/first.bin", "/second.bin"]


def test_a_bad_mirror_is_passed_over(server: Server, tmp_path: Path) -> None:
    server.files |= {"/bad/data/file.bin": b"damaged", "/file.bin": CONTENT}
    fetch_file(_download(server), tmp_path, mirrors=[f"{server.url}/bad"])

    assert (tmp_path / "data/file.bin").read_bytes() == CONTENT


def test_a_host_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/x: .*refused"):
        fetch_file(Download(target="x", urls=("http://127.0.0.1:9/x",)), tmp_path)


def test_the_servers_own_checksum_stands_in_where_none_is_published(server: Server, tmp_path: Path) -> None:
    code = base64.b64encode(hashlib.md5(CONTENT, usedforsecurity=False).digest()).decode()
    server.files["/file.bin"] = CONTENT
    server.headers["x-goog-hash"] = f"crc32c=AAAAAA==,md5={code}"
    assert fetch_file(_download(server, checksum=""), tmp_path)

    server.files["/file.bin"] = CONTENT[:-1] + b"?"
    with pytest.raises(DataError, match="its md5 is"):
        fetch_file(_download(server, checksum="", target="again.bin"), tmp_path)


def test_without_any_checksum_the_file_is_reported_as_unchecked(server: Server, tmp_path: Path) -> None:
    server.files["/file.bin"] = CONTENT
    spec = _spec(lambda root, options: [_download(server, checksum="")])

    assert fetch_dataset(spec, NoOptions(), tmp_path).unchecked == ("data/file.bin",)


def _spec(fetch: Callable[..., Any] | None) -> DatasetSpec:
    return DatasetSpec(name="remote", summary="", task=lambda options: None, splits=(), load=lambda *args: [], fetch=fetch)


def test_a_dataset_may_read_a_list_before_it_asks_for_what_it_names(server: Server, tmp_path: Path) -> None:
    server.files |= {"/list.txt": b"one two", "/one": b"1", "/two": b"2"}

    def downloads(root: Path, options: NoOptions) -> Iterator[Download]:
        yield Download(target="list.txt", urls=(f"{server.url}/list.txt",))
        for name in (root / "list.txt").read_text().split():
            yield Download(target=name, urls=(f"{server.url}/{name}",))

    first = fetch_dataset(_spec(downloads), NoOptions(), tmp_path)
    again = fetch_dataset(_spec(downloads), NoOptions(), tmp_path)

    assert first.downloaded == ("list.txt", "one", "two")
    assert again.already_there == ("list.txt", "one", "two")
    assert len(server.requests) == 3


def test_a_dataset_without_downloads_says_where_files_go(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be downloaded by segbench"):
        fetch_dataset(_spec(None), NoOptions(), tmp_path)


@pytest.mark.parametrize("field_name", ["target", "extract"])
def test_a_download_cannot_leave_the_data_folder(server: Server, tmp_path: Path, field_name: str) -> None:
    server.files["/file.bin"] = CONTENT
    download = _download(server, **{field_name: "../elsewhere"})

    with pytest.raises(DataError, match="would be written outside of"):
        fetch_file(download, tmp_path / "data")
    assert not (tmp_path / "elsewhere").exists()


def test_an_archive_is_unpacked_and_removed(server: Server, tmp_path: Path) -> None:
    content = _tar({"VOC/a.txt": b"hello", "VOC/sub/b.txt": b"there"})
    server.files["/file.bin"] = content
    download = _download(server, checksum="", extract="out", provides="out/VOC")
    fetch_file(download, tmp_path)

    assert (tmp_path / "out/VOC/sub/b.txt").read_bytes() == b"there"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["VOC"]
    assert not (tmp_path / "data/file.bin").exists()
    assert fetch_dataset(_spec(lambda root, options: [download]), NoOptions(), tmp_path).already_there == ("data/file.bin",)


def _tar(files: dict[str, bytes], **special: bytes) -> bytes:
    """A tar of files; ``special`` are member names of one type each."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, kind in special.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    return stream.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        _tar({"good": b"1", "../evil": b"2"}),
        _tar({"good": b"1", "/tmp/segbench-evil": b"2"}),
        _tar({"good": b"1", "a/../../evil": b"2"}),
        _tar({"good": b"1"}, link=tarfile.SYMTYPE),
        _tar({"good": b"1"}, link=tarfile.LNKTYPE),
        _tar({"good": b"1"}, device=tarfile.CHRTYPE),
        _zip({"good": b"1", "../evil": b"2"}),
        _zip({"good": b"1", "C:\\evil": b"2"}),
    ],
    ids=["parent", "absolute", "through", "symlink", "hard link", "device", "zip parent", "zip drive"],
)
def test_a_malicious_archive_writes_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)

    with pytest.raises(DataError, match="refused"):
        unpack(tmp_path / "archive", tmp_path / "inner" / "out")
    assert list((tmp_path / "inner").rglob("*")) == [tmp_path / "inner" / "out"]
    assert not Path("/tmp/segbench-evil").exists()


def test_zip_archives_are_unpacked_too(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(_zip({"a/b.txt": b"text"}))
    unpack(tmp_path / "archive", tmp_path / "out")

    assert (tmp_path / "out/a/b.txt").read_bytes() == b"text"


def test_separators_of_windows_make_folders(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(_zip({"a\\b.txt": b"text"}))
    unpack(tmp_path / "archive", tmp_path / "out")

    assert (tmp_path / "out/a/b.txt").read_bytes() == b"text"


def test_permissions_that_an_archive_asks_for_are_not_granted(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, mode in (("loose", 0o6777), ("closed", 0o000)):
            member = tarfile.TarInfo(name)
            member.mode = mode
            tar.addfile(member)
    (tmp_path / "archive").write_bytes(stream.getvalue())
    unpack(tmp_path / "archive", tmp_path / "out")

    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "out").iterdir()} == {"loose": 0o755, "closed": 0o600}


@pytest.mark.parametrize("content", [b"no archive at all", _tar({"a": b"x" * 5000})[:3000]], ids=["text", "cut"])
def test_a_damaged_archive_is_named_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)

    with pytest.raises(DataError, match="archive is damaged"):
        unpack(tmp_path / "archive", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(_tar({"VOC/a.txt": b"new"}))
    (tmp_path / "out/VOC").mkdir(parents=True)
    (tmp_path / "out/VOC/a.txt").write_text("old")

    with pytest.raises(DataError, match="is there already and is left alone"):
        unpack(tmp_path / "archive", tmp_path / "out")
    assert (tmp_path / "out/VOC/a.txt").read_text() == "old"
