"""The panels of an attribution's picture: faces under heat, bars over time, a strip of frames, colour scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from medn_lab.records import Clips, require
from medn_lab.view import theme
from medn_lab.view.images import AGAINST, FOR, SIGNED_SCALE, data_uri, draw_heat, full_colour, to_webp
from medn_lab.view.rows import clip_moments

_NO_FRAMES = "the frames have no map in this attribution"
STRIP_PIXELS = 168


@dataclass(frozen=True)
class MappedClip:
    """One clip of the picture: its row in the attribution, its maps, and its face."""

    place: int
    clip_id: str
    frames: np.ndarray | None
    flow: np.ndarray | None
    course: np.ndarray | None
    signed: bool
    faces: np.ndarray | None
    outline: np.ndarray | None


def summed(one: MappedClip, name: str) -> np.ndarray | None:
    """One picture of an input's map, or None where there is none."""
    if name == "flow":
        return one.flow
    # Without the onset: against it all others are measured, so that its slope takes back theirs.
    return None if one.frames is None else one.frames[1:].sum(axis=0)


def tells_moments(one: MappedClip) -> bool:
    """Whether the frames after the onset differ from each other."""
    return one.frames is not None and not np.allclose(one.frames[1:], one.frames[1:2], rtol=1e-4, atol=0)


def tells_places(one: MappedClip) -> bool:
    """Whether pixels of a frame differ from each other."""
    return one.frames is not None and not np.allclose(one.frames, one.frames[:, :1, :1], rtol=1e-4, atol=0)


def common_span(courses: Sequence[np.ndarray]) -> list[float] | None:
    """A common range for the courses of several clips; None, plotly's own, where there is none."""
    if not courses:
        return None
    low, high = min(0.0, *(one.min() for one in courses)), max(0.0, *(one.max() for one in courses))
    room = 0.06 * (high - low)
    return [low - room * (low < 0), high + room * (high > 0)] if high > low else None


def add_course(
    figure: go.Figure, row: int, column: int, one: MappedClip, clips: Clips, *, span: list[float] | None
) -> None:
    """Bars of what each frame spoke, or of what it weighs where signs cancel over the face."""
    where = {"row": row, "col": column}
    course = require(one.course, otherwise=_NO_FRAMES)
    bars = go.Bar(
        x=_moment_names(clips, one.clip_id),
        y=course,
        marker={"color": [_colour(value) if one.signed else theme.GREY for value in course]},
        hovertemplate="%{x}: %{y:.3g}<extra></extra>",
        showlegend=False,
    )
    figure.add_trace(bars, **where)
    figure.update_xaxes(tickfont={"size": 10.5}, tickangle=0, showgrid=False, **where)
    figure.update_yaxes(tickfont={"size": 10.5}, nticks=5, tickformat=".2~g", range=span, **where)
    figure.update_yaxes(zerolinecolor=theme.INK, **where)


def _colour(value: float) -> str:
    return f"rgb{FOR if value >= 0 else AGAINST}"


def add_strip(figure: go.Figure, one: MappedClip, clips: Clips) -> None:
    """All frames side by side as one picture, each named below it."""
    frames = require(one.frames, otherwise=_NO_FRAMES)
    largest = full_colour(frames)
    cells = [
        draw_heat(
            None if one.faces is None else one.faces[place],
            heat,
            largest=largest,
            size=STRIP_PIXELS,
            outline=one.outline,
        )
        for place, heat in enumerate(frames)
    ]
    gap = np.full((cells[0].shape[0], 6, 3), 255, dtype=np.uint8)
    wide = np.concatenate([part for cell in cells for part in (cell, gap)][:-1], axis=1)
    alpha = np.concatenate([part for cell in cells for part in (_opaque(cell), _clear(gap))][:-1], axis=1)
    add_picture(figure, 2, 1, np.concatenate([wide, alpha], axis=2))
    step = cells[0].shape[1] + gap.shape[1]
    for place, name in enumerate(_moment_names(clips, one.clip_id)):
        figure.add_annotation(
            text=name,
            x=place * step + cells[0].shape[1] / 2,
            y=0,
            yref="y domain",
            yanchor="top",
            showarrow=False,
            font={"size": 10.5, "color": theme.INK},
            row=2,
            col=1,
        )


def _opaque(cell: np.ndarray) -> np.ndarray:
    return np.full((*cell.shape[:2], 1), 255, dtype=np.uint8)


def _clear(cell: np.ndarray) -> np.ndarray:
    return np.zeros((*cell.shape[:2], 1), dtype=np.uint8)


def _moment_names(clips: Clips, clip_id: str) -> list[str]:
    moments = clip_moments(clips, clip_id)
    names = []
    for place in range(len(moments.numbers)):
        when = f"{place + 1}" if moments.milliseconds is None else f"{moments.milliseconds[place]:.0f} ms"
        called = "apex" if place == moments.apex else moments.names(place)
        names.append("<br>".join(filter(None, (when, called))))
    return names


def add_scales(figure: go.Figure, limits: Mapping[str, float], panels: Sequence[str], rows: int) -> None:
    """A colour scale below each column of pictures, in the map's own unit, and what the colours mean."""
    for column, name in enumerate(panels, start=1):
        if name == "course" or limits[name] <= 0:
            continue
        panel = figure.get_subplot(rows, column)
        low, high = panel.xaxis.domain
        scale = {
            "orientation": "h",
            "thickness": 8,
            "len": high - low,
            "x": low,
            "xanchor": "left",
            "xpad": 22,
            "y": panel.yaxis.domain[0],
            "yanchor": "top",
            "ypad": 4,
            "tickvals": [-limits[name], 0, limits[name]],
            "ticktext": [f"−{limits[name]:.2g}", "0", f"+{limits[name]:.2g}"],
            "tickfont": {"size": 10.5},
            "outlinewidth": 0,
        }
        colours = {"color": [0], "colorscale": SIGNED_SCALE, "cmin": -limits[name], "cmax": limits[name]}
        nothing = {"x": [None], "y": [None], "mode": "markers", "showlegend": False, "hoverinfo": "skip"}
        bar = go.Scatter(**nothing, meta=f"scale of {name}", marker={**colours, "colorbar": scale})
        figure.add_trace(bar, row=1, col=column)
    figure.add_annotation(
        text=f"<span style='color:rgb{FOR}'>■</span> for  <span style='color:rgb{AGAINST}'>■</span> against",
        showarrow=False,
        xref="paper",
        yref="paper",
        x=1,
        y=1,
        xanchor="right",
        yanchor="bottom",
        font={"size": 12},
    )


def add_picture(figure: go.Figure, row: int, column: int, picture: np.ndarray) -> None:
    """A picture in a panel of its own shape."""
    where = {"row": row, "col": column}
    figure.add_trace(go.Image(source=data_uri(to_webp([picture], quality=86)), hoverinfo="skip"), **where)
    height, width = picture.shape[:2]
    figure.update_xaxes(visible=False, range=[-0.5, width - 0.5], constrain="domain", constraintoward="left", **where)
    anchor = figure.get_subplot(row, column).xaxis.plotly_name.replace("axis", "")
    figure.update_yaxes(
        visible=False,
        range=[height - 0.5, -0.5],
        scaleanchor=anchor,
        constrain="domain",
        constraintoward="top",
        **where,
    )
