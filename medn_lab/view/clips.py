"""One clip on a page: onset, apex, the flow between them, its AUs and the model's scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import Clips, Predictions
from medn_lab.view import theme
from medn_lab.view.images import (
    SCALED_NOTE,
    arrow_grid,
    data_uri,
    enlarge,
    flow_magnitude,
    motion_field,
    resize_field,
    scaled_by_clip,
    to_webp,
)
from medn_lab.view.rows import Moments, clip_moments, clip_row, coded_aus, describe
from medn_lab.view.scores import ABSENT, SCORE_RANGE, au_bars, clip_au_scores, clip_scores, score_bars
from medn_lab.view.theme import as_text

_MOST_AUS = 7
_FACE_PIXELS = 256
_HEATMAP_CELLS = 64
_SIDES, _ENDS = (12, 30), (66, 40)  # margins left and right, top and bottom
_ROOM_FOR_FRAMES = 168  # pixels of a face above which there is room for the frame's number too
_BEYOND = 42  # pixels beyond a full bar: its figure, then a diamond
_BARS = 118  # pixels that the bars keep, however long the names beside them


def plot_clip(
    clips: Clips, clip_id: str, *, predictions: Predictions | None = None, width: int = 1020, height: int = 356
) -> go.Figure:
    """Draw one clip: onset, apex, the flow between them over the face, its AUs, and what the model says.

    The flow panel shows magnitude as colour and direction as arrows; the arrows are lengthened by the factor written
    below them, because the motion itself is a pixel or two.

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
        Below 200 kB: pictures are embedded as WebP, the magnitude as at most 64 x 64 values.

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
    most = min(_MOST_AUS, max(3, int(0.36 * (height - sum(_ENDS)) / 11)))
    au_table = _au_table(clips, row, predictions, most=most)
    scores = None if predictions is None else clip_scores(predictions, clip_id)
    names = _pixels_of_names(au_table, scores)
    inner = width - sum(_SIDES)
    right = max(0.265, (names + _BARS) / inner)
    titles = _face_titles(moments, room=inner * (1 - right) / 3)
    figure = make_subplots(
        rows=2,
        cols=4,
        specs=[[{"rowspan": 2}, {"rowspan": 2}, {"rowspan": 2}, {}], [None, None, None, {}]],
        column_widths=[(1 - right) / 3] * 3 + [right],
        row_heights=[0.54, 0.46],
        horizontal_spacing=0.012,
        vertical_spacing=0.26,
        subplot_titles=(*titles, "flow, onset to apex", "AUs", "emotion scores"),
    )
    theme.finish(
        figure,
        width=width,
        height=height,
        title=f"<b>{describe(row)}</b>{_duration(moments, short=width < 760)}",
        margin=(*_SIDES, *_ENDS),
    )
    frames = None if clips.frames is None else clips.frames[place]
    for column, position in ((1, moments.onset), (2, moments.apex)):
        if frames is None or position is None:
            _say(figure, column, "no frames in these clips" if frames is None else "the apex is not known")
        else:
            _face(figure, column, frames[position])
    field, _ = motion_field(clips, place)
    if field is None:
        _say(figure, 3, "no flow in these clips" if clips.flow is None else "flow coded as colours")
    else:
        scaled = scaled_by_clip(clips.recipe)
        _flow(figure, 3, field, None if frames is None else frames[0], unit="scaled" if scaled else "px")
        if scaled:
            figure.layout.annotations[2].text += f"<br><span style='font-size:10px'>{SCALED_NOTE}</span>"
    _right_side(figure, au_table, scores)
    _square_faces(figure, *clips.size)
    for axis in (figure.layout.xaxis4, figure.layout.xaxis5):
        axis.domain = (figure.layout.xaxis3.domain[1] + names / inner, axis.domain[1])
        # The diamonds stand clear of the longest figure, however few pixels the bars have.
        axis.range = (0, 1 / (1 - min(0.5, _BEYOND / ((axis.domain[1] - axis.domain[0]) * inner))))
    beyond = figure.layout.xaxis4.range[1] - 0.06
    figure.for_each_trace(lambda marks: marks.update(x=[beyond] * len(marks.y)), selector={"name": "coded"})
    return figure


def _pixels_of_names(au_table: pd.DataFrame, scores: tuple[pd.Series, str | None] | None) -> float:
    """The room that the longest name beside a bar takes."""
    names = [str(name) for name in au_table["au"]]
    if scores is not None:
        shares, truth = scores
        names += [f"{name} ◀ label" if str(name) == truth else str(name) for name in shares.index]
    return 22 + 5.9 * max(map(len, names), default=0)


def _face_titles(moments: Moments, *, room: float) -> tuple[str, str]:
    apex = "apex" if moments.apex is None else _when("apex", moments, moments.apex, room)
    return _when("onset", moments, moments.onset, room), apex


def _when(name: str, moments: Moments, place: int, room: float) -> str:
    if not moments.named:
        return name
    if room < _ROOM_FOR_FRAMES:
        time = "" if moments.milliseconds is None else f"{moments.milliseconds[place]:.0f} ms"
        return f"{name} <span style='font-size:11px'>{time}</span>"
    time = "" if moments.milliseconds is None else f", {moments.milliseconds[place]:.0f} ms"
    return f"{name} <span style='font-size:11px'>frame {moments.numbers[place]}{time}</span>"


def _duration(moments: Moments, *, short: bool) -> str:
    if moments.milliseconds is None:
        return ""
    return f" · {moments.milliseconds[-1]:.0f} ms{'' if short else ' from onset to offset'}"


def _au_table(clips: Clips, row: pd.Series, predictions: Predictions | None, *, most: int) -> pd.DataFrame:
    """The AUs worth a bar: those coded, then those the model thinks likeliest, so many at most."""
    table = pd.DataFrame(columns=["au", "probability", "coded"])
    if predictions is not None:
        table = clip_au_scores(predictions, row["clip_id"])
    if table.empty:
        coded = coded_aus(row, list(clips.aus))
        table = pd.DataFrame({"au": list(coded), "probability": np.nan})
        table["coded"] = pd.Series(list(coded.values()), dtype=object)
    worth = [(value is not True, -chance) for value, chance in zip(table["coded"], table["probability"], strict=True)]
    keep = sorted(sorted(range(len(table)), key=worth.__getitem__)[:most])
    return table.iloc[keep]


def _face(figure: go.Figure, column: int, image: np.ndarray) -> None:
    h, w = image.shape[:2]
    picture = enlarge(image, max(_FACE_PIXELS, max(h, w)))
    figure.add_trace(
        go.Image(
            source=data_uri(to_webp([picture], quality=88)),
            dx=w / picture.shape[1],
            dy=h / picture.shape[0],
            hoverinfo="skip",
        ),
        row=1,
        col=column,
    )


def _flow(figure: go.Figure, column: int, flow: np.ndarray, face: np.ndarray | None, *, unit: str) -> None:
    h, w = flow.shape[:2]
    magnitude = flow_magnitude(flow)
    if face is not None:
        grey = np.repeat(face.mean(axis=2, keepdims=True), 3, axis=2)
        _face(figure, column, (40 + 0.7 * grey).astype(np.uint8))
    scale = min(1.0, _HEATMAP_CELLS / max(h, w))
    rows, columns = max(1, round(h * scale)), max(1, round(w * scale))
    values = np.clip(resize_field(magnitude, rows, columns), 0, None)
    largest = max(float(magnitude.max()), 1e-3)
    low, high = figure.get_subplot(1, column).xaxis.domain
    # Where nothing moves the face shows through.
    shades = [[stop, _with_alpha(colour, min(0.82, 1.5 * stop))] for stop, colour in theme.MAGNITUDE_SCALE]
    figure.add_trace(
        go.Heatmap(
            z=np.round(values, 3),
            x=(np.arange(columns) + 0.5) * w / columns - 0.5,
            y=(np.arange(rows) + 0.5) * h / rows - 0.5,
            zmin=0,
            zmax=largest,
            colorscale=shades,
            zsmooth="best",
            hovertemplate=f"x %{{x:.0f}}, y %{{y:.0f}} px<br>motion %{{z:.2f}} {unit}<extra></extra>",
            colorbar={
                "title": {"text": unit, "side": "right", "font": {"size": 11}},
                "orientation": "h",
                "thickness": 7,
                "len": 0.96 * (high - low),
                "x": low,
                "xanchor": "left",
                "y": -0.02,
                "yanchor": "top",
                "tickfont": {"size": 10},
                "nticks": 4,
                "ticklabelposition": "outside bottom",
            },
        ),
        row=1,
        col=column,
    )
    x, y, dx, dy, gain = arrow_grid(flow)
    for colour, thickness in (("rgba(20,16,32,0.75)", 3.0), ("#FFE240", 1.4)):
        lines_x, lines_y = _arrow_lines(x - 0.5, y - 0.5, dx * gain, dy * gain)
        figure.add_trace(
            go.Scatter(
                x=lines_x,
                y=lines_y,
                mode="lines",
                line={"color": colour, "width": thickness},
                hoverinfo="skip",
                showlegend=False,
                meta="arrows",
            ),
            row=1,
            col=column,
        )
    note = figure.layout.annotations[2]
    narrow = (high - low) * (figure.layout.width - sum(_SIDES)) < _ROOM_FOR_FRAMES
    span = "" if narrow else "onset to apex, "
    note.text = f"flow <span style='font-size:11px'>{span}arrows ×{gain:g}</span>"


def _arrow_lines(x: np.ndarray, y: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shafts and heads of arrows as one polyline with gaps, rounded to a hundredth of a pixel."""
    tip_x, tip_y = x + dx, y + dy
    gap = np.full_like(x, np.nan)
    barb_x = [tip_x - 0.38 * (dx * np.cos(turn) - dy * np.sin(turn)) for turn in (0.5, -0.5)]
    barb_y = [tip_y - 0.38 * (dx * np.sin(turn) + dy * np.cos(turn)) for turn in (0.5, -0.5)]
    lines_x = np.stack([x, tip_x, gap, barb_x[0], tip_x, barb_x[1], gap], axis=1).ravel()
    lines_y = np.stack([y, tip_y, gap, barb_y[0], tip_y, barb_y[1], gap], axis=1).ravel()
    return lines_x.round(2), lines_y.round(2)


def _right_side(figure: go.Figure, au_table: pd.DataFrame, scores: tuple[pd.Series, str | None] | None) -> None:
    label = {"row": 1, "col": 4}
    if au_table.empty:
        _say(figure, 4, "no AUs are coded for these clips", row=1)
    elif au_table["probability"].isna().all():
        names = [str(name) for name in au_table["au"]]
        coded = [value is True for value in au_table["coded"]]
        bars = go.Bar(
            x=[1.0 if there else 0.0 for there in coded],
            y=names,
            orientation="h",
            marker={"color": [theme.branch_colour("motion") if there else ABSENT for there in coded]},
            hovertemplate="%{y}<extra></extra>",
            showlegend=False,
        )
        figure.add_trace(bars, **label)
        figure.layout.annotations[3].text = "AUs <span style='font-size:11px'>as coded</span>"
    else:
        for trace in au_bars(au_table):
            figure.add_trace(trace, **label)
        mark = f"<span style='color:{theme.RING}'>◆</span>"
        figure.layout.annotations[3].text = f"AUs <span style='font-size:11px'>bar: predicted, {mark} coded</span>"
    if scores is None:
        _say(figure, 4, "no predictions were given", row=2)
    else:
        figure.add_trace(score_bars(*scores), row=2, col=4)
    for row in (1, 2):
        axis = {"row": row, "col": 4}
        figure.update_yaxes(autorange="reversed", showgrid=False, tickfont={"size": 10.5}, dtick=1, **axis)
        figure.update_xaxes(
            range=SCORE_RANGE, tickformat=".0%", tickvals=[0, 0.5, 1], tickangle=0, tickfont={"size": 10}, **axis
        )


def _say(figure: go.Figure, column: int, text: str, *, row: int = 1) -> None:
    """A sentence in the middle of an empty panel."""
    figure.add_trace(go.Scatter(x=[None], y=[None], showlegend=False, hoverinfo="skip"), row=row, col=column)
    place = {"row": row, "col": column}
    figure.add_annotation(text=as_text(text), showarrow=False, x=0.5, y=0.5, xref="x domain", yref="y domain", **place)
    figure.update_xaxes(visible=False, **place)
    figure.update_yaxes(visible=False, **place)


def _square_faces(figure: go.Figure, h: int, w: int) -> None:
    for column in (1, 2, 3):
        place = {"row": 1, "col": column}
        figure.update_xaxes(visible=False, constrain="domain", range=[-0.5, w - 0.5], **place)
        anchor = "x" if column == 1 else f"x{column}"
        figure.update_yaxes(
            visible=False, range=[h - 0.5, -0.5], scaleanchor=anchor, constrain="domain", constraintoward="top", **place
        )


def _with_alpha(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha:.2f})"
