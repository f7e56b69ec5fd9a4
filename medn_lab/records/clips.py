"""The clips: their index on disk, a synthetic clip's truth, the prepared set; and what every record shares."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import get_annotations
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from medn_lab.records.action_units import au_doubt
from medn_lab.records.storage import Parts, describe_source, read_parts, write_parts
from medn_lab.records.table import au_columns, check_table, counted, one_of, positions

PROBLEM_COLUMNS = ("clip_id", "field", "found", "done", "kept")
NO_PROBLEMS = partial(pd.DataFrame, columns=list(PROBLEM_COLUMNS))


class _Record:
    """Saving and loading: the annotated fields of a record are its arrays (or None), its tables and its metadata."""

    table: pd.DataFrame
    _arrays: ClassVar[tuple[str, ...]]
    _per_clip: ClassVar[tuple[str, ...]]  # the arrays with a row a clip
    _table_file: ClassVar[str] = "table"
    _document: ClassVar[str] = ""  # a field that is a .json file and no part of the metadata
    _memory_map: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        cls._arrays = tuple(name for name, kind in get_annotations(cls).items() if kind.startswith("np.ndarray"))
        cls._per_clip = vars(cls).get("_per_clip", cls._arrays)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record as a folder of ``.npy``, ``.csv`` and ``.json`` files."""
        return write_parts(path, type(self).__name__, self._parts())

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, check: bool = True) -> Self:
        """Read a record of this kind that :meth:`save` wrote; the arrays of clips stay on the disk, read-only.

        Parameters
        ----------
        path : path-like
        check : bool
            Whether each file is read once and checked against its sha256, which takes about a second a gigabyte.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is none, or a file of it is not the one that was written.
        """
        parts = read_parts(path, cls.__name__, memory_map=cls._memory_map, check=check)
        try:
            return cls(**cls._fields(parts, Path(path)))
        except (KeyError, TypeError) as error:
            raise ValueError(f"the {cls.__name__} at {path} is broken (its parts: {error}); make it again") from error

    def _parts(self) -> Parts:
        parts: Parts = {"arrays": {}, "tables": {}, "documents": {}, "meta": {}}
        for name, kind in get_annotations(type(self)).items():
            value, sort = getattr(self, name), "documents" if name == self._document else "meta"
            if kind == "pd.DataFrame":
                parts["tables"][self._table_file if name == "table" else name] = value
            elif name not in self._arrays:
                parts[sort][name] = dict(value) if isinstance(value, Mapping) else value
            elif value is not None:
                parts["arrays"][name] = value
        return parts

    @classmethod
    def _fields(cls, parts: Parts, folder: Path) -> dict[str, Any]:
        """The arguments of the record that these parts of a folder hold."""
        kinds = get_annotations(cls)
        files = {"table": cls._table_file}
        meta = {name: tuple(v) if kinds[name].startswith("tuple") else v for name, v in parts["meta"].items()}
        arrays = {name: parts["arrays"].get(name) for name in cls._arrays}
        tables = {n: parts["tables"][files.get(n, n)] for n, kind in kinds.items() if kind == "pd.DataFrame"}
        return {**arrays, **tables, **parts["documents"], **meta}


class _ClipRecord(_Record):
    """A record with one row a clip."""

    _required: ClassVar[tuple[str, ...]] = ("clip_id",)

    def __post_init__(self) -> None:
        table = check_table(self.table, owner=type(self).__name__, required=self._required)
        object.__setattr__(self, "table", table)
        for name in self._per_clip:
            array = getattr(self, name)
            if array is not None and len(array) != len(table):
                fault = f"{type(self).__name__}: {name} has {len(array)} rows but the table {len(table)}"
                raise ValueError(f"{fault}; both must come from the same clips")

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        made = describe_source(getattr(self, "source", {}))
        return f"{type(self).__name__}: {counted(len(self), 'clip')}" + (f"; {made}" if made else "")

    def select(self, clip_ids: Iterable[str]) -> Self:
        """The named clips, in the order named; ValueError if none is named or one is not here."""
        rows = positions(self.table, clip_ids, owner=f"this {type(self).__name__}")
        record: Any = self
        return replace(record, table=self.table.iloc[rows], **self._rows(rows))

    def _rows(self, rows: np.ndarray) -> dict[str, Any]:
        """These rows of the fields that hold a row a clip."""
        return {name: array[rows] for name in self._per_clip if (array := getattr(self, name)) is not None}


def _size(table: pd.DataFrame) -> str:
    """How many clips and people there are: one subject's name in two data sets is two people."""
    who = table.loc[table["subject"].notna(), ["subject", *(["dataset"] if "dataset" in table else [])]]
    return f"{counted(len(table), 'clip')} of {counted(len(who.drop_duplicates()), 'subject')}"


def _tally(table: pd.DataFrame, column: str) -> str:
    """How often each value of a column occurs, the most frequent first; empty where there is no such column."""
    counts = table[column].value_counts() if column in table else {}
    return ", ".join(f"{name or 'unknown'} {count}" for name, count in counts.items())


def _doubt_tally(table: pd.DataFrame) -> str:
    """How many clips take part in no pair and no AU figure because their AUs are in doubt; empty for none."""
    n = int((au_doubt(table) != "").sum()) if "action_units" in table or au_columns(table) else 0
    return f"{counted(n, 'clip')} with AUs in doubt" if n else ""


@dataclass(frozen=True, eq=False, repr=False)
class ClipIndex(_ClipRecord):
    """What a data set's spreadsheet and folders hold, before any frame is read.

    Attributes
    ----------
    table : DataFrame
        One row a clip: ``clip_id, dataset, subject, onset, apex, offset, fps, emotion, action_units, AU1 ...,
        frames_folder``. Frame numbers are those of the files. ``action_units_coded, action_units_sided,
        action_units_intensity, action_units_doubt`` hold what the coder wrote, as
        :func:`medn_lab.records.au_codings` reads it.
    problems : DataFrame
        One row a fault: ``clip_id, field, found, done, kept`` (what was found, what was done, whether the clip is
        kept).
    source : dict
        Which root, spreadsheet and coding this was read from.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "dataset": "own", "subject": ["01", "02"]})
    >>> ClipIndex(table)
    ClipIndex: 2 clips of 2 subjects (own 2); 0 problems, 0 rows left out
    """

    table: pd.DataFrame
    problems: pd.DataFrame = field(default_factory=NO_PROBLEMS)
    source: Mapping[str, Any] = field(default_factory=dict)

    _required = ("clip_id", "subject")
    _table_file, _document = "clips", "source"

    def __repr__(self) -> str:
        left_out = self.problems.loc[~self.problems["kept"].astype(bool), "clip_id"].nunique()
        problems = f"{counted(len(self.problems), 'problem')}, {counted(left_out, 'row')} left out"
        line = f"ClipIndex: {_size(self.table)} ({_tally(self.table, 'dataset') or 'no data set named'}); {problems}"
        return ", ".join(filter(None, [line, _doubt_tally(self.table)]))


@dataclass(frozen=True, eq=False, repr=False)
class Truth(_ClipRecord):
    """The truth, which is known of synthetic clips alone.

    Attributes
    ----------
    table : DataFrame
        ``clip_id, subject`` and whatever else was drawn (cue strength, AU intensities, distractors, head motion).
    displacement : (n, h, w, 2) float16
        True expression displacement onset to apex, (x, y) in pixels at the clips' size, head motion excluded.
    au_masks : (n_subjects, n_aus, h, w) bool
        Where each AU can move a subject's face, in the order of `subjects` and `aus`.
    cue_mask : (n_subjects, n_kinds, h, w) bool
        Where each kind of emotion cue is on a subject's face, in the order of `subjects` and `cue_kinds`. An array
        ``(n_subjects, h, w)`` is of one kind.
    cue_course : (n, t) float32
        The cue's strength in each frame, signed; 0 where there is none.
    subjects, aus, cue_kinds : tuple of str
        The first axes of the masks; AUs are named as the columns of the clips' table (``AU12``). Of several kinds of
        cue, the table's column ``cue_kind`` has that of each clip.

    Examples
    --------
    >>> from medn_lab.synthme import synthetic_clips
    >>> clips = synthetic_clips(n_subjects=1, clips_per_subject=1, n_frames=2, seed=22)
    >>> clips.truth, clips.truth.au_mask(clips.table["clip_id"][0], "AU12").shape
    (Truth: 1 clip, (64, 64))
    """

    table: pd.DataFrame
    displacement: np.ndarray
    au_masks: np.ndarray
    cue_mask: np.ndarray
    cue_course: np.ndarray
    subjects: tuple[str, ...]
    aus: tuple[str, ...]
    cue_kinds: tuple[str, ...] = ("cue",)

    _required = ("clip_id", "subject")
    _per_clip = ("displacement", "cue_course")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cue_mask.ndim == 3:
            object.__setattr__(self, "cue_mask", self.cue_mask[:, None])

    def au_mask(self, clip_id: str, au: str) -> np.ndarray:
        """Where an AU can move the face of a clip.

        Parameters
        ----------
        clip_id : str
        au : str
            One of `aus`, such as ``AU12``.

        Returns
        -------
        (h, w) bool

        Raises
        ------
        ValueError
            If the clip or the AU is not among those there are.
        """
        row = positions(self.table, clip_id, owner="Truth")[0]
        place = self.aus.index(one_of(au, self.aus, "the AU of a mask"))
        return self.au_masks[self.subjects.index(self.table["subject"].iloc[row]), place]

    def cue_region(self, clip_id: str) -> np.ndarray:
        """Where the clip's own kind of cue is on its face, (h, w) bool."""
        row = self.table.iloc[positions(self.table, clip_id, owner="Truth")[0]]
        kind = self.cue_kinds.index(row["cue_kind"]) if len(self.cue_kinds) > 1 else 0
        return self.cue_mask[self.subjects.index(row["subject"]), kind]


@dataclass(frozen=True, eq=False)
class ViewingCopy:
    """The frames of clips at the size that a person needs, each made when it is wanted; the network never reads them.

    Attributes
    ----------
    size : int
        Largest side of the frames in pixels; those of a small source are smaller.
    makers : tuple of callable
        One a clip, in the order of the clips: without arguments, it returns (t, h, w, 3) uint8.

    Examples
    --------
    >>> copy = ViewingCopy(128, (lambda: np.zeros((8, 128, 128, 3), np.uint8),))
    >>> copy, copy[0].shape
    (ViewingCopy(size=128), (8, 128, 128, 3))
    """

    size: int
    makers: tuple[Callable[[], np.ndarray], ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.makers)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.makers[row]()


def frames_of_strip(strip: bytes, *, n_frames: int) -> np.ndarray:
    """The frames of a clip from one picture file that holds them one below the other.

    Parameters
    ----------
    strip : bytes
        A WebP or PNG file.
    n_frames : int

    Returns
    -------
    (n_frames, h, w, 3) uint8

    Examples
    --------
    >>> from PIL import Image
    >>> Image.new("RGB", (16, 64)).save(file := io.BytesIO(), "PNG")
    >>> frames_of_strip(file.getvalue(), n_frames=4).shape
    (4, 16, 16, 3)
    """
    from PIL import Image

    picture = np.asarray(Image.open(io.BytesIO(strip)).convert("RGB"))
    return picture.reshape(n_frames, len(picture) // n_frames, *picture.shape[1:])


def _frames_of_file(file: Path, sha256: str, *, n_frames: int) -> np.ndarray:
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{file} is not the file that was written (its sha256 differs); prepare the set again")
    return frames_of_strip(content, n_frames=n_frames)


@dataclass(frozen=True, eq=False, repr=False)
class Clips(_ClipRecord):
    """Clips ready for the network, one row of the table each.

    A saved *prepared set* holds ``frames.npy, flow.npy, clips.csv, recipe.json, problems.csv``, and in ``viewing`` a
    WebP picture a clip where it was made with a viewing copy.

    Attributes
    ----------
    frames : (n, t, h, w, 3) uint8 or None
        RGB, registered to the onset, `t` frames spread from onset to offset; None where a data set circulates as flow
        alone.
    flow : (n, h, w, c) float32 or None
        Onset to apex displacement (x to the right, y down) in pixels at the size of the crop, (h, w). Where
        there are three channels, the recipe's ``coding`` says what they hold.
    table : DataFrame
        ``clip_id, dataset, subject, onset, apex, offset, fps, emotion, action_units, AU1 ...`` and, once a protocol is
        chosen, ``label``.
    recipe : dict
        How frames and flow were made; travels with every prediction.
    truth : Truth or None
        What SynthME knows of its own clips.
    problems : DataFrame
        As in :class:`ClipIndex`.
    viewing : ViewingCopy or None
        The same frames at a larger size, which players and figures show; one of another number of clips is dropped.
        :meth:`save` does not write it.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "subject": ["01", "02"], "label": ["fear", "others"]})
    >>> clips = Clips(np.zeros((2, 8, 64, 64, 3), np.uint8), np.zeros((2, 64, 64, 2), np.float32), table)
    >>> clips
    Clips: 2 clips of 2 subjects, 8 frames and flow (2 channels) at 64x64 px
      data set  not named
      label     fear 1, others 1
      recipe    not recorded
    >>> clips.with_table(clips.table[clips.table["subject"] == "02"]).frames.shape
    (1, 8, 64, 64, 3)
    """

    frames: np.ndarray | None
    flow: np.ndarray | None
    table: pd.DataFrame
    recipe: Mapping[str, Any] = field(default_factory=dict)
    truth: Truth | None = None
    problems: pd.DataFrame = field(default_factory=NO_PROBLEMS)
    viewing: ViewingCopy | None = None

    _required = ("clip_id", "subject")
    _table_file, _document, _memory_map = "clips", "recipe", True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames is None and self.flow is None:
            raise ValueError("Clips need frames, flow or both; neither was given")
        frames, flow = self.frames, self.flow
        if frames is not None and (frames.shape[4:] != (3,) or frames.dtype != np.uint8):
            raise ValueError(f"frames must be (n, t, h, w, 3) uint8; these are {frames.shape} {frames.dtype}")
        if flow is not None and flow.shape[3:] not in ((2,), (3,)):
            raise ValueError(f"flow must be (n, h, w, 2 or 3); this is {flow.shape}")
        if self.viewing is not None and len(self.viewing) != len(self.table):
            object.__setattr__(self, "viewing", None)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a crop in pixels."""
        array: Any = self.flow if self.frames is None else self.frames[:, 0]
        return array.shape[1], array.shape[2]

    @property
    def aus(self) -> tuple[str, ...]:
        """The AU columns of the table."""
        return tuple(au_columns(self.table))

    def __repr__(self) -> str:
        h, w = self.size
        frames = "no frames" if self.frames is None else f"{self.frames.shape[1]} frames"
        flow = "no flow" if self.flow is None else f"flow ({self.flow.shape[-1]} channels)"
        label = "label" if "label" in self.table else "emotion"
        recipe = (f"{k} {'given' if isinstance(v, Mapping) else v}" for k, v in self.recipe.items())
        facts = {
            "data set": _tally(self.table, "dataset") or "not named",
            label: _tally(self.table, label) or "none",
            "recipe": ", ".join(recipe) or "not recorded",
            "AUs": _doubt_tally(self.table),
        }
        lines = [f"Clips: {_size(self.table)}, {frames} and {flow} at {w}x{h} px"]
        return "\n".join(lines + [f"  {name:<9} {fact}" for name, fact in facts.items() if fact])

    def _rows(self, rows: np.ndarray) -> dict[str, Any]:
        names = list(self.table["clip_id"].iloc[rows])
        truth = None if self.truth is None else self.truth.select(names)
        problems = self.problems[self.problems["clip_id"].isin(names)]
        viewing = self.viewing and replace(self.viewing, makers=tuple(self.viewing.makers[row] for row in rows))
        return super()._rows(rows) | {"truth": truth, "problems": problems, "viewing": viewing}

    def where(self, **columns: object) -> Clips:
        """The clips whose columns hold the given values; a list of values means any of them.

        Examples
        --------
        ``clips.where(subject=["s01", "s02"], emotion="surprise")``
        """
        keep = np.ones(len(self), dtype=bool)
        for name, value in columns.items():
            column = self.table[one_of(name, self.table.columns, "a column")]
            keep &= column.isin(value if pd.api.types.is_list_like(value) else [value]).to_numpy()
        if not keep.any():
            wanted = ", ".join(f"{name}={value!r}" for name, value in columns.items())
            raise ValueError(f"the selection is empty: none of {len(self)} clips has {wanted}")
        return self.select(self.table.loc[keep, "clip_id"])

    def with_table(self, table: pd.DataFrame) -> Clips:
        """These clips under another table of the same clip ids (for instance the kept rows of ``to_classes``)."""
        return replace(self.select(table["clip_id"]), table=table)

    def _parts(self) -> Parts:
        parts = super()._parts()
        del parts["meta"]["viewing"]
        if (truth := parts["meta"].pop("truth")) is not None:
            of_truth = truth._parts()
            parts["arrays"] |= {f"truth_{name}": array for name, array in of_truth["arrays"].items()}
            parts["tables"]["truth"] = truth.table
            parts["meta"]["truth"] = of_truth["meta"]
        return parts

    @classmethod
    def _fields(cls, parts: Parts, folder: Path) -> dict[str, Any]:
        parts = {part: dict(held) for part, held in parts.items()}
        noted, of_truth = parts["documents"].pop("viewing", None), parts["meta"].get("truth")
        viewing = truth = None
        if noted is not None:
            strips = [folder / "viewing" / f"{row:06d}.webp" for row in range(len(noted["sha256"]))]
            read = partial(_frames_of_file, n_frames=noted["n_frames"])
            makers = [partial(read, *one) for one in zip(strips, noted["sha256"], strict=True)]
            viewing = ViewingCopy(noted["size"], tuple(makers))
        if of_truth is not None:
            arrays = {name[6:]: array for name, array in parts["arrays"].items() if name.startswith("truth_")}
            held = {"arrays": arrays, "tables": {"table": parts["tables"].pop("truth")}, "documents": {}}
            truth = Truth(**Truth._fields({**held, "meta": of_truth}, folder))
        return super()._fields({**parts, "meta": {}}, folder) | {"truth": truth, "viewing": viewing}
