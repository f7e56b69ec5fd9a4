"""Matching the rows of a spreadsheet to folders of frames, despite the ways in which their names differ."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medn_lab.data.frames import frame_number, list_frames, stays_within
from medn_lab.data.layout import FrameTree, Layout

_LEADING_ZEROS = re.compile(r"0+(?=\d)")
_DIGITS = re.compile(r"\d+")


def name_key(name: str) -> str:
    """A name without case and leading zeros: ``spNo.01`` and ``spNO.1`` are one.

    Examples
    --------
    >>> name_key("S03_ne_03") == name_key("s3_NE_3")
    True
    """
    return _DIGITS.sub(lambda number: str(int(number[0])), name.lower().strip())


@dataclass(frozen=True)
class FoundFolder:
    """A folder of frames and the tree that it belongs to."""

    path: Path
    tree: FrameTree


class FrameFolders:
    """Every folder below a root that holds numbered pictures.

    Attributes
    ----------
    count : int
        How many there are.
    links : list of Path
        Links to folders, and one a folder of frames that lead out of it, which are not followed.
    """

    def __init__(self, root: Path, layout: Layout, *, frames: str = "auto", within: str | None = None) -> None:
        self.layout = layout
        self._by_key: dict[tuple[str, tuple[str, ...]], list[FoundFolder]] = {}
        self._numbers: dict[Path, np.ndarray] = {}
        self.count = 0
        self.links: list[Path] = []
        self.trees = [tree for tree in layout.trees if frames in ("auto", tree.name)]
        if not self.trees:
            raise ValueError(
                f"{layout.title} has no frames {frames!r}; there are auto, {', '.join(t.name for t in layout.trees)}"
            )
        for folder, inner, files in os.walk(root):
            inner.sort()
            inner[:] = [name for name in inner if not name.startswith(".")]
            self.links += [Path(folder, name) for name in inner if Path(folder, name).is_symlink()]
            first = next((name for name in files if frame_number(name) is not None), None)
            if first is not None:
                self.links += [link for link in [Path(folder, first)] if not stays_within(link, Path(folder))]
                self._add(Path(folder), root, first, within)

    def _add(self, folder: Path, root: Path, first: str, within: str | None) -> None:
        parts = (root.name, *folder.relative_to(root).parts)
        if within is not None and not any(within == part.lower() for part in parts):
            return
        tree = self._tree_of(parts, first)
        if tree is None:
            return
        self.count += 1
        for kept in (name_key, str):  # found under its own name before a similar one
            key = tuple(kept(part) for part in parts[-tree.tail :])
            self._by_key.setdefault((tree.name, key), []).append(FoundFolder(folder, tree))

    def _tree_of(self, parts: tuple[str, ...], first: str) -> FrameTree | None:
        marked = [tree for tree in self.layout.trees if any(tree.marker in part.lower() for part in parts)]
        if not marked:
            marked = [tree for tree in self.layout.trees if _frame_pattern(tree).fullmatch(first)]
        tree = (marked or [self.layout.trees[-1]])[0]
        return tree if tree in self.trees else None

    def find(self, fields: Mapping[str, str]) -> tuple[FoundFolder | None, str]:
        """The folder of a row, and how its name differs (``""`` where it does not)."""
        for tree in self.trees:
            parts = tree.folder.format(**{"emotion": "", **fields}).split("/")[-tree.tail :]
            for kept in (str, name_key):
                found = list(dict.fromkeys(self._by_key.get((tree.name, tuple(kept(part) for part in parts)), [])))
                if len(found) == 1:
                    actual = "/".join(found[0].path.parts[-tree.tail :])
                    return found[0], "" if actual == "/".join(parts) else actual
                if len(found) > 1:
                    return None, f"{len(found)} folders fit: {', '.join(str(one.path) for one in found[:3])}"
        return None, ""

    def numbers(self, folder: Path) -> np.ndarray:
        """The frame numbers in a folder, rising."""
        if folder not in self._numbers:
            self._numbers[folder] = np.array(list(list_frames(folder)), dtype=np.int64)
        return self._numbers[folder]


def _frame_pattern(tree: FrameTree) -> re.Pattern[str]:
    stem = tree.frame.rpartition(".")[0]
    parts = re.split(r"(\{[^}]*\})", stem)
    patterns = [re.escape(part) if part[:1] != "{" else r"\d+" if "number" in part else ".+" for part in parts]
    return re.compile(rf"{''.join(patterns)}\.\w+", re.IGNORECASE)
