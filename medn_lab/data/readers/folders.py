"""Matching the rows of a spreadsheet to folders of frames, despite the ways in which their names differ."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medn_lab.data.frames import VIDEO_SUFFIXES, frame_number, list_frames, stays_within
from medn_lab.data.layout import FrameTree, Layout
from medn_lab.records import normalise_text

_DIGITS = re.compile(r"\d+")
_SYSTEM = ("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__")
"""Folders that systems and network drives make of their own accord, besides those whose names begin with a dot."""

_COPY = re.compile(
    r"^(?:copy of |kopie von )?(.+?)(?: ?[-–] ?(?:copy|kopie|copie|copia|副本)| copy(?: \d+)?)?(?: ?\(\d+\))?$",
    re.IGNORECASE,
)


def name_key(name: str) -> str:
    """A name without case and leading zeros: ``spNo.01`` and ``spNO.1`` are one.

    Examples
    --------
    >>> name_key("S03_ne_03") == name_key("s3_NE_3")
    True
    """
    return _DIGITS.sub(lambda number: str(int(number[0])), normalise_text(name).lower())


def words_of(name: str) -> set[str]:
    """The words of a name, in small letters.

    Examples
    --------
    >>> sorted(words_of("SMIC-HS-E_annotation_2019"))
    ['annotation', 'e', 'hs', 'smic']
    """
    return set(re.findall(r"[a-z]+", name.lower()))


def original_name(name: str) -> str:
    """The name of which a file manager made this one when it copied.

    Examples
    --------
    >>> original_name("coding - Copy (2)"), original_name("Copy of coding"), original_name("coding (1)")
    ('coding', 'coding', 'coding')
    """
    found = _COPY.match(name)
    return found[1] if found else name


def without_copies(names: list[str]) -> list[str]:
    """The folders of these that people made: none that is hidden, a system's, or a copy of another one here.

    Examples
    --------
    >>> without_copies(["sub01", "sub01 - Copy", ".ipynb_checkpoints", "__MACOSX", "sub02 (1)"])
    ['sub01', 'sub02 (1)']
    """
    there = set(names)
    return [
        name
        for name in names
        if not name.startswith(".")
        and name.lower() not in _SYSTEM
        and (original_name(name) == name or original_name(name) not in there)
    ]


def _clip_name(name: str) -> str:
    """As `name_key`, without the subject before a clip's name that has it already: ``s03_s3_ne_03`` is ``s3_ne_03``."""
    return re.sub(r"^(s\d+)_\1_", r"\1_", re.sub(r"[-\s]+", "_", name_key(name)))


@dataclass(frozen=True)
class FoundFolder:
    """A folder of frames and the tree that it belongs to."""

    path: Path
    tree: FrameTree


class FrameFolders:
    """Every folder below a root that holds numbered pictures.

    Parameters
    ----------
    root : Path
    layout : Layout
    frames : str
        ``auto``, the name of a tree, or the name of a folder: then only what lies below folders of this name.
    camera : str, optional
        Folders below one with another camera's name are passed over.

    Attributes
    ----------
    count : int
        How many there are.
    links : list of Path
        Links to folders, and one a folder of frames that lead out of it, which are not followed.
    """

    def __init__(self, root: Path, layout: Layout, *, frames: str = "auto", camera: str | None = None) -> None:
        self.layout, self.root, self.camera = layout, root, camera
        self._by_key: dict[tuple[str, tuple[str, ...]], list[FoundFolder]] = {}
        self._numbers: dict[Path, np.ndarray] = {}
        self._videos: dict[str, Path] = {}
        self.count = 0
        self.links: list[Path] = []
        self.trees = [tree for tree in layout.trees if frames in ("auto", tree.name)]
        below = "" if self.trees else f"/{frames.lower().strip('/')}/"
        self.trees = self.trees or list(layout.trees)
        for folder, inner, files in os.walk(root):
            inner[:] = sorted(without_copies(inner))
            self.links += [Path(folder, name) for name in inner if Path(folder, name).is_symlink()]
            parts = (root.name, *Path(folder).relative_to(root).parts)
            if below not in f"/{'/'.join(parts).lower()}/" or self._is_of_another_camera(parts):
                continue
            first = next((name for name in files if name[0] != "." and frame_number(name) is not None), None)
            if first is not None:
                self.links += [link for link in [Path(folder, first)] if not stays_within(link, Path(folder))]
                self._add(Path(folder), parts, first)
            else:
                videos = [Path(folder, name) for name in files if name.lower().endswith(VIDEO_SUFFIXES)]
                self._videos |= {_clip_name(path.stem): path for path in videos if path.name[0] != "."}
        if below and not self.count:
            raise ValueError(
                f"{layout.title} has no frames {frames!r}: there are auto, {', '.join(t.name for t in layout.trees)}, "
                f"and {root} has no folder of this name with frames below"
            )

    def _is_of_another_camera(self, parts: tuple[str, ...]) -> bool:
        """Whether the last folder with a camera's name has another one's."""
        named = (words_of(part) & set(self.layout.cameras) for part in reversed(parts))
        return self.camera is not None and self.camera not in next(filter(None, named), {self.camera})

    def _add(self, folder: Path, parts: tuple[str, ...], first: str) -> None:
        tree = self._tree_of(parts, first)
        if tree is None:
            return
        self.count += 1
        for kept in (_clip_name, str):  # found under its own name before a similar one
            key = tuple(kept(part) for part in parts[-tree.tail :])
            self._by_key.setdefault((tree.name, key), []).append(FoundFolder(folder, tree))

    def _tree_of(self, parts: tuple[str, ...], first: str) -> FrameTree | None:
        marked = [tree for tree in self.layout.trees if any(tree.marker in part.lower() for part in parts)]
        marked.sort(key=lambda tree: -len(tree.marker))
        if not marked:
            marked = [tree for tree in self.layout.trees if _frame_pattern(tree).fullmatch(first)]
        tree = (marked or [self.layout.trees[-1]])[0]
        return tree if tree in self.trees else None

    def find(self, fields: Mapping[str, str]) -> tuple[FoundFolder | None, str]:
        """The folder of a row, and how its name differs (``""`` where it does not), or why there is none."""
        for tree in self.trees:
            parts = tree.folder.format(**{"emotion": "", **fields}).split("/")[-tree.tail :]
            for kept in (str, _clip_name):
                found = list(dict.fromkeys(self._by_key.get((tree.name, tuple(kept(part) for part in parts)), [])))
                if len(found) == 1:
                    actual = "/".join(found[0].path.parts[-tree.tail :])
                    return found[0], "" if actual == "/".join(parts) else actual
                if len(found) > 1:
                    return None, self._several([one.path.relative_to(self.root) for one in found])
        names = [_clip_name(tree.folder.format(**{"emotion": "", **fields}).split("/")[-1]) for tree in self.trees]
        video = next((self._videos[name] for name in names if name in self._videos), None)
        if video is not None:
            name = video.relative_to(self.root)
            source, folder = shlex.quote(name.as_posix()), shlex.quote(name.with_suffix("").as_posix())
            return None, (
                f"no folder of frames, but the video {name.as_posix()}; write its frames first, N being the number "
                f"that the spreadsheet gives the video's first frame (mostly 0 or 1): mkdir {folder} && "
                f"ffmpeg -i {source} -start_number N {folder}/%d.png"
            )
        return None, f"no folder for {fields['subject']}/{fields['filename']}"

    def _several(self, found: list[Path]) -> str:
        """That several folders fit, and which argument chooses."""
        parts = [[part.lower() for part in path.parts] for path in found]
        own = []
        for place, path in enumerate(found):
            others = set().union(*(set(each) for k, each in enumerate(parts) if k != place))
            own += [repr(part) for part in path.parts if part.lower() not in others][:1]
        choose = f"choose with frames={' or frames='.join(own[:3])}" if own else "move all but one elsewhere"
        return f"{len(found)} folders fit: {', '.join(map(str, found[:3]))}; {choose}"

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
