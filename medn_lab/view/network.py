"""Figures of what happens inside the network: the tokens that SEVit kept, and the gate of CoFM."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from medn_lab.records import BranchFeatures, Clips, KeptTokens, positions
from medn_lab.view import theme
from medn_lab.view.images import draw_outline, enlarge, magnitude_colours, region_of
from medn_lab.view.marks import Tile, room_for, rows_from_the_top, tiles
from medn_lab.view.rows import clip_moments, clip_row, describe, shown_frames
from medn_lab.view.theme import as_text

PIXELS = 360


def plot_kept_tokens(
    kept: KeptTokens, clip_id: str, *, clips: Clips, region: str | None = None, width: int | None = None
) -> go.Figure:
    """Draw the positions that the emotion branch kept of a clip: what it ranked them by, then each keep rate.

    Positions that were dropped are darkened. On synthetic clips a white line goes around the planted region, and under
    each picture is the share of it that is covered, with chance (the share of positions kept).

    Parameters
    ----------
    kept : KeptTokens
    clip_id : str
    clips : Clips
        With frames; joined by clip_id.
    region : str or None
        What to draw a line around: ``cue``, an AU or ``AUs``; the region that `kept` was measured against where None.
    width : int or None
        In pixels; 216 a picture where None.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the clip is not in both, the clips have no frames, or a region is asked for that was not planted.

    See Also
    --------
    medn_lab.diagnose.kept_tokens

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> kept = medn.diagnose.kept_tokens(medn.load_pretrained("medn_tiny.synthme_v2"), clips)
    >>> figure = plot_kept_tokens(kept, clips.table["clip_id"][0], clips=clips)
    >>> figure.layout.title.text
    '<b>Kept tokens</b> · synthme22-s01-c01 · subject synthme22-s01 · happiness · AU14'
    """
    place = int(positions(kept.table, clip_id, owner="these kept tokens")[0])
    row, about = clip_row(clips, clip_id)
    frames, _ = shown_frames(clips, row)
    if frames is None:
        raise ValueError("these clips have no frames to draw kept positions over")
    named = region or (kept.region if clips.truth is not None else "")
    outline = region_of(clips, clip_id, named) if named else None
    apex = clip_moments(clips, clip_id).apex
    face = enlarge(frames[0 if apex is None else apex], PIXELS)
    scores = kept.scores[place]
    ranks = scores.ravel().argsort().argsort().reshape(scores.shape) / max(1, scores.size - 1)
    glow = 0.5 * face.mean(axis=2, keepdims=True) + 0.5 * magnitude_colours(_over(ranks, face.shape[:2]))
    pictures = [glow.astype(np.uint8), *[dim_dropped(face, mask) for mask in kept.masks[place]]]
    if outline is not None and outline.any():
        pictures = [draw_outline(picture, outline) for picture in pictures]
    headings, notes = ["<b>ranking</b>"], ["bright: kept first"]
    for scale, rate in enumerate(kept.keep_rates):
        mask = kept.masks[place, scale]
        headings.append(f"<b>keep {rate:g}</b> · {int(mask.sum())} of {mask.size}")
        notes.append(f"weight {kept.mix[place, scale]:.2f}")
        if kept.cover is not None and named == kept.region:
            notes[-1] += f"<br>{cover_text(kept, place, scale)}"
    columns = [[Tile(*parts)] for parts in zip(pictures, headings, notes, strict=True)]
    cell = 216 if width is None else (width - 24) // len(columns)
    return tiles(columns, title=f"<b>Kept tokens</b> · {describe(about)}", cell=cell)


def cover_text(kept: KeptTokens, place: int, scale: int) -> str:
    """The share of the planted region that was kept of a clip at a keep rate, with chance; empty where not measured."""
    if kept.cover is None:
        return ""
    cover = kept.cover[place, scale]
    if np.isnan(cover):
        return f"no {kept.region} in this clip"
    return f"{cover:.0%} of the {kept.region}, chance {kept.kept_shares[scale]:.0%}"


def dim_dropped(face: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A face (h, w, 3) uint8, dark and without colour where its positions (grid, grid) bool were dropped."""
    inside = _over(mask, face.shape[:2]).astype(bool)[..., None]
    dropped = 0.32 * face.mean(axis=2, keepdims=True).repeat(3, axis=2) + 14
    return np.where(inside, face, dropped).astype(np.uint8)


def _over(grid: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A grid's values at every pixel of a picture."""
    rows, columns = (np.arange(side) * n // side for side, n in zip(shape, grid.shape, strict=True))
    return grid[np.ix_(rows, columns)]


def plot_gate(features: BranchFeatures, *, by: str = "label", width: int = 820, height: int | None = None) -> go.Figure:
    """Draw the gate of every clip, grouped by a column of the table.

    A point is a clip: the mean of its gate over the fused feature's dimensions, 1 all motion, 0 all emotion. The bar is
    the group's median. A gate near 0.5 everywhere means that both sides are always used; it does not mean that they
    are used for different things.

    Parameters
    ----------
    features : BranchFeatures
        Of a network with both branches and CoFM.
    by : str
        Column to group by, such as ``label`` or ``action_units``.
    width : int
        In pixels.
    height : int, optional
        In pixels; by default 34 a group.

    Returns
    -------
    Figure
        One trace a group, the largest share of motion first.

    Raises
    ------
    ValueError
        If there is no gate (one branch, or concatenation and sum), or no such column.

    See Also
    --------
    medn_lab.evaluate.extract_features

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "label": ["fear", "others"] * 2})
    >>> fused = np.zeros((4, 8))
    >>> features = BranchFeatures(fused, fused, fused, table, gate=np.full((4, 8), 0.7))
    >>> figure = plot_gate(features)
    >>> figure.layout.title.text
    '<b>Gate of CoFM</b> · 4 clips by label'
    """
    if features.gate is None:
        raise ValueError("these features have no gate: only a network with both branches and CoFM has one")
    if by not in features.table:
        raise ValueError(f"the table has no column {by!r}; it has {', '.join(map(str, features.table.columns))}")
    gates = features.gate.mean(axis=1)
    groups = features.table[by].astype(object).where(features.table[by].notna(), "unknown").astype(str).to_numpy()
    order = sorted(set(groups), key=lambda name: (-np.median(gates[groups == name]), name))
    scatter = np.random.default_rng(0).uniform(-0.26, 0.26, len(gates))  # so that points do not hide each other
    figure = go.Figure()
    for place, name in enumerate(order):
        rows = np.flatnonzero(groups == name)
        colour = theme.emotion_colour(name) if by in ("label", "emotion") else theme.category_style(place)[0]
        figure.add_trace(
            go.Scatter(
                x=gates[rows], y=place + scatter[rows], mode="markers", name=as_text(name), showlegend=False,
                marker={"size": 5, "color": colour, "opacity": 0.6},
                customdata=[as_text(clip_id) for clip_id in features.table["clip_id"].to_numpy()[rows]],
                hovertemplate="%{customdata}: %{x:.3f}<extra>%{fullData.name}</extra>",
            )
        )  # fmt: skip
        median, line = float(np.median(gates[rows])), {"color": colour, "width": 3}
        figure.add_shape(type="line", x0=median, x1=median, y0=place - 0.36, y1=place + 0.36, line=line)
    names = [f"{as_text(name)} ({(groups == name).sum()})" for name in order]
    title = f"<b>Gate of CoFM</b> · {len(gates)} clips by {as_text(by.replace('_', ' '))}"
    theme.finish(
        figure, width=width, height=height or 116 + 34 * len(order), title=title, margin=(room_for(names), 24, 48, 52)
    )
    rows_from_the_top(figure, names)
    figure.update_xaxes(title_text="mean gate: 0 emotion, 1 motion")
    return figure
