"""The clips themselves, and a synthetic clip's truth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.records.clip_index import doubt_tally, no_problems, tally
from medn_lab.records.rows import au_columns, check_rows, check_table, positions
from medn_lab.records.storage import Parts, read_parts, write_parts


@dataclass(frozen=True, eq=False, repr=False)
class Truth:
    """What is known of synthetic clips and of no others.

    Attributes
    ----------
    table : DataFrame
        ``clip_id, subject`` and whatever else was drawn (cue strength, AU intensities, distractors, head motion).
    displacement : (n, h, w, 2) float16
        True expression displacement onset to apex, (x, y) in pixels at the clips' size, head motion excluded.
    au_masks : (n_subjects, n_aus, h, w) bool
        Where each AU can move a subject's face, in the order of `subjects` and `aus`.
    cue_mask : (n_subjects, n_kinds, h, w) bool
        Where each kind of emotion cue lies on a subject's face, in the order of `subjects` and `cue_kinds`. An array
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
    (Truth of 1 synthetic clips: 16 AUs, 1 faces, (64, 64))
    """

    table: pd.DataFrame
    displacement: np.ndarray
    au_masks: np.ndarray
    cue_mask: np.ndarray
    cue_course: np.ndarray
    subjects: tuple[str, ...]
    aus: tuple[str, ...]
    cue_kinds: tuple[str, ...] = ("cue",)

    def __post_init__(self) -> None:
        required = ("clip_id", "subject", "cue_kind")[: 2 + (len(self.cue_kinds) > 1)]
        object.__setattr__(self, "table", check_table(self.table, owner="Truth", required=required))
        if self.cue_mask.ndim == 3:
            object.__setattr__(self, "cue_mask", self.cue_mask[:, None])
        check_rows(len(self.table), owner="Truth", displacement=self.displacement, cue_course=self.cue_course)
        check_rows(len(self.subjects), owner="Truth masks", au_masks=self.au_masks, cue_mask=self.cue_mask)
        if self.cue_mask.shape[1] != len(self.cue_kinds):
            raise ValueError(
                f"cue_mask must be (n_subjects, n_kinds, h, w) with a mask for each of {len(self.cue_kinds)} cue_kinds;"
                f" it is {self.cue_mask.shape}"
            )

    def __repr__(self) -> str:
        return f"Truth of {len(self.table)} synthetic clips: {len(self.aus)} AUs, {len(self.subjects)} faces"

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
        if au not in self.aus:
            raise ValueError(f"no mask for {au!r}; there are {', '.join(self.aus)}")
        return self.au_masks[self.subjects.index(self.table["subject"].iloc[row]), self.aus.index(au)]

    def cue_region(self, clip_id: str) -> np.ndarray:
        """Where the clip's own kind of cue lies on its face, (h, w) bool."""
        row = self.table.iloc[positions(self.table, clip_id, owner="Truth")[0]]
        kind = self.cue_kinds.index(row["cue_kind"]) if len(self.cue_kinds) > 1 else 0
        return self.cue_mask[self.subjects.index(row["subject"]), kind]

    def _take(self, clip_ids: list[str]) -> Truth:
        rows = positions(self.table, clip_ids, owner="Truth")
        table = self.table.iloc[rows]
        return replace(self, table=table, displacement=self.displacement[rows], cue_course=self.cue_course[rows])


@dataclass(frozen=True, eq=False, repr=False)
class Clips:
    """Clips ready for the network, one row of the table each.

    Attributes
    ----------
    frames : (n, t, h, w, 3) uint8 or None
        RGB, registered to the onset, `t` frames spread from onset to offset; None where a data set circulates as flow
        alone.
    flow : (n, h, w, 2) float32 or None
        Onset to apex displacement (x to the right, y down) in pixels at the size of the crop, (h, w).
    table : DataFrame
        ``clip_id, dataset, subject, onset, apex, offset, fps, emotion, action_units, AU1 ...`` and, once a protocol is
        chosen, ``label``.
    recipe : dict
        How frames and flow were made; travels with every prediction.
    truth : Truth or None
        What SynthME knows of its own clips.
    problems : DataFrame
        As in :class:`ClipIndex`.

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
    problems: pd.DataFrame = field(default_factory=no_problems)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", check_table(self.table, owner="Clips", required=("clip_id", "subject")))
        if self.frames is None and self.flow is None:
            raise ValueError("Clips need frames, flow or both; neither was given")
        check_rows(len(self.table), owner="Clips", frames=self.frames, flow=self.flow)
        if self.frames is not None and (self.frames.ndim != 5 or self.frames.shape[-1] != 3):
            raise ValueError(f"frames must be (n, t, h, w, 3); these are {self.frames.shape}")
        if self.frames is not None and self.frames.dtype != np.uint8:
            raise ValueError(f"frames must be uint8 from 0 to 255; these are {self.frames.dtype}")
        if self.flow is not None and (self.flow.ndim != 4 or self.flow.shape[-1] not in (2, 3)):
            raise ValueError(f"flow must be (n, h, w, 2 or 3); this is {self.flow.shape}")

    def __len__(self) -> int:
        return len(self.table)

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
        doubt = doubt_tally(self.table)
        recipe = (f"{k} {'given' if isinstance(v, Mapping) else v}" for k, v in self.recipe.items())
        return (
            f"Clips: {len(self)} clips of {self.table['subject'].nunique()} subjects,"
            f" {frames} and {flow} at {w}x{h} px\n"
            f"  data set  {tally(self.table, 'dataset') or 'not named'}\n"
            f"  {label:<9} {tally(self.table, label) or 'none'}\n"
            f"  recipe    {', '.join(recipe) or 'not recorded'}" + (f"\n  AUs       {doubt}" if doubt else "")
        )

    def select(self, clip_ids: Iterable[str]) -> Clips:
        """The named clips, in the order named.

        Raises
        ------
        ValueError
            If no clip is named, or one is not here.
        """
        rows = positions(self.table, clip_ids, owner="these Clips")
        table = self.table.iloc[rows]
        names = list(table["clip_id"])
        return replace(
            self,
            frames=None if self.frames is None else self.frames[rows],
            flow=None if self.flow is None else self.flow[rows],
            table=table,
            truth=None if self.truth is None else self.truth._take(names),
            problems=self.problems[self.problems["clip_id"].isin(names)],
        )

    def where(self, **columns: object) -> Clips:
        """The clips whose columns hold the given values; a list of values means any of them.

        Examples
        --------
        ``clips.where(subject=["s01", "s02"], emotion="surprise")``
        """
        keep = np.ones(len(self), dtype=bool)
        for name, value in columns.items():
            if name not in self.table:
                raise ValueError(f"no column {name!r}; there are {', '.join(self.table.columns)}")
            values = list(value) if isinstance(value, (list, tuple, set, np.ndarray, pd.Series)) else [value]
            keep &= self.table[name].isin(values).to_numpy()
        if not keep.any():
            said = ", ".join(f"{name}={value!r}" for name, value in columns.items())
            raise ValueError(f"the selection is empty: none of {len(self)} clips has {said}")
        return self.select(self.table.loc[keep, "clip_id"])

    def with_table(self, table: pd.DataFrame) -> Clips:
        """These clips under another table of the same clip ids (for instance the kept rows of ``to_classes``)."""
        chosen = self.select(table["clip_id"])
        return replace(chosen, table=table)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a *prepared set*: ``frames.npy, flow.npy, clips.csv, recipe.json, problems.csv``."""
        arrays = {name: value for name, value in (("frames", self.frames), ("flow", self.flow)) if value is not None}
        tables = {"clips": self.table, "problems": self.problems}
        meta: dict[str, Any] = {}
        if self.truth is not None:
            for name in ("displacement", "au_masks", "cue_mask", "cue_course"):
                arrays[f"truth_{name}"] = getattr(self.truth, name)
            tables["truth"] = self.truth.table
            meta["truth"] = {name: list(getattr(self.truth, name)) for name in ("subjects", "aus", "cue_kinds")}
        return write_parts(path, "Clips", Parts(arrays, tables, {"recipe": dict(self.recipe)}, meta))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, check: bool = True) -> Clips:
        """Open a prepared set; its arrays stay on the disk, memory-mapped and read-only.

        Parameters
        ----------
        path : path-like
        check : bool
            Whether each file is read once and held against its sha256, which takes about a second a gigabyte.

        Returns
        -------
        Clips

        Raises
        ------
        FileNotFoundError, ValueError
            If there is none, or a file of it is not the one that was written.
        """
        parts = read_parts(path, "Clips", memory_map=True, check=check)
        truth = None
        if "truth" in parts.meta:
            arrays: dict[str, Any] = {
                n.removeprefix("truth_"): a for n, a in parts.arrays.items() if n.startswith("truth_")
            }
            names: dict[str, Any] = {name: tuple(value) for name, value in parts.meta["truth"].items()}
            truth = Truth(table=parts.tables["truth"], **arrays, **names)
        return cls(
            frames=parts.arrays.get("frames"),
            flow=parts.arrays.get("flow"),
            table=parts.tables["clips"],
            recipe=parts.documents["recipe"],
            truth=truth,
            problems=parts.tables["problems"],
        )
