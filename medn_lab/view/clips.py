"""Figures of one clip: onset, apex, flow and scores; the flow by channel; registration; magnified motion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import Clips, Predictions
from medn_lab.view import theme
from medn_lab.view.answers import ABSENT, clip_au_scores, clip_scores
from medn_lab.view.images import (
    AGAINST,
    FOR,
    SCALED_NOTE,
    Magnifier,
    draw_arrows,
    draw_magnitude,
    enlarge,
    flow_magnitude,
    magnitude_colours,
    motion_field,
    resize_field,
    scaled_by_clip,
)
from medn_lab.view.marks import Tile, bars, room_for, tile, tiles, wrapped
from medn_lab.view.rows import Moments, clip_moments, clip_row, coded_aus, describe, shown_frames
from medn_lab.view.theme import as_text

PIXELS = 256
"""Longer side to which a picture is enlarged before it is embedded."""

DIFFERENCE_GAIN = 4.0
"""By how much the difference of two frames is made larger before it is drawn around grey."""

_MOST_AUS = 7
_HOVERED = 64  # values of the magnitude along a side, under the pointer
_LETTER = 6.4  # pixels of a letter in a heading
_BARS = 118  # pixels that the bars keep, however long their labels
_SIDES, _ENDS = (12, 30), (72, 40)  # margins: left and right, top and bottom


def plot_clip(
    clips: Clips, clip_id: str, *, predictions: Predictions | None = None, width: int = 1020, height: int = 360
) -> go.Figure:
    """Draw one clip: onset, apex, the flow between them over the face, its AUs and the model's scores.

    The flow panel shows magnitude as colour and direction as arrows. The largest magnitude and the factor by which the
    arrows are lengthened are written below it. Faces are those of the viewing copy where the clips have one.

    Parameters
    ----------
    clips : Clips
        What they lack (frames, flow, AUs, the apex) is named in its place.
    clip_id : str
    predictions : Predictions or None
        Adds AU probabilities and emotion scores.
    width, height : int
        In pixels.

    Returns
    -------
    Figure
        Below 200 kB: pictures are embedded as WebP.

    Raises
    ------
    ValueError
        If there is no such clip, or it is not among the predictions.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> figure = plot_clip(clips, clips.table["clip_id"][0])
    >>> figure.layout.title.text
    '<b>synthme22-s01-c01 · subject synthme22-s01 · happiness · AU14</b> · 240 ms from onset to offset'
    """
    place, row = clip_row(clips, clip_id)
    moments = clip_moments(clips, clip_id)
    au_bars = _au_bars(predictions, clip_id, most=min(_MOST_AUS, max(3, int((height - sum(_ENDS)) / 31))))
    score_bars = _score_bars(predictions, clip_id)
    names = room_for([*au_bars.get("labels", ()), *score_bars.get("labels", ())], size=11)
    inner = width - sum(_SIDES)
    right = max(0.265, (names + _BARS) / inner)
    cell = inner * (1 - right) / 3 - 12
    figure = make_subplots(
        rows=2,
        cols=4,
        specs=[[{"rowspan": 2}, {"rowspan": 2}, {"rowspan": 2}, {}], [None, None, None, {}]],
        column_widths=[(1 - right) / 3] * 3 + [right],
        row_heights=[0.54, 0.46],
        horizontal_spacing=0.012,
        vertical_spacing=0.24,
        subplot_titles=("", "", "", "AUs" if predictions is None else "AU scores, ◆ coded", "Emotion scores"),
    )
    duration = "" if moments.milliseconds is None else f" · {moments.milliseconds[-1]:.0f} ms"
    duration += " from onset to offset" if duration and width >= 760 else ""
    margin = (*_SIDES, *_ENDS)
    theme.finish(figure, width=width, height=height, title=f"<b>{describe(row)}</b>{duration}", margin=margin)
    frames, which = shown_frames(clips, place)
    tile(figure, _face("onset", frames, moments, moments.onset, note=which, cell=cell), row=1, col=1)
    tile(figure, _face("apex", frames, moments, moments.apex, cell=cell), row=1, col=2)
    _flow(figure, clips, place, None if frames is None else frames[0], cell=cell)
    for at, filled in enumerate((au_bars, score_bars), 1):
        if filled:
            bars(figure, **filled, row=at, col=4)
            figure.update_xaxes(range=[0, 1.32], tickformat=".0%", tickvals=[0, 0.5, 1], row=at, col=4)
            figure.update_xaxes(tickangle=0, tickfont={"size": 11}, row=at, col=4)
            figure.update_yaxes(tickfont={"size": 11}, dtick=1, row=at, col=4)
        else:
            lacking = _aus_in_words(clips, row) if at == 1 else "no predictions were given"
            tile(figure, Tile(None, note=lacking), row=at, col=4)
    for axis in (figure.layout.xaxis4, figure.layout.xaxis5):
        axis.domain = (figure.layout.xaxis3.domain[1] + names / inner, axis.domain[1])
    return figure


def _face(
    name: str, frames: np.ndarray | None, moments: Moments, position: int | None, *, cell: float, note: str = ""
) -> Tile:
    said = moments.describe(position) if moments.named and position is not None else name
    lines = (wrapped(text, width=int(cell), letter=_LETTER) for text in (said, note))
    heading, below = ("<br>".join(one) for one in lines)
    if frames is None or position is None:
        return Tile(None, heading, "no frames in these clips" if frames is None else "the apex is not known")
    return Tile(enlarge(frames[position], max(PIXELS, *frames.shape[1:3])), heading, below)


def _flow(figure: go.Figure, clips: Clips, place: int, onset: np.ndarray | None, *, cell: float) -> None:
    """The flow over the onset, with its magnitude under the pointer."""
    where: dict[str, Any] = {"row": 1, "col": 3}
    flow, _ = motion_field(clips, place)
    if flow is None:
        why = "no flow in these clips" if clips.flow is None else "flow coded as colours"
        tile(figure, Tile(None, "flow, onset to apex", why), **where)
        return
    ground = np.full((*flow.shape[:2], 3), 205, np.uint8) if onset is None else onset
    picture, largest = draw_magnitude(enlarge(ground, PIXELS), flow)
    picture, gain = draw_arrows(picture, flow)
    scaled = scaled_by_clip(clips.recipe)
    note = SCALED_NOTE if scaled else f"up to {largest:.2f} px of {flow.shape[1]}, arrows × {gain:g}"
    below = "<br>".join(wrapped(note, width=int(cell), letter=_LETTER))
    tile(figure, Tile(picture, "flow, onset to apex", below), **where)
    height, width = picture.shape[:2]
    step = max(1, max(height, width) // _HOVERED)
    values = resize_field(flow_magnitude(flow), height // step, width // step)
    figure.add_trace(
        go.Heatmap(
            z=np.clip(values, 0, None).round(3), dx=step, dy=step, opacity=0, showscale=False, zmin=0, zmax=largest,
            hovertemplate=f"motion %{{z:.2f}}{'' if scaled else ' px'}<extra></extra>", meta="magnitude",
        ),
        **where,
    )  # fmt: skip


def _au_bars(predictions: Predictions | None, clip_id: str, *, most: int) -> dict[str, Any]:
    """The bars of the AUs that are coded, then of those with the highest scores; empty without scores."""
    table = None if predictions is None else clip_au_scores(predictions, clip_id)
    if table is None or table.empty:
        return {}
    coded = np.array([value is True for value in table["coded"]])
    table = table.assign(there=coded).sort_values(["there", "probability"], ascending=False).head(most).sort_index()
    motion = theme.branch_colour("motion")
    return {
        "values": table["probability"].to_numpy(),
        "labels": [f"{au} ◆" if there else au for au, there in zip(table["au"], table["there"], strict=True)],
        "colours": [motion if share >= 0.5 else ABSENT for share in table["probability"]],
        "texts": [f"{share:.0%}" for share in table["probability"]],
    }


def _score_bars(predictions: Predictions | None, clip_id: str) -> dict[str, Any]:
    """The bars of the emotions, the labelled class outlined and named; empty without predictions."""
    if predictions is None:
        return {}
    shares, label = clip_scores(predictions, clip_id)
    return {
        "values": shares.to_numpy(),
        "labels": [as_text(name) + (" ◀ label" if name == label else "") for name in shares.index],
        "colours": [theme.emotion_colour(name) for name in shares.index],
        "texts": [f"{share:.0%}" for share in shares],
        "outlined": [name == label for name in shares.index],
    }


def _aus_in_words(clips: Clips, row: pd.Series) -> str:
    coded = coded_aus(row, list(clips.aus))
    if not any(value is not None for value in coded.values()):
        return "no AUs are coded for these clips"
    there = [theme.au_name(au) for au, value in coded.items() if value]
    return "<br>".join(there[:_MOST_AUS]) or f"none of {len(coded)} AUs is coded"


def plot_flow(inputs: Clips | Mapping[str, Clips], clip_id: str, *, width: int | None = None) -> go.Figure:
    """Draw the flow of one clip channel by channel, as the network gets it, under one or several recipes.

    A column is a recipe (a single one has its channels in a row). ``u`` (to the right) and ``v`` (down) are red where
    they are positive and blue where they are negative; the strain is bright where it is large; a colour coding is shown
    as the picture that it is. Pixels are drawn as squares, so that the size of the input can be seen. Each panel has
    its own scale, written below it. The flow of a pack is no displacement in pixels, and its heading says so.

    Parameters
    ----------
    inputs : Clips or mapping of str to Clips
        The same clip prepared by each recipe, by the recipe's name.
    clip_id : str
    width : int or None
        In pixels; 220 a column where None.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is nothing to draw, the clip is missing from one of the inputs, or one has no flow.

    See Also
    --------
    medn_lab.data.FlowRecipe : how each input is made.
    plot_clip : the same motion as arrows over the face.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> figure = plot_flow(clips, clips.table["clip_id"][0])
    >>> figure.layout.title.text
    '<b>synthme22-s01-c01 · subject synthme22-s01 · happiness · AU14</b>'
    """
    named = {str(inputs.recipe.get("name", "flow")): inputs} if isinstance(inputs, Clips) else dict(inputs)
    if not named:
        raise ValueError("no inputs were given: name at least one recipe and the clips that it made")
    columns = []
    for name, clips in named.items():
        if clips.flow is None:
            raise ValueError(f"the clips of recipe {name!r} have no flow to draw")
        place, row = clip_row(clips, clip_id)
        columns.append(_channels(name, np.asarray(clips.flow[place], dtype=np.float32), clips.recipe))
    if len(columns) == 1:
        columns = [[panel] for panel in columns[0]]
    return tiles(columns, title=f"<b>{describe(row)}</b>", cell=220 if width is None else width // len(columns))


def _channels(name: str, flow: np.ndarray, recipe: Mapping[str, object]) -> list[Tile]:
    """The tiles of one recipe: a colour picture, or u, v and the strain where there is one."""
    heading = f"<b>{as_text(name)}</b><br>{flow.shape[1]}×{flow.shape[0]} px, {flow.shape[-1]} channels"
    if recipe.get("coding") == "hsv":
        picture = np.clip(flow * 255.0 + 0.5, 0, 255).astype(np.uint8)
        length = Tile(None, note="brightness: length,<br>over the clip's longest")
        return [Tile(_squares(picture), heading, "hue: direction"), length]
    scaled = scaled_by_clip(recipe)
    heading += "<br>" + SCALED_NOTE.replace(": ", ":<br>") if scaled else ""
    panels = []
    for channel, said in enumerate(("u, right", "v, down")):
        values = flow[..., channel]
        longest = max(float(np.abs(values).max()), 1e-6)
        note = f"{said}: ±{longest:.2f}" + ("" if scaled else " px")
        panels.append(Tile(_squares(_signed(values / longest)), "" if channel else heading, note))
    if flow.shape[-1] == 2:
        return [*panels, Tile(None, note="no third channel")]
    largest = max(float(flow[..., 2].max()), 1e-6)
    strain = magnitude_colours(np.clip(flow[..., 2] / largest, 0, 1)).astype(np.uint8)
    return [*panels, Tile(_squares(strain), note=f"strain: up to {largest:.2f}")]


def _signed(share: np.ndarray) -> np.ndarray:
    """Colours of values from -1 to 1, (h, w, 3) uint8: red, white at 0, blue."""
    full = np.where(share[..., None] >= 0, np.array(FOR), np.array(AGAINST))
    return (255 + (full - 255) * np.abs(share)[..., None] + 0.5).astype(np.uint8)


def _squares(picture: np.ndarray) -> np.ndarray:
    """The picture enlarged without smoothing."""
    times = max(1, PIXELS // max(picture.shape[:2]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def plot_registration(
    onset: np.ndarray,
    *,
    before: np.ndarray,
    after: np.ndarray,
    flow_before: np.ndarray,
    flow_after: np.ndarray,
    left_before: float | None = None,
    left_after: float | None = None,
    width: int = 600,
) -> go.Figure:
    """Draw what taking the head's motion out changes: a frame and its flow from the onset, before and after.

    Parameters
    ----------
    onset, before, after : (h, w, 3) uint8
        The onset frame; another frame as it came, and moved onto the onset.
    flow_before, flow_after : (h', w', 2) float
        Flow from the onset to each of the two, in pixels.
    left_before, left_after : float or None
        How far the head's points are from where they should be, in pixels, where that is known.
    width : int
        In pixels.

    Returns
    -------
    Figure
        Left: before. Right: after. Above: the difference from the onset, around grey and four times as strong. Below:
        the flow over the onset, each with its own scale, written below it.

    Raises
    ------
    ValueError
        If the frames differ in shape.

    See Also
    --------
    medn_lab.data.register : moves a frame onto the onset.

    Examples
    --------
    >>> frame = np.zeros((32, 32, 3), np.uint8)
    >>> still = np.zeros((32, 32, 2))
    >>> figure = plot_registration(frame, before=frame, after=frame, flow_before=still, flow_after=still)
    >>> [note.text for note in figure.layout.annotations]
    ['<b>before</b>', 'difference from the onset × 4', 'flow up to 0.00 px, arrows × 1', '<b>after</b>', ...
    """
    if not onset.shape == before.shape == after.shape:
        raise ValueError(f"frames must have one shape; these are {onset.shape}, {before.shape} and {after.shape}")
    columns = []
    for name, frame, flow, left in (
        ("before", before, flow_before, left_before),
        ("after", after, flow_after, left_after),
    ):
        coloured, largest = draw_magnitude(enlarge(onset, PIXELS), flow)
        drawn, gain = draw_arrows(coloured, flow)
        said = "" if left is None else f": {left:.{2 if left >= 0.095 else 3}f} px off"
        difference = enlarge(_difference(onset, frame), PIXELS)
        columns.append(
            [
                Tile(difference, f"<b>{name}</b>{said}", f"difference from the onset × {DIFFERENCE_GAIN:g}"),
                Tile(drawn, note=f"flow up to {largest:.2f} px, arrows × {gain:g}"),
            ]
        )
    return tiles(columns, title="<b>Registration</b>", cell=width // 2)


def _difference(onset: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Frame minus onset around grey, at half the size: the mean of four pixels has half the sensor's noise."""
    change = (frame.astype(np.float32) - onset.astype(np.float32)).mean(axis=2)
    h, w = change.shape[0] // 2 * 2, change.shape[1] // 2 * 2
    pooled = change[:h, :w].reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3))
    shade = np.clip(128 + DIFFERENCE_GAIN * pooled, 0, 255).astype(np.uint8)
    return np.repeat(shade[..., None], 3, axis=2)


def plot_magnification(
    clips: Clips, clip_id: str, *, factors: Sequence[float] = (1, 5, 10, 20), width: int | None = None
) -> go.Figure:
    """Draw the onset of a clip and its apex with the motion magnified more and more.

    Parameters
    ----------
    clips : Clips
        With frames; the viewing copy is drawn where there is one.
    clip_id : str
    factors : sequence of float
        From 1, the apex as it is.
    width : int or None
        In pixels; 200 a picture where None.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the clips have no frames, no factor is given, or one is below 1.

    See Also
    --------
    medn_lab.widgets.ClipPlayer : the same, moving.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> figure = plot_magnification(clips, clips.table["clip_id"][0], factors=(1, 10))
    >>> figure.layout.title.text
    '<b>synthme22-s01-c01 · subject synthme22-s01 · happiness · AU14</b>'
    """
    if clips.frames is None:
        raise ValueError("these clips have no frames to magnify")
    if not len(factors):
        raise ValueError("no factor was given; (1, 10) shows the apex as it is and ten times as strong")
    place, row = clip_row(clips, clip_id)
    frames, which = shown_frames(clips, place)
    assert frames is not None
    apex = clip_moments(clips, clip_id).apex
    magnifier = Magnifier(frames, motion_field(clips, place)[0], apex=apex, size=PIXELS)
    strongest = len(frames) // 2 if apex is None else apex
    columns = [[Tile(enlarge(frames[0], PIXELS), "onset")]]
    for factor in factors:
        heading = "apex" if factor == 1 else f"apex, motion × {factor:g}"
        columns.append([Tile(magnifier.frame(strongest, factor), heading)])
    cell = 200 if width is None else width // len(columns)
    return tiles(columns, title=f"<b>{describe(row)}</b>", cell=cell, subtitle=which)
