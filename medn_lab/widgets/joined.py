"""Clips of one row each, put together under new names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.records import Clips, Truth, ViewingCopy


def join_clips(parts: Mapping[str, Clips]) -> Clips:
    """One record of several one-row records, each under its new clip id.

    Parameters
    ----------
    parts : mapping of str to Clips
        The new clip id of each.

    Returns
    -------
    Clips
        Without truth where one has none, or two of one subject do not agree on its face.

    Raises
    ------
    ValueError
        If they differ in size, number of frames, or what they hold.
    """
    shapes = {name: _shape(clips) for name, clips in parts.items()}
    first = next(iter(shapes))
    for name, shape in shapes.items():
        if shape != shapes[first]:
            raise ValueError(f"{first} has {shapes[first]} and {name} {shape}; they do not go together")
    records = list(parts.values())
    copies = [one.viewing for one in records if one.viewing is not None]
    makers = [one.makers for one in copies]
    recipes = [one.recipe for one in records]
    return Clips(
        frames=None if records[0].frames is None else np.concatenate([one.frames for one in records]),
        flow=None if records[0].flow is None else np.concatenate([one.flow for one in records]),
        table=pd.concat([one.table.assign(clip_id=name) for name, one in parts.items()], ignore_index=True),
        recipe={key: value for key, value in recipes[0].items() if all(one.get(key) == value for one in recipes)},
        truth=_joined_truth(parts),
        viewing=ViewingCopy(copies[0].size, tuple(one[0] for one in makers)) if len(makers) == len(records) else None,
    )


def _shape(clips: Clips) -> str:
    frames = "no frames" if clips.frames is None else f"{clips.frames.shape[1]} frames"
    return f"{frames} of {clips.size[1]}x{clips.size[0]} px and {'no flow' if clips.flow is None else 'flow'}"


def _joined_truth(parts: Mapping[str, Clips]) -> Truth | None:
    truths = [one.truth for one in parts.values() if one.truth is not None]
    if len(truths) < len(parts) or len({(truth.aus, truth.cue_kinds) for truth in truths}) > 1:
        return None
    faces: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for truth in truths:
        for subject, *masks in zip(truth.subjects, truth.au_masks, truth.cue_mask, strict=True):
            before = faces.setdefault(subject, (masks[0], masks[1]))
            if not all(np.array_equal(a, b) for a, b in zip(before, masks, strict=True)):
                return None
    tables = [truth.table.assign(clip_id=name) for name, truth in zip(parts, truths, strict=True)]
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in truths]) for name in ("displacement", "cue_course")
    }
    au_masks, cue_mask = (np.stack(masks) for masks in zip(*faces.values(), strict=True))
    table = pd.concat(tables, ignore_index=True)
    return replace(truths[0], table=table, au_masks=au_masks, cue_mask=cue_mask, subjects=tuple(faces), **arrays)
