"""Which positions each keep rate kept, over the face."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import Clips, KeptTokens, positions
from medn_lab.view import theme
from medn_lab.view.images import data_uri, draw_outline, enlarge, magnitude_colours, region_of, to_webp
from medn_lab.view.rows import clip_moments, clip_row, describe

PIXELS = 360


def plot_kept_tokens(
    kept: KeptTokens, clip_id: str, *, clips: Clips, region: str | None = None, width: int | None = None
) -> go.Figure:
    """Draw the positions that the emotion branch kept of a clip: what it ranked them by, then each keep rate.

    Positions that were dropped are darkened. On synthetic clips a white line goes around the planted region, and under
    each picture stands how much of it is covered, beside chance (the share of positions kept).

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
    '<b>Kept positions</b> · synthme22-s01-c01 · subject synthme22-s01 · happiness · AU14'
    """
    place = int(positions(kept.table, clip_id, owner="these kept tokens")[0])
    row, about = clip_row(clips, clip_id)
    if clips.frames is None:
        raise ValueError("these clips have no frames to draw kept positions over")
    named = region or (kept.region if clips.truth is not None else "")
    outline = region_of(clips, clip_id, named) if named else None
    apex = clip_moments(clips, clip_id).apex
    face = enlarge(np.asarray(clips.frames[row, 0 if apex is None else apex]), PIXELS)
    pictures = [_ranked(face, kept.scores[place])] + [dim_dropped(face, mask) for mask in kept.masks[place]]
    if outline is not None and outline.any():
        pictures = [draw_outline(picture, outline) for picture in pictures]
    count = len(pictures)
    width = 216 * count + 24 if width is None else width
    cell = (width - 24) / count
    top, foot = 74, 48
    figure = make_subplots(rows=1, cols=count, horizontal_spacing=12 / (count * cell))
    theme.finish(
        figure,
        width=width,
        height=round(top + cell - 12 + foot),
        title=f"<b>Kept positions</b> · {describe(about)}",
        margin=(12, 12, top, foot),
    )
    headings, notes = _words(kept, place, named)
    for column, (picture, heading, note) in enumerate(zip(pictures, headings, notes, strict=True), start=1):
        _place(figure, column, picture, heading, note)
    return figure


def _words(kept: KeptTokens, place: int, region: str) -> tuple[list[str], list[str]]:
    """What stands above and below each picture."""
    grid = kept.masks.shape[-1]
    headings, notes = ["<b>ranking</b>"], ["bright: kept first"]
    for scale, (rate, share) in enumerate(zip(kept.keep_rates, kept.kept_shares, strict=True)):
        count = int(kept.masks[place, scale].sum())
        headings.append(f"<b>keep {rate:g}</b> · {count} of {grid * grid}")
        note = f"weight {kept.mix[place, scale]:.2f}"
        if kept.cover is not None and region == kept.region:
            cover = kept.cover[place, scale]
            covers = f"{cover:.0%} of the {region}, chance {share:.0%}"
            note += f"<br>no {region} in this clip" if np.isnan(cover) else f"<br>{covers}"
        notes.append(note)
    return headings, notes


def _ranked(face: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The rank of each position as glow over the grey face."""
    ranks = scores.ravel().argsort().argsort().reshape(scores.shape) / max(1, scores.size - 1)
    glow = magnitude_colours(_over(ranks, face.shape[:2]))
    grey = face.mean(axis=2, keepdims=True).repeat(3, axis=2)
    return np.clip(0.5 * grey + 0.5 * glow, 0, 255).astype(np.uint8)


def dim_dropped(face: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A face (h, w, 3) uint8, dark and without colour where its positions (grid, grid) bool were dropped."""
    inside = _over(mask, face.shape[:2]).astype(bool)[..., None]
    dropped = 0.32 * face.mean(axis=2, keepdims=True).repeat(3, axis=2) + 14
    return np.where(inside, face, dropped).astype(np.uint8)


def _over(grid: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A grid's values at every pixel of a picture."""
    rows = np.arange(shape[0]) * grid.shape[0] // shape[0]
    columns = np.arange(shape[1]) * grid.shape[1] // shape[1]
    return grid[np.ix_(rows, columns)]


def _place(figure: go.Figure, column: int, picture: np.ndarray, heading: str, note: str) -> None:
    where = {"row": 1, "col": column}
    figure.add_trace(go.Image(source=data_uri(to_webp([picture], quality=86)), hoverinfo="skip"), **where)
    height, width = picture.shape[:2]
    anchor = "x" if column == 1 else f"x{column}"
    figure.update_xaxes(visible=False, range=[-0.5, width - 0.5], constrain="domain", **where)
    figure.update_yaxes(visible=False, range=[height - 0.5, -0.5], scaleanchor=anchor, constrain="domain", **where)
    middle = {"xref": "x domain", "yref": "y domain", "x": 0.5, "showarrow": False}
    figure.add_annotation(text=heading, y=1, yanchor="bottom", font={"size": 12.5}, **middle, **where)
    if note:
        figure.add_annotation(text=note, y=0, yanchor="top", font={"size": 12, "color": theme.INK}, **middle, **where)
