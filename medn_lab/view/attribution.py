"""Figures of attribution maps, of the checks that they pass, of kept tokens and of CoFM's gate."""

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
from medn_lab.view import theme
from medn_lab.view.images import (
    AGAINST,
    FOR,
    draw_heat,
    full_colour,
    region_of,
    smooth,
)
from medn_lab.view.marks import SMALLEST, Tile, bars, forest, level, need, room_for, rows_from_the_top, tile
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
_ROW, _STRIP, _GAP = 240, 114, 76
_NO_MAP = "this input has no map in this attribution"


@dataclass(frozen=True)
class MappedClip:
    """What is drawn of one clip: its row in the attribution, smoothed maps, sum over each frame, face, outline."""

    place: int
    clip_id: str
    frames: np.ndarray | None
    flow: np.ndarray | None
    course: np.ndarray | None
    signed: bool
    faces: np.ndarray | None
    outline: np.ndarray | None

    def summed(self, name: str) -> np.ndarray | None:
        """One picture of an input's map; the onset is left out, because all other frames are compared with it."""
        if name == "flow":
            return self.flow
        return None if self.frames is None else self.frames[1:].sum(axis=0)

    @property
    def separates_frames(self) -> bool:
        """Whether the frames after the onset have different maps."""
        return self.frames is not None and not np.allclose(self.frames[1:], self.frames[1:2], rtol=1e-4, atol=0)

    @property
    def separates_places(self) -> bool:
        """Whether the pixels of a frame have different values."""
        return self.frames is not None and not np.allclose(self.frames, self.frames[:, :1, :1], rtol=1e-4, atol=0)


def mapped_clip(attribution: Attribution, place: int, *, clips: Clips, region: str | None, blur: float) -> MappedClip:
    """One clip of an attribution, ready to be drawn."""
    clip_id = attribution.table["clip_id"].iloc[place]
    row, _ = clip_row(clips, clip_id)
    frames, flow, courses = attribution.frames_heat, attribution.flow_heat, attribution.course
    course, signed = None, True
    if frames is not None and courses is not None:
        course = courses[place]
        weights = np.abs(frames[place]).sum(axis=(1, 2))
        # Slopes of a branch that reads local change cancel over the face: what is left is rounding.
        signed = bool(np.abs(course).max() >= 1e-3 * weights.max())
        course = course if signed else weights
    return MappedClip(
        place,
        clip_id,
        None if frames is None else smooth(frames[place], blur),
        None if flow is None else smooth(flow[place], blur),
        course,
        signed,
        None if clips.frames is None else np.asarray(clips.frames[row]),
        None if region is None else region_of(clips, clip_id, region),
    )


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
    names = attribution.table["clip_id"].iloc[places].tolist()
    drawn = [mapped_clip(attribution, int(place), clips=clips, region=region, blur=blur) for place in places]
    panels, missing = _panels(drawn[0], attribution.method.replace("_", " "))
    with_strip = strip and len(drawn) == 1 and {"frames", "course"} <= set(panels)
    about = [describe(clip_row(clips, names[0])[1])] if len(drawn) == 1 else []
    facts = sanity_lines(attribution, places=places)
    left = 52 if panels[0] == "course" else 14
    needed = left + 14 + sum(_WIDTHS[panel] for panel in panels)
    width = max(640, needed) if width is None else width
    lines, letters = [*about, *facts, *missing], int((width - 24) / 6.4)
    subtitle = [part for line in lines for part in textwrap.wrap(line, letters, break_on_hyphens=False)]
    rows, top, foot = len(drawn), 72 + 17 * len(subtitle), 46
    body = rows * _ROW + (rows - 1) * _GAP + (_GAP + _STRIP) * with_strip
    figure = make_subplots(
        rows=rows + with_strip,
        cols=len(panels),
        specs=[[{}] * len(panels)] * rows + [[{"colspan": len(panels)}] + [None] * (len(panels) - 1)] * with_strip,
        row_heights=[_ROW] * rows + [_STRIP] * with_strip,
        column_widths=[_WIDTHS[panel] for panel in panels],
        horizontal_spacing=44 / sum(_WIDTHS[panel] for panel in panels) if len(panels) > 1 else 0,
        vertical_spacing=_GAP / body if rows + with_strip > 1 else 0,
    )
    for row, one in enumerate(drawn, start=1):
        for col, panel in enumerate(panels, start=1):
            heading = (f"<b>{as_text(one.clip_id)}</b><br>" if rows > 1 and col == 1 else "") + _TITLES[panel]
            if panel == "course":
                _add_course(figure, drawn, one, clips, heading=heading, row=row, col=col)
                continue
            maps = [require(clip.summed(panel), otherwise=_NO_MAP) for clip in drawn]
            largest = full_colour(*maps)
            look: dict[str, Any] = {"largest": largest, "size": PIXELS, "outline": one.outline}
            picture = draw_heat(None if one.faces is None else one.faces[0], maps[row - 1], **look)
            tile(figure, Tile(picture, heading, colour_key(largest)), row=row, col=col)
    if with_strip:
        _add_strip(figure, drawn[0], clips)
    title = f"<b>Attribution</b> · {as_text(attribution.target)} by {attribution.method.replace('_', ' ')}"
    theme.finish(
        figure, width=width, height=top + body + foot, title=title, subtitle="<br>".join(subtitle),
        margin=(left, 14 + max(0, width - needed), top, foot),
    )  # fmt: skip
    return figure


def colour_key(largest: float) -> str:
    """What the colours of a map mean, in its unit; empty for a map of zeros."""
    if largest <= 0:
        return "the map is 0 everywhere"
    red, blue = (f"<span style='color:rgb{colour}'>■</span>" for colour in (FOR, AGAINST))
    return f"{red} raises, +{largest:.2g}   {blue} lowers, −{largest:.2g}"


def _panels(one: MappedClip, method: str) -> tuple[list[str], list[str]]:
    panels, missing = [], []
    if one.frames is None:
        missing.append("the target does not depend on the frames")
    elif one.separates_places or not one.separates_frames:
        panels.append("frames")
    else:
        missing.append(f"{method} gives all places of a frame the same value")
    if one.frames is not None and one.separates_places and not one.separates_frames:
        missing.append(f"{method} gives all frames the same map")
    if one.flow is None:
        missing.append("the map does not cover the flow")
    else:
        panels.append("flow")
    return panels + ["course"] * one.separates_frames, missing


def frame_names(clips: Clips, clip_id: str) -> list[str]:
    """Time of each frame, and onset, apex and offset by name, in two lines."""
    moments = clip_moments(clips, clip_id)
    names = []
    for place in range(len(moments.numbers)):
        when = f"{place + 1}" if moments.milliseconds is None else f"{moments.milliseconds[place]:.0f} ms"
        called = "apex" if place == moments.apex else moments.names(place)
        names.append("<br>".join(filter(None, (when, called))))
    return names


def _add_course(
    figure: go.Figure, drawn: Sequence[MappedClip], one: MappedClip, clips: Clips, *, heading: str, row: int, col: int
) -> None:
    """Bars of the sum over each frame, or of its absolute values where signs cancel over the face; one common axis."""
    course = require(one.course, otherwise=_NO_MAP)
    colours = [f"rgb{FOR if value >= 0 else AGAINST}" if one.signed else theme.GREY for value in course]
    where: dict[str, Any] = {"row": row, "col": col}
    bars(figure, course, labels=frame_names(clips, one.clip_id), colours=colours, horizontal=False, **where)
    courses = np.concatenate([[0.0], *[clip.course for clip in drawn if clip.course is not None]])
    low, high = float(courses.min()), float(courses.max())
    room = 0.06 * (high - low) or 1.0
    figure.update_xaxes(tickfont={"size": SMALLEST}, tickangle=0, showgrid=False, **where)
    figure.update_yaxes(range=[low - room * (low < 0), high + room], nticks=5, tickformat=".2~g", **where)
    figure.update_yaxes(zerolinecolor=theme.INK, tickfont={"size": SMALLEST}, **where)
    figure.add_annotation(
        text=heading if one.signed else f"{heading}, absolute values", xref="x domain", yref="y domain", x=0, y=1,
        xanchor="left", yanchor="bottom", showarrow=False, font={"size": 13}, **where,
    )  # fmt: skip


def _add_strip(figure: go.Figure, one: MappedClip, clips: Clips) -> None:
    """All frames under their maps as one picture, each named below it."""
    frames, faces = require(one.frames, otherwise=_NO_MAP), one.faces
    look: dict[str, Any] = {"largest": full_colour(frames), "size": 168, "outline": one.outline}
    cells = [draw_heat(None if faces is None else faces[k], heat, **look) for k, heat in enumerate(frames)]
    height, width = cells[0].shape[:2]
    step = width + 6
    # Between the frames the page shows through.
    joined = np.zeros((height, step * len(cells) - 6, 4), dtype=np.uint8)
    for place, cell in enumerate(cells):
        joined[:, place * step : place * step + width] = np.dstack([cell, np.full((height, width), 255, np.uint8)])
    tile(figure, Tile(joined), row=2, col=1, outline=theme.CLEAR)
    for place, name in enumerate(frame_names(clips, one.clip_id)):
        figure.add_annotation(
            text=name, x=place * step + width / 2, y=0, yref="y domain", yanchor="top", showarrow=False,
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
    figures = attribution.sanity
    tried = "randomised_threshold" in figures
    rows = []
    if attribution.scores is not None and attribution.baseline_scores is not None:
        shown = list(range(len(attribution)) if places is None else places)
        for number, place in enumerate(shown):
            clip_id = attribution.table["clip_id"].iloc[place]
            score = float(attribution.scores[place])
            change = score - float(attribution.baseline_scores[place])
            value = f"{score:.2f}, change {change:+.2f}"
            if "completeness_error" in figures:
                value += f", sum of the map {float(attribution.totals[place]):+.2f}"
            name = "score" if len(shown) == 1 else f"score of {'ab'[number] if number < 2 else number + 1}"
            rows.append((name, value, f"{clip_id}: value of the target, and its change from a clip without any change"))
    error = figures.get("completeness_error")
    complete = "the method does not claim it" if error is None else f"{error:.0%} missing"
    rows.append(("completeness", complete, "The share of the score's change that the map does not explain; 0 is best"))
    for name, reading in (
        ("infidelity", "Error when the map predicts what a deleted square changes; 0 is best, 1 is a map of zeros"),
        ("sensitivity", "Largest relative change of the map under noise too small to see; 0 is best"),
    ):
        not_made = "not defined, nothing changes" if tried else "not measured"
        rows.append((name, f"{figures[name]:.2f}" if name in figures else not_made, reading))
    for name in ("frames", "flow"):
        if getattr(attribution, name) is None:
            continue
        alike, threshold = figures.get(f"randomised_{name}"), figures.get("randomised_threshold", np.inf)
        value = "not measured"
        if alike is not None:
            word = "<b>SURVIVES</b>" if alike >= threshold else "changes"
            value = f"{word}, {alike:.2f}, {int(figures.get('randomised_clips', len(attribution)))} clips"
        rows.append((f"random weights, {name}", value, "Rank correlation with the map of a network of random weights"))
    for name, region in (("frames", "cue"), ("flow", region_of_flow)):
        share, area = (figures.get(f"{what}_{name}") for what in ("planted", "area"))
        if getattr(attribution, name) is not None and share is not None and area is not None:
            ratio = f", ratio {share / area:.1f}" if area > 0 else ""
            rows.append(
                (
                    f"share on {region}",
                    f"{share:.0%}, area {area:.0%}{ratio}",
                    f"Share of the {name} map on what was planted",
                )
            )
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
    alive = [
        n for n in ("frames", "flow") if figures.get(f"randomised_{n}", -np.inf) >= figures["randomised_threshold"]
    ]
    if alive:
        return f"Random weights give the same map of the {' and the '.join(alive)}: it does not show learning.", True
    return "Random weights give another map, so this map depends on what was learned. It is no proof of use.", False


def plot_randomisation(
    table: pd.DataFrame, *, threshold: float = 0.5, width: int = 820, height: int = 400
) -> go.Figure:
    """Draw what is left of a map while the network is randomised from its output down.

    A point is the rank correlation between the model's map and the map after everything down to that stage was drawn at
    random: open points with the sign, filled ones without it. The map of a method that depends on the weights falls
    towards 0. A filled line that stays above the dashed threshold shows the clip and not what was learned.

    Parameters
    ----------
    table : DataFrame
        ``RandomisationCheck.table``.
    threshold : float
        From which a map is marked.
    width, height : int
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
    need(table, columns, maker="diagnose.randomisation_check(...).table")
    figure = go.Figure()
    for name, rows in table.groupby("input", sort=False):
        stages = [as_text(s).replace("_", " ").replace(" and above", "<br>and above") for s in rows["stage"]]
        colour = INPUT_COLOURS[name]
        for key, word, symbol, dash in (
            ("spearman_absolute", "absolute values", "circle", "solid"),
            ("spearman", "with sign", "circle-open", "dot"),
        ):
            figure.add_trace(
                go.Scatter(
                    x=["none", *stages], y=[1.0, *rows[key]], mode="lines+markers", name=f"{name}, {word}",
                    line={"color": colour, "width": 2, "dash": dash}, meta=f"{name} {key}",
                    marker={"symbol": symbol, "size": 9, "color": colour},
                    hovertemplate=f"{name}, {word}<br>random: %{{x}}<br>rank correlation %{{y:.2f}}<extra></extra>",
                )
            )  # fmt: skip
    figure.add_hline(y=threshold, line={"color": theme.INK, "width": 1.5, "dash": "dash"})
    figure.add_hline(y=0, line={"color": theme.FAINT, "width": 1})
    clips, draws = int(table["n_clips"].iloc[0]), int(table["n_draws"].iloc[0])
    theme.finish(
        figure, width=width, height=height, title="<b>Sanity check: random weights</b>",
        subtitle=f"{clips} clips, {draws} sets of random weights · dashed: marked from {threshold:g}",
        margin=(70, 24, 104, 84),
    )  # fmt: skip
    figure.update_layout(legend={"x": 0, "y": 1.02, "yanchor": "bottom", "itemsizing": "trace"})
    figure.update_xaxes(title_text="randomised part of the network", tickangle=0)
    low = min(0.0, float(table[["spearman", "spearman_absolute"]].min().min()))
    figure.update_yaxes(title_text="rank correlation with the map", range=[low - 0.08, 1.06], zeroline=False)
    return figure


def plot_attribution_comparison(table: pd.DataFrame, *, width: int = 980, height: int | None = None) -> go.Figure:
    """Draw how far each method's map depends on the weights, and how much of it lies on the planted place.

    Left: rank correlation with the map of random weights; the point of a map beyond the dashed line is open. Right, on
    synthetic clips: the share of the map on the planted region with its 95 % interval over subjects; the diamond is the
    same method on random weights, the tick the region's share of the area. A share beyond both was learned.

    Parameters
    ----------
    table : DataFrame
        Of :func:`medn_lab.diagnose.compare_attributions`.
    width : int
    height : int or None
        In pixels; by the number of methods where None.

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
    need(table, columns, maker="diagnose.compare_attributions")
    planted = "share" in table and bool(table["share"].notna().any())
    methods, inputs = list(dict.fromkeys(table["method"])), list(dict.fromkeys(table["input"]))
    figure = make_subplots(
        rows=1, cols=1 + planted, shared_yaxes=True, horizontal_spacing=0.06,
        subplot_titles=["similarity to random weights", "share on the planted region"][: 1 + planted],
    )  # fmt: skip
    for place, name in enumerate(inputs):
        rows = table[table["input"] == name]
        at = np.array([methods.index(method) for method in rows["method"]], dtype=float)
        at += 0.3 * (place - (len(inputs) - 1) / 2)
        words = [f"{_METHODS.get(method, method.replace('_', ' '))}, {name}" for method in rows["method"]]
        alike = rows.assign(value=rows[["spearman", "spearman_absolute"]].max(axis=1), low=np.nan, high=np.nan)
        look: dict[str, Any] = {"labels": words, "places": at, "colour": INPUT_COLOURS[name], "name": f"map of {name}"}
        forest(figure, alike, open_marker=rows["survives"].to_numpy(), row=1, col=1, **look)
        if planted:
            shares = rows.assign(value=rows["share"])
            references = {"random_share": "random weights", "area": "area of the region"}
            forest(figure, shares, references=references, row=1, col=2, **look)
    seen: set[str] = set()
    for trace in figure.data:  # one entry each in the legend
        trace.showlegend = trace.name not in seen
        seen.add(trace.name)
    level(figure, float(table["threshold"].iloc[0]), row=1, col=1)
    figure.update_yaxes(showticklabels=False)
    words = [_METHODS.get(method, method.replace("_", " ")) for method in methods]
    rows_from_the_top(figure, words, row=1, col=1)
    figure.update_yaxes(showticklabels=True, row=1, col=1)
    theme.finish(
        figure, width=width, height=height or 190 + 56 * len(methods), margin=(room_for(words), 24, 92, 96),
        title=f"<b>Comparison of attribution methods</b> · target {as_text(table['target'].iloc[0])}",
        subtitle=f"{int(table['n_clips'].max())} clips · open marker: the map does not depend on the weights",
    )  # fmt: skip
    figure.update_layout(legend={"x": 0, "y": -64 / (56 * len(methods)), "yanchor": "top"})
    low = min(0.0, float(table[["spearman", "spearman_absolute"]].max(axis=1).min()))
    figure.update_xaxes(title_text="rank correlation of absolute values", range=[low - 0.06, 1.04], row=1, col=1)
    if planted:
        most = float(table[["share", "high"]].max().max())
        figure.update_xaxes(
            title_text="share of the absolute map", tickformat=".0%", range=[0, min(1.02, 1.1 * most)], row=1, col=2
        )
    return figure
