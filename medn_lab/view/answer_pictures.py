"""What a model is shown and what it looks at: the face, its flow as arrows, the places that were kept."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medn_lab.records import Clips, KeptTokens, positions
from medn_lab.view.images import Magnifier, draw_arrows, enlarge
from medn_lab.view.rows import clip_moments, clip_row

STILL = 0.1
"""Pixels of 64: arrows of a flow that is nowhere longer would be arrows of noise, which makes up to as much."""


def table_allows(clips: Clips, clip_id: str) -> pd.DataFrame | None:
    """What SynthME's table allows for a clip played by hand.

    Parameters
    ----------
    clips : Clips
    clip_id : str

    Returns
    -------
    DataFrame or None
        Index the emotions; ``given_aus`` and ``given_cue`` in [0, 1], NaN where the AU set is not in the table. None
        where the clips' truth does not say.
    """
    if clips.truth is None:
        return None
    columns = [name for name in clips.truth.table.columns if name.startswith("given_aus_")]
    if not columns:
        return None
    row = clips.truth.table.iloc[int(positions(clips.truth.table, clip_id, owner="this truth")[0])]
    emotions = [name.removeprefix("given_aus_") for name in columns]
    return pd.DataFrame(
        {given: [float(row[f"{given}_{emotion}"]) for emotion in emotions] for given in ("given_aus", "given_cue")},
        index=emotions,
    )


def face_pictures(
    clips: Clips, clip_id: str, *, kept: KeptTokens | None, size: int, magnify: float
) -> dict[str, np.ndarray]:
    """The apex with its motion made larger, the flow as arrows over the onset, and the kept places.

    Parameters
    ----------
    clips : Clips
    clip_id : str
    kept : KeptTokens or None
    size : int
        Pixels of a picture's longer side.
    magnify : float
        How many times as large the motion is drawn.

    Returns
    -------
    dict of (h, w, 3) uint8
        ``face``, ``flow`` and ``kept``, as far as there is something to draw.
    """
    place, _ = clip_row(clips, clip_id)
    flow = None if clips.flow is None else np.asarray(clips.flow[place])[..., :2]
    if clips.frames is None:
        ground = np.full((size, size, 3), 205, dtype=np.uint8)
        return {} if flow is None else {"flow": _arrows(ground, flow)[0]}
    frames = np.asarray(clips.frames[place])
    apex = clip_moments(clips, clip_id).apex
    shown = len(frames) // 2 if apex is None else apex
    pictures = {"face": Magnifier(frames, flow, apex=apex, size=size).frame(shown, magnify)}
    if flow is not None:
        pictures["flow"] = _arrows(enlarge(frames[0], size), flow)[0]
    if kept is not None:
        row = int(positions(kept.table, clip_id, owner="these kept tokens")[0])
        pictures["kept"] = draw_kept(enlarge(frames[shown], size), kept.masks[row])
    return pictures


def arrow_gain(clips: Clips, clip_id: str) -> float | None:
    """How many times longer than the motion the arrows of `face_pictures` are; None where there are none."""
    place, _ = clip_row(clips, clip_id)
    if clips.flow is None:
        return None
    return _arrows(np.zeros((8, 8, 3), np.uint8), np.asarray(clips.flow[place])[..., :2])[1]


def _arrows(picture: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, float | None]:
    if np.hypot(flow[..., 0], flow[..., 1]).max() * 64 / flow.shape[1] < STILL:
        return picture, None
    return draw_arrows(picture, flow)


def draw_kept(face: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """A face, dark where every keep rate dropped a place, dimmed where only some kept it.

    Parameters
    ----------
    face : (h, w, 3) uint8
    masks : (n_scales, grid, grid) bool

    Returns
    -------
    (h, w, 3) uint8
    """
    share = masks.mean(axis=0)
    rows = np.arange(face.shape[0]) * share.shape[0] // face.shape[0]
    columns = np.arange(face.shape[1]) * share.shape[1] // face.shape[1]
    share = share[np.ix_(rows, columns)][..., None]
    grey = face.mean(axis=2, keepdims=True).repeat(3, axis=2)
    return np.where(share > 0, face * (0.55 + 0.45 * share), 0.26 * grey + 12).astype(np.uint8)
