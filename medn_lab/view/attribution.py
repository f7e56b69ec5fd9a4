"""Figures of attribution maps and of the checks that they pass."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import Attribution, Clips, positions, require
from medn_lab.view import images, marks, theme
from medn_lab.view.marks import SMALLEST, Tile, heading, tile
from medn_lab.view.rows import clip_moments, clip_row, describe
from medn_lab.view.theme import as_text

PIXELS = 360
INPUT_COLOURS = {"frames": theme.BRANCH_COLOURS["emotion"], "flow": theme.BRANCH_COLOURS["motion"]}

_WIDTHS = {"frames": 284, "flow": 284, "course": 412}
_TITLES = {
    "frames": "Attribution of the frames, summed",
    "flow": "Attribution of the flow",
    "course": "Attribution per frame",
}
_METHODS = {"bare_change": "bare change (no network)", "grad_cam": "Grad-CAM", "gradient_shap": "gradient SHAP"}
_CHECKS = {
    "infidelity": "Error when the map predicts the effect of a deleted square; 0 is best, 1 means a map of zeros",
    "sensitivity": "Largest relative change of the map under noise too small to see; 0 is best",
}
_ROW, _STRIP, _GAP = 240, 114, 76
_NO_MAP = "this input has no map in this attribution"


@dataclass(frozen=True)
class MappedClip:
    """What is drawn of one clip: smoothed maps, sum over each frame (`signed` or absolute), faces, outline."""

    clip_id: str
    frames: np.ndarray | None
    flow: np.ndarray | None
    course: np.ndarray | None
    signed: bool
    faces: np.ndarray | None
    outline: np.ndarray | None

    def summed(self, name: str) -> np.ndarray | None:
        """One picture of an input's map; without the onset, because all other frames are compared with it."""
        if name == "flow":
            return self.flow
        return None if self.frames is None else self.frames[1:].sum(axis=0)


def mapped_clip(attribution: Attribution, place: int, *, clips: Clips, region: str | None, blur: float) -> MappedClip:
    """One clip of an attribution, ready to be drawn."""
    clip_id = attribution.table["clip_id"].iloc[place]
    row, _ = clip_row(clips, clip_id)
    frames, flow = (None if heat is None else heat[place] for heat in (attribution.frames_heat, attribution.flow_heat))
    course, signed = None, True
    if frames is not None:
        course, weights = frames.sum(axis=(1, 2)), np.abs(frames).sum(axis=(1, 2))
        # Slopes of a branch that reads local change cancel over the face: the rest is rounding.
        signed = bool(np.abs(course).max() >= 1e-3 * weights.max())
        course = course if signed else weights
    return MappedClip(
        clip_id, None if frames is None else images.smooth(frames, blur),
        None if flow is None else images.smooth(flow, blur), course, signed,
        None if clips.frames is None else np.asarray(clips.frames[row]),
        None if region is None else images.region_of(clips, clip_id, region),
    )  # fmt: skip


def plot_attribution(
    attribution: Attribution,
    clip_ids: str | Sequence[str],
    *,
    clips: Clips,
    region: str | None = None,
    strip: bool = True,
    blur: float = 1.0,
    width: int | None = None,
) -> go.Figure:
    """Draw what raised a target (red) and what lowered it (blue): over the face, over its flow, and over time.

    Left: the values of the frames after the onset, summed over time and colour, over the onset. Middle: the flow's,
    summed over its components. Right: the sum over each frame. Below, for a single clip: each frame. An input that the
    target does not depend on, or that the method does not separate, is left out and named. The sanity checks are in the
    subtitle, and a method whose map survives random weights is marked there.

    Parameters
    ----------
    attribution : Attribution
    clip_ids : str or sequence of str
        One clip, or several that share their colours, such as a confusable pair.
    clips : Clips
        The faces; joined by clip_id.
    region : str or None
        On synthetic clips, what to draw a white line around: ``cue``, an AU such as ``AU12``, or ``AUs``.
    strip : bool
        Whether each frame is drawn, where there is one clip and the method separates frames.
    blur : float
        Pixels by which a map is smoothed, because single pixels are noisy. 0 shows them as they are.
    width : int or None
        In pixels; as much as the panels need where None.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a clip is not in the attribution or the clips, or a region is asked for that was not planted.

    See Also
    --------
    medn_lab.diagnose.integrated_gradients, medn_lab.diagnose.check_attribution

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> maps = medn.diagnose.saliency(medn.load_pretrained("medn_tiny.synthme_v2"), clips, target="happiness")
    >>> figure = plot_attribution(maps, clips.table["clip_id"][0], clips=clips)
    >>> figure.layout.title.text
    '<b>Attribution</b> · happiness by saliency'
    """
    places = positions(attribution.table, clip_ids, owner="this attribution")
    drawn = [mapped_clip(attribution, int(place), clips=clips, region=region, blur=blur) for place in places]
    panels, missing = _panels(drawn[0], attribution.method.replace("_", " "))
    with_strip = strip and len(drawn) == 1 and {"frames", "course"} <= set(panels)
    about = [describe(clip_row(clips, drawn[0].clip_id)[1])] if len(drawn) == 1 else []
    left, widths = 52 if panels[0] == "course" else 14, [_WIDTHS[panel] for panel in panels]
    needed = left + 14 + sum(widths)
    width = width or max(640, needed)
    lines, letters = [*about, *sanity_lines(attribution, places=places), *missing], int((width - 24) / 6.4)
    subtitle = [part for line in lines for part in textwrap.wrap(line, letters, break_on_hyphens=False)]
    rows, top, foot = len(drawn), 72 + 17 * len(subtitle), 46
    body = rows * _ROW + (rows - 1) * _GAP + (_GAP + _STRIP) * with_strip
    figure = make_subplots(
        rows=rows + with_strip, cols=len(panels), column_widths=widths,
        row_heights=[_ROW] * rows + [_STRIP] * with_strip,
        specs=[[{}] * len(panels)] * rows + [[{"colspan": len(panels)}] + [None] * (len(panels) - 1)] * with_strip,
        horizontal_spacing=44 / sum(widths) if len(panels) > 1 else 0,
        vertical_spacing=_GAP / body if rows + with_strip > 1 else 0,
    )  # fmt: skip
    for row, one in enumerate(drawn, start=1):
        for col, panel in enumerate(panels, start=1):
            title = (f"<b>{as_text(one.clip_id)}</b><br>" if rows > 1 and col == 1 else "") + _TITLES[panel]
            if panel == "course":
                _add_course(figure, drawn, one, clips, title=title, row=row, col=col)
                continue
            maps = [require(clip.summed(panel), otherwise=_NO_MAP) for clip in drawn]
            look: dict[str, Any] = {"largest": images.full_colour(*maps), "size": PIXELS, "outline": one.outline}
            picture = images.draw_heat(None if one.faces is None else one.faces[0], maps[row - 1], **look)
            tile(figure, Tile(picture, title, colour_key(look["largest"])), row=row, col=col)
    if with_strip:
        _add_strip(figure, drawn[0], clips)
    title = f"<b>Attribution</b> · {as_text(attribution.target)} by {attribution.method.replace('_', ' ')}"
    return theme.finish(
        figure, width=width, height=top + body + foot, title=title, subtitle="<br>".join(subtitle),
        margin=(left, 14 + max(0, width - needed), top, foot),
    )  # fmt: skip


def colour_key(largest: float) -> str:
    """What the colours of a map mean, in its unit."""
    if largest <= 0:
        return "the map is 0 everywhere"
    red, blue = (f"<span style='color:rgb{colour}'>■</span>" for colour in (images.FOR, images.AGAINST))
    return f"{red} raises, +{largest:.2g}   {blue} lowers, −{largest:.2g}"


def _panels(one: MappedClip, method: str) -> tuple[list[str], list[str]]:
    """The panels of a clip, and a sentence for each part that its map does not have."""
    frames, missing = one.frames, []
    moments = frames is not None and not np.allclose(frames[1:], frames[1:2], rtol=1e-4, atol=0)
    places = frames is not None and not np.allclose(frames, frames[:, :1, :1], rtol=1e-4, atol=0)
    if frames is None:
        missing.append("the target does not depend on the frames")
    elif moments != places:
        alike = "all frames the same map" if places else "all places of a frame the same value"
        missing.append(f"{method} gives {alike}")
    if one.flow is None:
        missing.append("the map does not cover the flow")
    there = {"frames": frames is not None and (places or not moments), "flow": one.flow is not None, "course": moments}
    return [name for name, shown in there.items() if shown], missing


def _frame_names(clips: Clips, clip_id: str) -> list[str]:
    """Time of each frame, and onset, apex and offset by name, in two lines."""
    moments = clip_moments(clips, clip_id)
    counts = [str(place + 1) for place in range(len(moments.numbers))]
    times = counts if moments.milliseconds is None else [f"{time:.0f} ms" for time in moments.milliseconds]
    called = ["apex" if place == moments.apex else moments.names(place) for place in range(len(times))]
    return [f"{time}<br>{name}" if name else time for time, name in zip(times, called, strict=True)]


def _add_course(
    figure: go.Figure, drawn: Sequence[MappedClip], one: MappedClip, clips: Clips, *, title: str, **where: Any
) -> None:
    """Bars of the sum over each frame, or of its absolute values where signs cancel over the face; one common axis."""
    course = require(one.course, otherwise=_NO_MAP)
    colours = [f"rgb{images.FOR if value >= 0 else images.AGAINST}" if one.signed else theme.GREY for value in course]
    marks.bars(figure, course, labels=_frame_names(clips, one.clip_id), colours=colours, horizontal=False, **where)
    courses = np.concatenate([[0.0], *[clip.course for clip in drawn if clip.course is not None]])
    low, high = float(courses.min()), float(courses.max())
    room = 0.06 * (high - low) or 1.0
    figure.update_xaxes(tickfont={"size": SMALLEST}, tickangle=0, showgrid=False, **where)
    figure.update_yaxes(
        range=[low - room * (low < 0), high + room], nticks=5, tickformat=".2~g", zerolinecolor=theme.INK,
        tickfont={"size": SMALLEST}, **where,
    )  # fmt: skip
    heading(figure, title if one.signed else f"{title}, absolute values", **where)


def _add_strip(figure: go.Figure, one: MappedClip, clips: Clips) -> None:
    """All frames under their maps as one picture, each named below it; between them the page shows through."""
    frames, faces = require(one.frames, otherwise=_NO_MAP), one.faces
    look: dict[str, Any] = {"largest": images.full_colour(frames), "size": 168, "outline": one.outline}
    cells = [images.draw_heat(None if faces is None else faces[k], heat, **look) for k, heat in enumerate(frames)]
    opaque = np.full((*cells[0].shape[:2], 1), 255, np.uint8)
    padded = [np.pad(np.dstack([cell, opaque]), ((0, 0), (0, 6), (0, 0))) for cell in cells]
    tile(figure, Tile(np.hstack(padded)[:, :-6]), row=2, col=1, outline=theme.CLEAR)
    for place, name in enumerate(_frame_names(clips, one.clip_id)):
        figure.add_annotation(
            text=name, x=(place + 0.5) * padded[0].shape[1] - 3, y=0, yref="y domain", yanchor="top", showarrow=False,
            font={"size": SMALLEST}, row=2, col=1,
        )  # fmt: skip


def sanity_rows(
    attribution: Attribution, *, places: Iterable[int] | None = None, region_of_flow: str = "AUs"
) -> list[tuple[str, str, str]]:
    """The checks of a map as name, value and how to read it; values may hold plotly's tags.

    `places` are the rows whose scores are given, all where None. A map that survives random weights is marked.

    Examples
    --------
    >>> made = {"table": pd.DataFrame({"clip_id": ["a"]}), "target": "x", "branch": "both", "method": "saliency"}
    >>> maps = Attribution(np.zeros((1, 2, 4, 4, 3)), None, **made, sanity={"infidelity": 0.25})
    >>> [value for name, value, _ in sanity_rows(maps) if name == "infidelity"]
    ['0.25']
    """
    figures, rows = attribution.sanity, []
    if attribution.scores is not None and attribution.baseline_scores is not None:
        shown = list(range(len(attribution)) if places is None else places)
        for number, place in enumerate(shown, start=1):
            score = float(attribution.scores[place])
            value = f"{score:.2f}, change {score - float(attribution.baseline_scores[place]):+.2f}"
            if "completeness_error" in figures:
                value += f", sum of the map {float(attribution.totals[place]):+.2f}"
            name = "score" if len(shown) == 1 else f"score of {'ab'[number - 1] if len(shown) == 2 else number}"
            of = f"{attribution.table['clip_id'].iloc[place]}: value of the target"
            rows.append((name, value, f"{of}, and its difference from a clip in which nothing moves"))
    error, threshold = figures.get("completeness_error"), figures.get("randomised_threshold", np.inf)
    complete = "not a property of this method" if error is None else f"{error:.0%} missing"
    rows.append(("completeness", complete, "The share of the score's change that the map does not explain; 0 is best"))
    not_made = "not defined: nothing changes" if np.isfinite(threshold) else "not measured"
    for name, reading in _CHECKS.items():
        rows.append((name, f"{figures[name]:.2f}" if name in figures else not_made, reading))
    inputs = {"frames": "cue", "flow": region_of_flow}
    inputs = {name: region for name, region in inputs.items() if getattr(attribution, name) is not None}
    for name in inputs:
        value, alike = "not measured", figures.get(f"randomised_{name}")
        if alike is not None:
            word = "<b>SURVIVES</b>" if alike >= threshold else "changes"
            value = f"{word}, {alike:.2f}, {int(figures.get('randomised_clips', len(attribution)))} clips"
        rows.append((f"random weights, {name}", value, "Rank correlation with the map of a network of random weights"))
    for name, region in inputs.items():
        share, area = (figures.get(f"{what}_{name}") for what in ("planted", "area"))
        if share is not None and area is not None:
            value = f"{share:.0%}, area {area:.0%}" + (f", ratio {share / area:.1f}" if area > 0 else "")
            rows.append((f"share on {region}", value, f"Share of the {name} map on what was planted"))
    return rows


def sanity_lines(attribution: Attribution, *, places: Iterable[int] | None = None) -> list[str]:
    """The checks of `sanity_rows` in lines: a line a score, then all other checks."""
    checks = [(name, f"{name} {value}") for name, value, _ in sanity_rows(attribution, places=places)]
    lines = [text for name, text in checks if name.startswith("score")]
    return [*lines, " · ".join(text for name, text in checks if not name.startswith("score"))]


def verdict(attribution: Attribution) -> tuple[str, bool]:
    """One sentence on what the checks allow, and whether it is a warning."""
    figures = attribution.sanity
    if "randomised_threshold" not in figures:
        return "This map was not compared with random weights: press Check before you interpret it.", False
    alike = {name: figures.get(f"randomised_{name}", -np.inf) for name in ("frames", "flow")}
    alive = [name for name, value in alike.items() if value >= figures["randomised_threshold"]]
    if alive:
        return (
            f"Random weights give the same map of the {' and the '.join(alive)}: it does not show what was learned.",
            True,
        )
    return "Random weights give another map, so this map depends on what was learned. It does not prove use.", False


def plot_randomisation(table: pd.DataFrame, *, threshold: float = 0.5, width: int = 820) -> go.Figure:
    """Draw how similar a map stays to itself while the network is randomised from its output down.

    A point is the rank correlation between the model's map and the map after everything down to that stage was drawn at
    random: open points with the sign, filled ones without it. The map of a method that depends on the weights falls
    towards 0. A filled line that stays above the dashed threshold shows the clip and not what was learned.

    Parameters
    ----------
    table : DataFrame
        ``RandomisationCheck.table``.
    threshold : float
        From which a map is marked.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the table lacks a column or has no row.

    See Also
    --------
    medn_lab.diagnose.randomisation_check

    Examples
    --------
    >>> rows = {"stage": ["head", "all weights"], "spearman": [0.8, 0.1], "spearman_absolute": [0.9, 0.2]}
    >>> figure = plot_randomisation(pd.DataFrame(rows).assign(input="frames", n_clips=12, n_draws=2))
    >>> figure.layout.title.text
    '<b>Sanity check: random weights</b>'
    """
    columns = ("stage", "input", "spearman", "spearman_absolute", "n_clips", "n_draws")
    marks.need(table, columns, maker="diagnose.randomisation_check(...).table")
    figure = go.Figure()
    for name, rows in table.groupby("input", sort=False):
        stages = [as_text(s).replace("_", " ").replace(" and above", "<br>and above") for s in rows["stage"]]
        colour = INPUT_COLOURS[name]
        for key, word, symbol, dash in (
            ("spearman_absolute", "absolute values", "circle", "solid"),
            ("spearman", "with sign", "circle-open", "dot"),
        ):
            figure.add_scatter(
                x=["none", *stages], y=[1.0, *rows[key]], mode="lines+markers", name=f"{name}, {word}",
                line={"color": colour, "width": 2, "dash": dash}, meta=f"{name} {key}",
                marker={"symbol": symbol, "size": 9, "color": colour},
                hovertemplate=f"{name}, {word}<br>random: %{{x}}<br>rank correlation %{{y:.2f}}<extra></extra>",
            )  # fmt: skip
    figure.add_hline(y=threshold, line={"color": theme.INK, "width": 1.5, "dash": "dash"})
    first, low = table.iloc[0], min(0.0, float(table[["spearman", "spearman_absolute"]].min().min()))
    figure.update_layout(legend={"x": 0, "y": 1.02, "yanchor": "bottom", "itemsizing": "trace"})
    figure.update_xaxes(title_text="randomised part of the network", tickangle=0)
    figure.update_yaxes(title_text="rank correlation with the map", range=[low - 0.08, 1.06])
    subtitle = f"{first['n_clips']} clips, {first['n_draws']} random networks · marked from {threshold:g} (dashed)"
    return theme.finish(
        figure, width=width, height=400, title="<b>Sanity check: random weights</b>", subtitle=subtitle,
        margin=(70, 24, 104, 84),
    )  # fmt: skip


def plot_attribution_comparison(table: pd.DataFrame, *, width: int = 980) -> go.Figure:
    """Draw how far each method's map depends on the weights, and how much of it lies on the planted place.

    Left: rank correlation with the map of random weights; the point of a map beyond the dashed line is open. Right, on
    synthetic clips: the share of the map on the planted region with its 95 % interval over subjects; the diamond of the
    same colour is the same method on random weights, the thin grey band runs from the lowest to the highest of these
    random draws, the tick is the region's share of the area. A share beyond all three was learned.

    Parameters
    ----------
    table : DataFrame
        Of :func:`medn_lab.diagnose.compare_attributions`.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the table lacks a column or has no row.

    See Also
    --------
    medn_lab.diagnose.compare_attributions

    Examples
    --------
    >>> row = {"method": "saliency", "input": "frames", "target": "fear", "spearman": 0.1, "spearman_absolute": 0.2}
    >>> table = pd.DataFrame([row | {"threshold": 0.5, "survives": False, "n_clips": 12}])
    >>> figure = plot_attribution_comparison(table)
    >>> figure.layout.title.text
    '<b>Comparison of attribution methods</b> · target fear'
    """
    columns = ("method", "input", "target", "spearman", "spearman_absolute", "threshold", "survives", "n_clips")
    marks.need(table, columns, maker="diagnose.compare_attributions")
    planted = "share" in table and bool(table["share"].notna().any())
    names = {method: _METHODS.get(method, method.replace("_", " ")) for method in table["method"].unique()}
    figure = make_subplots(
        rows=1, cols=1 + planted, shared_yaxes=True, horizontal_spacing=0.06,
        subplot_titles=["similarity to random weights", "share on the planted region"][: 1 + planted],
    )  # fmt: skip
    inputs = list(table.groupby("input", sort=False))
    for number, (name, rows) in enumerate(inputs):
        at = rows["method"].map(list(names).index).to_numpy() + 0.3 * (number - (len(inputs) - 1) / 2)
        look: dict[str, Any] = {
            "labels": [f"{names[method]}, {name}" for method in rows["method"]], "places": at, "name": f"map of {name}",
            "colour": INPUT_COLOURS[name],
        }  # fmt: skip
        alike = rows.assign(value=rows[["spearman", "spearman_absolute"]].max(axis=1), low=np.nan, high=np.nan)
        marks.forest(figure, alike, open_marker=rows["survives"].to_numpy(), row=1, col=1, **look)
        if planted and "random_low" in rows:
            figure.add_bar(
                x=rows["random_high"] - rows["random_low"], base=rows["random_low"], y=at, orientation="h", width=0.1,
                name="random draws, lowest to highest", marker={"color": marks.NULL_BAND}, meta="random draws", row=1,
                col=2, customdata=rows[["random_low", "random_high"]], legendgroup="random draws",
                hovertemplate="random draws: %{customdata[0]:.3f} to %{customdata[1]:.3f}<extra></extra>",
            )  # fmt: skip
        if planted:
            references = {"random_share": f"random weights, {name}", "area": "area of the region"}
            look |= {"references": references, "reference_colour": INPUT_COLOURS[name]}
            marks.forest(figure, rows.assign(value=rows["share"]), row=1, col=2, **look)
    seen = [trace.name for trace in figure.data]
    for place, trace in enumerate(figure.data):  # one entry each in the legend
        trace.update(showlegend=trace.name not in seen[:place], legendgroup=trace.name)
    marks.level(figure, float(table["threshold"].iloc[0]), row=1, col=1)
    figure.update_yaxes(showticklabels=False)
    marks.rows_from_the_top(figure, list(names.values()), row=1, col=1)
    figure.update_yaxes(showticklabels=True, row=1, col=1)
    low = min(0.0, float(table[["spearman", "spearman_absolute"]].max(axis=1).min()))
    figure.update_xaxes(title_text="rank correlation of absolute values", range=[low - 0.06, 1.04], row=1, col=1)
    if planted:
        end = min(1.02, 1.1 * float(table.reindex(columns=["share", "high", "random_high"]).max().max()))
        figure.update_xaxes(title_text="share of the absolute map", tickformat=".0%", range=[0, end], row=1, col=2)
    figure.update_layout(legend={"x": 0, "y": -64 / (56 * len(names)), "yanchor": "top"})
    return theme.finish(
        figure, width=width, height=210 + 56 * len(names),
        margin=(marks.room_for(names.values()), 24, 92, 116),
        title=f"<b>Comparison of attribution methods</b> · target {as_text(table['target'].iloc[0])}",
        subtitle=f"{int(table['n_clips'].max())} clips · open marker: the map does not depend on the weights",
    )  # fmt: skip
