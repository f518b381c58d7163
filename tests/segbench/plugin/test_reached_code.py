"""What of a package's sources counts as the code of a spec: everything that its network runs, and of the rest nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segbench.plugin.reached_code import ReachedCode, reached_code
from segbench.plugin.source_files import source_hash

PAGE = "from segbench import LossSpec\n"
SPEC = PAGE + 'SPEC = LossSpec(name="a", summary="", build="{build}")\n'
NET = "def build(task, options):\n    return None\n"

Read = Callable[[], ReachedCode]
Package = Callable[[dict[str, str]], Read]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Writes files below a folder of sources; what it returns reads the code of ``reached_pkg.SPEC`` as a new process does."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # sources are edited within a second, which bytecode would not notice

    def write(files: dict[str, str]) -> Read:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return read

    def forget() -> None:
        for module in [name for name in sys.modules if name.partition(".")[0].startswith("reached_")]:
            del sys.modules[module]
        importlib.invalidate_caches()
        source_hash.cache_clear()

    def read() -> ReachedCode:
        forget()
        return reached_code(importlib.import_module("reached_pkg").SPEC, tmp_path / "reached_pkg")

    yield write
    forget()


REACHED = {
    "a function that imports its own name": (
        {
            "reached_pkg/__init__.py": PAGE + "def build(task, options):\n    from reached_pkg.net import build\n"
            "    return build(task, options)\n"
            'SPEC = LossSpec(name="a", summary="", build="reached_pkg:build")\n',
            "reached_pkg/net.py": NET,
        },
        ("reached_pkg/net.py", "reached_pkg/__init__.py"),
    ),
    "either of two imports of one name": (
        {
            "reached_pkg/__init__.py": SPEC.format(build="reached_pkg:build")
            + "try:\n    from .fast import build\nexcept ImportError:\n    from .slow import build\n",
            "reached_pkg/fast.py": NET,
            "reached_pkg/slow.py": NET,
        },
        ("reached_pkg/fast.py", "reached_pkg/slow.py"),
    ),
    "star import on a page of specs": (
        {
            "reached_pkg/__init__.py": PAGE + "from .net import *\ndef build(task, options):\n    return net(task)\n"
            'SPEC = LossSpec(name="a", summary="", build="reached_pkg:build")\n',
            "reached_pkg/net.py": "def net(task):\n    return None\n",
        },
        ("reached_pkg/net.py",),
    ),
    "submodules in __all__": (
        {
            "reached_pkg/__init__.py": SPEC.format(build="reached_pkg.net:build"),
            "reached_pkg/net.py": "from .layers import *\n\n\ndef build(task, options):\n    return conv\n",
            "reached_pkg/layers/__init__.py": '__all__ = ["conv"]\n',
            "reached_pkg/layers/conv.py": "width = 1\n",
        },
        ("reached_pkg/layers/conv.py",),
    ),
    "a name handed on from a page of specs": (
        {
            "reached_pkg/__init__.py": SPEC.format(build="reached_pkg.net:build"),
            "reached_pkg/net.py": "from .common import block\n\n\ndef build(task, options):\n    return block()\n",
            "reached_pkg/common.py": "from .other import block\n",
            "reached_pkg/other.py": PAGE + "def block():\n    return None\n",
        },
        ("reached_pkg/common.py", "reached_pkg/other.py:return None"),
    ),
    "modules that a package imports so that they register": (
        {
            "reached_pkg/__init__.py": SPEC.format(build="reached_pkg.registry:build") + "from . import net  # noqa: F401\n",
            "reached_pkg/registry.py": "NETS = {}\n\n\ndef build(task, options):\n    return NETS['net']\n",
            "reached_pkg/net.py": "from .registry import NETS\n\nNETS['net'] = None\n",
        },
        ("reached_pkg/registry.py", "reached_pkg/net.py"),
    ),
    "functions that a decorator registers": (
        {
            "reached_pkg/__init__.py": PAGE + "NETS = {}\n\n\ndef register(function):\n"
            "    NETS[function.__name__] = function\n    return function\n"
            "@register\ndef net():\n    return None\n\n\ndef build(task, options):\n    return NETS['net']()\n"
            'SPEC = LossSpec(name="a", summary="", build="reached_pkg:build")\n',
        },
        ("reached_pkg/__init__.py:return None",),
    ),
    "a package beside": (
        {
            "reached_pkg/__init__.py": SPEC.format(build="reached_pkg.net:build"),
            "reached_pkg/net.py": "import reached_beside.layers\n" + NET,
            "reached_beside/__init__.py": "",
            "reached_beside/layers.py": "from .deep import width\n",
            "reached_beside/deep.py": "width = 1\n",
        },
        ("reached_beside/__init__.py", "reached_beside/layers.py", "reached_beside/deep.py"),
    ),
    "data in a folder below": (
        {
            "reached_pkg/__init__.py": SPEC.format(build="reached_pkg.net:build"),
            "reached_pkg/net.py": "import os\nfrom pathlib import Path\n\nA = Path(__file__).parent / 'data' / 'a.json'\n"
            "B = Path(__file__).parent.joinpath('data', 'b.json')\nC = os.path.join(os.path.dirname(__file__), 'data', 'c.json')\n" + NET,
            "reached_pkg/data/a.json": "[]",
            "reached_pkg/data/b.json": "[]",
            "reached_pkg/data/c.json": "[]",
        },
        ("reached_pkg/data/a.json", "reached_pkg/data/b.json", "reached_pkg/data/c.json"),
    ),
    "import_module by another name": (
        {
            "reached_pkg/__init__.py": SPEC.format(build="reached_pkg.net:build"),
            "reached_pkg/net.py": "from importlib import import_module as load\n\n\n"
            "def build(task, options):\n    return load(options.name)\n",
            "reached_pkg/far.py": "width = 1\n",
        },
        ("reached_pkg/far.py",),
    ),
    "an object's attributes": (
        {
            "reached_pkg/__init__.py": PAGE + 'from .net import Builder\nSPEC = LossSpec(name="a", summary="", build=Builder(8))\n',
            "reached_pkg/net.py": "class Builder:\n    def __init__(self, width):\n        self.width = width\n\n"
            "    def __call__(self, task, options):\n        return None\n",
        },
        ("reached_pkg/__init__.py:Builder(8)", "reached_pkg/net.py"),
    ),
    "an object of a bound method": (
        {
            "reached_pkg/__init__.py": PAGE
            + "from .net import Builder\n"
            + 'SPEC = LossSpec(name="a", summary="", build=Builder(8).make)\n',
            "reached_pkg/net.py": "class Builder:\n    def __init__(self, width):\n        self.width = width\n\n"
            "    def make(self, task, options):\n        return None\n",
        },
        ("reached_pkg/__init__.py:Builder(8)", "reached_pkg/net.py"),
    ),
    "closures within closures": (
        {
            "reached_pkg/__init__.py": PAGE + "from .net import outer, inner\nfrom .layer import layer\n"
            'SPEC = LossSpec(name="a", summary="", build=outer(inner(8, layer)))\n',
            "reached_pkg/net.py": "def outer(make):\n    def build(task, options):\n        return make()\n    return build\n\n\n"
            "def inner(width, layer):\n    def make():\n        return width, layer\n    return make\n",
            "reached_pkg/layer.py": "def layer():\n    return None\n",
        },
        ("reached_pkg/__init__.py:inner(8", "reached_pkg/layer.py"),
    ),
    "modules in a circle, and a base class from a decorator's module": (
        {
            "reached_pkg/__init__.py": SPEC.format(build="reached_pkg.net:build"),
            "reached_pkg/net.py": "from . import tools\n\n\n@tools.marked\nclass Net(tools.bases.Base):\n    pass\n\n\n" + NET,
            "reached_pkg/tools.py": "import reached_pkg.bases as bases\n\n\ndef marked(kind):\n    from .net import Net\n    return kind\n",
            "reached_pkg/bases.py": "class Base:\n    pass\n",
        },
        ("reached_pkg/net.py", "reached_pkg/tools.py", "reached_pkg/bases.py"),
    ),
}


@pytest.mark.parametrize(("files", "changed"), REACHED.values(), ids=REACHED)
def test_code_that_runs_counts(package: Package, tmp_path: Path, files: dict[str, str], changed: tuple[str, ...]) -> None:
    read = package({**files, "reached_pkg/unrelated.py": "a = 1\n"})
    before = read()
    assert not any("pydantic" in file for file in before.files)
    for place in changed:
        file, _, part = place.partition(":")
        old = (tmp_path / file).read_text()
        (tmp_path / file).write_text(old.replace(part, part.replace("8", "9").replace("None", "1.0")) if part else _edited(old))
        assert read().digest != before.digest, place
        (tmp_path / file).write_text(old)
    assert read().digest == before.digest
    if not before.limits:
        (tmp_path / "reached_pkg/unrelated.py").write_text("a = 2\n")
        assert read().digest == before.digest


def _edited(text: str) -> str:
    return text.replace("return", "_ = 1\n    return", 1) if "LossSpec(" in text and "return" in text else text + " "


def test_a_namespace_with_an_installed_part_is_followed_where_its_sources_are(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages"
    (installed / "reached_space" / "core").mkdir(parents=True)
    (installed / "reached_space" / "core" / "__init__.py").write_text("")
    read = package(
        {
            "reached_pkg/__init__.py": SPEC.format(build="reached_space.nets.net:build"),
            "reached_space/nets/__init__.py": "",
            "reached_space/nets/net.py": "import reached_space.core\n" + NET,
        }
    )
    monkeypatch.syspath_prepend(str(installed))
    assert {*read().files} == {"reached_space/nets/__init__.py", "reached_space/nets/net.py"}
    assert not read().limits


def test_an_object_that_holds_itself_has_an_end(package: Package) -> None:
    read = package(
        {
            "reached_pkg/__init__.py": PAGE + "class Builder:\n    def __init__(self):\n        self.me = self\n\n"
            "    def __call__(self, task, options):\n        return None\n\n\n"
            'SPEC = LossSpec(name="a", summary="", build=Builder())\n',
        }
    )
    assert read().digest == read().digest
