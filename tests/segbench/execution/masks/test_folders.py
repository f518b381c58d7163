"""Mask files of a folder and the images that they belong to."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from segbench.errors import ConfigError, DataError
from segbench.execution.masks.folders import MaskFolder, open_folders, pair_masks
from segbench.plugin.choice import slug


def folder(root: Path, *names: str, suffix: str = "") -> MaskFolder:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return open_folders([root], suffix=suffix)[0]


def paired(masks: MaskFolder, ids: Sequence[str], *, partial: bool = False) -> list[str]:
    pairs = pair_masks(masks, ids, split="val", partial=partial)
    return [pairs.files[place].relative_to(masks.path).as_posix() for place in sorted(pairs.files)]


def test_masks_are_found_by_id_by_file_name_and_by_the_end_of_a_path(tmp_path: Path) -> None:
    ids = ["a", "town/b", "town/c", "Grüße/d", "e e"]
    files = ["a.png", "town/b.tif", "c.npy", f"{unicodedata.normalize('NFD', 'Grüße')}/d.png", f"{slug('e e')}.png"]
    assert paired(folder(tmp_path, *files, ".hidden.png", "__MACOSX/a.png", "notes.txt"), ids) == files


def test_equal_ends_of_paths_decide_nothing(tmp_path: Path) -> None:
    masks = folder(tmp_path, "x/a.png", "y/a.png")
    with pytest.raises(DataError, match=r"x/a.png and .*y/a.png may both be the mask of 'a'"):
        pair_masks(masks, ["a"], split="val")
    with pytest.raises(DataError, match="there is none for any of the 2 images"):
        pair_masks(folder(tmp_path / "x"), ["p/a", "q/a"], split="val")


def test_only_files_with_the_suffix_are_masks(tmp_path: Path) -> None:
    assert paired(folder(tmp_path, "a_pred.png", "a_prob.png", suffix="_pred"), ["a"]) == ["a_pred.png"]
    with pytest.raises(ConfigError, match="holds no masks whose names end in '_mask'"):
        open_folders([tmp_path], suffix="_mask")


def test_partial_leaves_out_what_has_no_partner(tmp_path: Path) -> None:
    masks = folder(tmp_path, "a.png", "z.png")
    pairs = pair_masks(masks, ["a", "b"], split="val", partial=True)
    assert (list(pairs.files), pairs.missing, pairs.extra) == ([0], ["b"], ["z"])
    with pytest.raises(DataError, match="there is none"):
        pair_masks(masks, ["b", "c"], split="val", partial=True)


def test_folders_have_names_of_their_own(tmp_path: Path) -> None:
    for place in ("one/masks", "two/masks", "three"):
        folder(tmp_path / place, "a.png")
    names = [each.name for each in open_folders([tmp_path / "one/masks", tmp_path / "two/masks", f"best={tmp_path / 'three'}"])]
    assert names == ["one/masks", "two/masks", "best"]
    with pytest.raises(ConfigError, match="Two folders of masks are called 'same'"):
        open_folders([f"same={tmp_path / 'three'}", f"same={tmp_path / 'one'}"])
    with pytest.raises(ConfigError, match=r"is not there: give a folder of masks.*Did you mean 'three'"):
        open_folders([tmp_path / "thre"])
