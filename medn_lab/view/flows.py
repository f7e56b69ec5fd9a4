"""Flow as the network gets it, head motion taken out, and motion made larger: pictures in rows and columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import Clips
from medn_lab.view import theme
from medn_lab.view.images import (
    SCALED_NOTE,
    Magnifier,
    data_uri,
    draw_arrows,
    draw_magnitude,
    enlarge,
    magnitude_colours,
    motion_field,
    scaled_by_clip,
    to_webp,
)
from medn_lab.view.rows import clip_moments, clip_row, describe
from medn_lab.view.theme import as_text

PIXELS = 240
"""Longer side to which a picture is enlarged before it is embedded."""

TOWARDS, AWAY = (200, 60, 40), (30, 90, 180)
"""Colours of a signed channel: right and down are red, left and up are blue, nothing is white."""

DIFFERENCE_GAIN = 4.0
"""By how much the difference of two frames is made larger before it is drawn around grey."""


@dataclass(frozen=True)
class _Panel:
    """One picture, what stands above and what stands below it; without a picture, the words stand in its place."""

    picture: np.ndarray | None
    heading: str = ""
    note: str = ""


def plot_flow(inputs: Clips | Mapping[str, Clips], clip_id: str, *, width: int | None = None) -> go.Figure:
    """Draw the flow of one clip channel by channel, as the network gets it, under one or several recipes.

    A column is a recipe (a single one has its channels side by side). ``u`` (to the right) and ``v`` (down) are red
    where they are positive and blue where they are negative; the strain glows; a colour coding is shown as the picture
    that it is. Pixels are drawn as squares, so that the size of the input can be seen. Each panel has its own scale,
    written below it. The flow of a pack is no displacement in pixels, and its heading says so.

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
        place, _ = clip_row(clips, clip_id)
        columns.append(_channels(name, np.asarray(clips.flow[place], dtype=np.float32), clips.recipe))
    if len(columns) == 1:  # one recipe alone: its channels side by side
        columns = [[panel] for panel in columns[0]]
    _, row = clip_row(next(iter(named.values())), clip_id)
    return _grid(columns, title=f"<b>{describe(row)}</b>", cell=220 if width is None else width // len(columns))


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
        glow, largest = draw_magnitude(enlarge(onset, PIXELS), flow)
        drawn, gain = draw_arrows(glow, flow)
        told = "" if left is None else f": {left:.2f} px off" if left >= 0.095 else f": {left:.3f} px off"
        difference = enlarge(_difference(onset, frame), PIXELS)
        columns.append(
            [
                _Panel(difference, f"<b>{name}</b>{told}", f"difference from the onset × {DIFFERENCE_GAIN:g}"),
                _Panel(drawn, note=f"flow up to {largest:.2f} px, arrows × {gain:g}"),
            ]
        )
    return _grid(columns, title="", cell=width // 2)


def plot_magnification(
    clips: Clips, clip_id: str, *, factors: Sequence[float] = (1, 5, 10, 20), width: int | None = None
) -> go.Figure:
    """Draw the apex of a clip with its motion magnified more and more, beside the onset.

    Parameters
    ----------
    clips : Clips
        With frames.
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
    apex = clip_moments(clips, clip_id).apex
    frames = np.asarray(clips.frames[place])
    flow, _ = motion_field(clips, place)
    magnifier = Magnifier(frames, flow, apex=apex, size=PIXELS)
    strongest = apex if apex is not None else len(frames) // 2
    panels = [_Panel(enlarge(frames[0], PIXELS), "onset")]
    panels += [
        _Panel(magnifier.frame(strongest, factor), "apex" if factor == 1 else f"apex, motion × {factor:g}")
        for factor in factors
    ]
    cell = 200 if width is None else width // len(panels)
    return _grid([[panel] for panel in panels], title=f"<b>{describe(row)}</b>", cell=cell)


def _difference(onset: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Frame minus onset around grey, at half the size: the mean of four pixels has half the sensor's noise."""
    change = (frame.astype(np.float32) - onset.astype(np.float32)).mean(axis=2)
    h, w = change.shape[0] // 2 * 2, change.shape[1] // 2 * 2
    pooled = change[:h, :w].reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3))
    shade = np.clip(128 + DIFFERENCE_GAIN * pooled, 0, 255).astype(np.uint8)
    return np.repeat(shade[..., None], 3, axis=2)


def _channels(name: str, flow: np.ndarray, recipe: Mapping[str, object]) -> list[_Panel]:
    """The panels of one recipe: a colour picture, or u, v and perhaps strain."""
    side, channels = flow.shape[0], flow.shape[-1]
    heading = f"<b>{as_text(name)}</b><br>{flow.shape[1]}×{side} px, {channels} channels"
    if recipe.get("coding") == "hsv":
        picture = np.clip(flow * 255.0 + 0.5, 0, 255).astype(np.uint8)
        note = "hue: direction"
        return [
            _Panel(_squares(picture), heading, note),
            _Panel(None, note="brightness: length,<br>over the clip's longest"),
        ]
    panels = []
    scaled = scaled_by_clip(recipe)
    if scaled:
        heading += "<br>" + SCALED_NOTE.replace(": ", ":<br>")
    for channel, said in ((0, "u, right"), (1, "v, down")):
        values = flow[..., channel]
        longest = max(float(np.abs(values).max()), 1e-6)
        note = f"{said}: ±{longest:.2f}" + ("" if scaled else " px")
        panels.append(_Panel(_squares(_signed(values / longest)), heading if channel == 0 else "", note))
    if channels == 2:
        return [*panels, _Panel(None, note="no third channel")]
    largest = max(float(flow[..., 2].max()), 1e-6)
    glow = magnitude_colours(np.clip(flow[..., 2] / largest, 0, 1)).astype(np.uint8)
    return [*panels, _Panel(_squares(glow), note=f"strain: up to {largest:.2f}")]


def _signed(share: np.ndarray) -> np.ndarray:
    """Colours of values from -1 to 1, (h, w, 3) uint8."""
    strength = np.abs(share)[..., None]
    full = np.where(share[..., None] >= 0, np.array(TOWARDS), np.array(AWAY))
    return (255 * (1 - strength) + full * strength + 0.5).astype(np.uint8)


def _squares(picture: np.ndarray) -> np.ndarray:
    """The picture enlarged without smoothing."""
    times = max(1, PIXELS // max(picture.shape[:2]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def _grid(columns: Sequence[Sequence[_Panel]], *, title: str, cell: int) -> go.Figure:
    """Columns of panels as one figure; headings stand above, notes below each picture."""
    count = max(len(column) for column in columns)
    panels = {(row, place): panel for place, column in enumerate(columns, 1) for row, panel in enumerate(column, 1)}
    top = 40 if not title else 72
    headings = [panels[row, place].heading for row, place in sorted(panels) if row == 1]
    top += 18 * max(heading.count("<br>") for heading in headings)
    notes = any(panel.note for panel in panels.values())
    gap, foot = 44, 30 if notes else 12
    height = top + count * (cell - 12) + (count - 1) * gap + foot
    figure = make_subplots(
        rows=count,
        cols=len(columns),
        horizontal_spacing=12 / (len(columns) * cell),
        vertical_spacing=gap / (height - top - foot) if count > 1 else 0,
    )
    theme.finish(figure, width=len(columns) * cell + 24, height=height, title=title, margin=(12, 12, top, foot))
    for (row, place), panel in panels.items():
        _place(figure, row, place, panel)
    return figure


def _place(figure: go.Figure, row: int, column: int, panel: _Panel) -> None:
    where = {"row": row, "col": column}
    if panel.picture is None:
        figure.add_trace(go.Scatter(x=[None], y=[None], showlegend=False, hoverinfo="skip"), **where)
    else:
        source = data_uri(to_webp([panel.picture], quality=80))
        figure.add_trace(go.Image(source=source, hoverinfo="skip"), **where)
        height, width = panel.picture.shape[:2]
        figure.update_xaxes(range=[-0.5, width - 0.5], constrain="domain", **where)
        anchor = figure.get_subplot(row, column).xaxis.plotly_name.replace("axis", "")
        figure.update_yaxes(range=[height - 0.5, -0.5], scaleanchor=anchor, constrain="domain", **where)
        bare = {"showticklabels": False, "ticks": "", "showgrid": False, "zeroline": False}
        frame = {"showline": True, "mirror": True, "linecolor": theme.FAINT, "linewidth": 1}
        figure.update_xaxes(**bare, **frame, **where)
        figure.update_yaxes(**bare, **frame, **where)
    if panel.picture is None:
        figure.update_xaxes(visible=False, **where)
        figure.update_yaxes(visible=False, **where)
    middle = {"xref": "x domain", "yref": "y domain", "x": 0.5, "showarrow": False}
    if panel.heading:
        figure.add_annotation(text=panel.heading, y=1, yanchor="bottom", font={"size": 13}, **middle, **where)
    if panel.note:
        below = {"y": 0, "yanchor": "top"} if panel.picture is not None else {"y": 0.5, "yanchor": "middle"}
        note_font = {"size": 12, "color": theme.INK}
        figure.add_annotation(text=panel.note, font=note_font, **below, **middle, **where)
