"""Clips of one row each, put together under new names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from medn_lab.records import Clips, Truth


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
    named = [clips.table.assign(clip_id=name) for name, clips in parts.items()]
    records = list(parts.values())
    return Clips(
        frames=None if records[0].frames is None else np.concatenate([one.frames for one in records]),
        flow=None if records[0].flow is None else np.concatenate([one.flow for one in records]),
        table=pd.concat(named, ignore_index=True),
        recipe=records[0].recipe if all(one.recipe == records[0].recipe for one in records) else _common(records),
        truth=_joined_truth(parts),
    )


def _shape(clips: Clips) -> str:
    frames = "no frames" if clips.frames is None else f"{clips.frames.shape[1]} frames"
    return f"{frames} of {clips.size[1]}x{clips.size[0]} px and {'no flow' if clips.flow is None else 'flow'}"


def _common(records: list[Clips]) -> dict[str, object]:
    """What all recipes say alike."""
    return {
        key: value
        for key, value in records[0].recipe.items()
        if all(key in one.recipe and one.recipe[key] == value for one in records)
    }


def _joined_truth(parts: Mapping[str, Clips]) -> Truth | None:
    known = {name: clips.truth for name, clips in parts.items() if clips.truth is not None}
    truths = list(known.values())
    if len(truths) < len(parts) or len({(truth.aus, truth.cue_kinds) for truth in truths}) > 1:
        return None
    faces: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for truth in truths:
        for place, subject in enumerate(truth.subjects):
            masks = truth.au_masks[place], truth.cue_mask[place]
            before = faces.setdefault(subject, masks)
            if not all(np.array_equal(a, b) for a, b in zip(before, masks, strict=True)):
                return None
    tables = [truth.table.assign(clip_id=name) for name, truth in known.items()]
    return replace(
        truths[0],
        table=pd.concat(tables, ignore_index=True),
        displacement=np.concatenate([truth.displacement for truth in truths]),
        au_masks=np.stack([au for au, _ in faces.values()]),
        cue_mask=np.stack([cue for _, cue in faces.values()]),
        cue_course=np.concatenate([truth.cue_course for truth in truths]),
        subjects=tuple(faces),
    )
