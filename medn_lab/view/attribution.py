"""Figures of attribution maps and of the checks that they pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.records import Attribution, Clips, positions
from medn_lab.view import images, marks, theme
from medn_lab.view.marks import SMALLEST, Tile, counted, heading, tiles
from medn_lab.view.rows import clip_moments, clip_row, describe
from medn_lab.view.theme import as_text

INPUT_COLOURS = {"frames": theme.BRANCH_COLOURS["emotion"], "flow": theme.BRANCH_COLOURS["motion"]}
BLUR = 1.0  # pixels by which a map is smoothed: single pixels are noisy
_PANELS = {"frames": "Attribution of the frames, summed", "flow": "Attribution of the flow"}
_METHODS = {"bare_change": "bare change (no network)", "grad_cam": "Grad-CAM"}
_CHECKS = {
    "infidelity": "Error when the map predicts the effect of a deleted square; 0 is best, 1 means a map of zeros",
    "sensitivity": "Largest relative change of the map under noise too small to see; 0 is best",
}


class MappedClip(NamedTuple):
    """What is drawn of one clip: smoothed maps, and the sum over each frame (`signed` or absolute).

    A part that is not there is None.
    """

    clip_id: str
    frames: Any  # (t, h, w)
    flow: Any  # (h, w)
    course: Any  # (t,)
    signed: bool

    def summed(self, name: str) -> Any:
        """One picture of an input's map; without the onset, because all other frames are compared with it."""
        return self.flow if name == "flow" or self.frames is None else self.frames[1:].sum(axis=0)


def mapped_clip(attribution: Attribution, place: int) -> MappedClip:
    """One clip of an attribution, ready to be drawn."""
    clip_id = attribution.table["clip_id"].iloc[place]
    frames, flow = (None if heat is None else heat[place] for heat in (attribution.frames_heat, attribution.flow_heat))
    course, signed = None, True
    if frames is not None:
        course, weights = frames.sum(axis=(1, 2)), np.abs(frames).sum(axis=(1, 2))
        # Slopes of a branch that reads local change cancel over the face: the rest is rounding.
        signed = bool(np.abs(course).max() >= 1e-3 * weights.max())
        course = course if signed else weights
    frames, flow = (None if heat is None else images.smooth(heat, BLUR) for heat in (frames, flow))
    return MappedClip(clip_id, frames, flow, course, signed)


def plot_attribution(
    attribution: Attribution, clip_ids: str | Sequence[str], *, clips: Clips, region: str | None = None
) -> go.Figure:
    """Draw what raised a target (red) and what lowered it (blue): over the face, over its flow, and over time.

    Left: the values of the frames after the onset, summed over time and colour, over the onset. Middle: the flow's,
    summed over its components. Right: the sum over each frame. An input that the target does not depend on, or that
    the method does not separate, is left out and named. The sanity checks are in the subtitle, and a map that random
    weights give as well is marked there. Maps are smoothed by one pixel.

    Parameters
    ----------
    attribution : Attribution
    clip_ids : str or sequence of str
        One clip, or several that share their colours, such as a confusable pair.
    clips : Clips
        The faces; joined by clip_id.
    region : str or None
        On synthetic clips, what to draw a white line around: ``cue``, an AU such as ``AU12``, or ``AUs``.

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
    medn_lab.widgets.AttributionViewer : the same, also for each frame.

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
    drawn = [mapped_clip(attribution, int(place)) for place in places]
    faces = [images.onset_face(clips, one.clip_id) for one in drawn]
    outlines = [None if region is None else images.region_of(clips, one.clip_id, region) for one in drawn]
    method, frames = attribution.method.replace("_", " "), drawn[0].frames
    moments = frames is not None and not np.allclose(frames[1:], frames[1:2], rtol=1e-4, atol=0)
    sites = frames is not None and not np.allclose(frames, frames[:, :1, :1], rtol=1e-4, atol=0)
    there = {"frames": frames is not None and (sites or not moments), "flow": drawn[0].flow is not None}
    panels = [name for name, known in (there | {"course": moments}).items() if known]
    lines = [describe(clip_row(clips, drawn[0].clip_id)[1])] if len(drawn) == 1 else []
    lines += sanity_lines(attribution, places=places)
    lines += ["the target does not depend on the frames"] * (frames is None)
    if moments != sites:
        lines.append(f"{method} gives {'all frames the same map' if sites else 'all places of a frame the same value'}")
    lines += ["the map does not cover the flow"] * (not there["flow"])
    cell = 280
    last = max(1.5 if moments else 1.0, 616 / cell - len(panels) + 1)  # wide enough for the lines
    columns: list[list[Tile | None]] = [[None] * len(drawn) for _ in panels]
    for col, panel in enumerate(name for name in panels if name != "course"):
        heats = [one.summed(panel) for one in drawn]
        largest = images.full_colour(*heats)
        for row, (one, face, outline) in enumerate(zip(drawn, faces, outlines, strict=True)):
            title = f"<b>{as_text(one.clip_id)}</b><br>" * (len(drawn) > 1) + _PANELS[panel]
            picture = images.draw_heat(face, heats[row], largest=largest, size=360, outline=outline)
            columns[col][row] = Tile(picture, title, colour_key(largest))
    title = f"<b>Attribution</b> · {as_text(attribution.target)} by {method}"
    figure = tiles(columns, title=title, cell=cell, last=last, subtitle="<br>".join(lines))
    for row, one in enumerate(drawn if moments else (), start=1):
        times, names = clip_moments(clips, one.clip_id), [str(place + 1) for place in range(len(one.course))]
        for place in range(len(names)) if len(names) == len(times.numbers) else ():
            count = names[place] if times.milliseconds is None else f"{times.milliseconds[place]:.0f} ms"
            names[place] = f"{count}<br>{'apex' if place == times.apex else times.names(place)}".removesuffix("<br>")
        # Bars of the sum over each frame, or of its absolute values where signs cancel over the face; one common axis.
        where: dict[str, Any] = {"row": row, "col": len(panels)}
        signs = [f"rgb{images.FOR if value >= 0 else images.AGAINST}" for value in one.course]
        look = {"marker_color": signs if one.signed else theme.GREY, "hovertemplate": "%{x}: %{y:.3f}<extra></extra>"}
        figure.add_bar(x=names, y=one.course, **look, **where)
        marks.indent(figure, 44, **where)
        figure.update_xaxes(tickfont_size=SMALLEST, tickangle=0, showgrid=False, **where)
        figure.update_yaxes(matches=figure.get_subplot(1, where["col"]).xaxis.anchor if row > 1 else None, **where)
        figure.update_yaxes(nticks=5, tickformat=".2~g", zerolinecolor=theme.INK, tickfont_size=SMALLEST, **where)
        heading(figure, "Attribution per frame" + ", absolute values" * (not one.signed), **where)
    return figure.update_layout(margin_b=max(figure.layout.margin.b, 48))  # the names of the frames have two lines


def colour_key(largest: float) -> str:
    """What the colours of a map mean, in its unit."""
    if largest <= 0:
        return "the map is 0 everywhere"
    red, blue = (f"<span style='color:rgb{colour}'>■</span>" for colour in (images.FOR, images.AGAINST))
    return f"{red} raises, +{largest:.2g}   {blue} lowers, −{largest:.2g}"


def sanity_rows(
    attribution: Attribution, *, places: Iterable[int] | None = None, region_of_flow: str = "AUs"
) -> list[tuple[str, str, str]]:
    """The checks of a map as name, value and how to read it; values may hold plotly's tags.

    `places` are the rows whose scores are given, all where None. A map that random weights give as well is marked.

    Examples
    --------
    >>> made = {"table": pd.DataFrame({"clip_id": ["a"]}), "target": "x", "branch": "both", "method": "saliency"}
    >>> maps = Attribution(np.zeros((1, 2, 4, 4, 3)), None, **made, sanity={"infidelity": 0.25})
    >>> [value for name, value, _ in sanity_rows(maps) if name == "infidelity"]
    ['0.25']
    """
    known, rows, shown = attribution.sanity, [], list(range(len(attribution)) if places is None else places)
    if attribution.scores is not None and attribution.baseline_scores is not None:
        changes = attribution.scores - attribution.baseline_scores
        for number, place in enumerate(shown, start=1):
            value = f"{attribution.scores[place]:.2f}, change {changes[place]:+.2f}"
            if "completeness_error" in known:
                value += f", sum of the map {attribution.totals[place]:+.2f}"
            name = "score" if len(shown) == 1 else f"score of {'ab'[number - 1] if len(shown) == 2 else number}"
            of = f"{attribution.table['clip_id'].iloc[place]}: value of the target"
            rows.append((name, value, f"{of}, and its difference from a clip in which nothing moves"))
    error = known.get("completeness_error")
    complete = "not a property of this method" if error is None else f"{error:.0%} missing"
    rows += [("completeness", complete, "The share of the score's change that the map does not explain; 0 is best")]
    threshold = known.get("randomised_threshold", np.inf)
    not_made = "not defined: nothing changes" if np.isfinite(threshold) else "not measured"
    rows += [(name, f"{known[name]:.2f}" if name in known else not_made, text) for name, text in _CHECKS.items()]
    planted, n_clips = [], counted(int(known.get("randomised_clips", len(attribution))), "clip")
    for name, region in {"frames": "cue", "flow": region_of_flow}.items():
        if getattr(attribution, name) is None:
            continue
        alike, share, area = (known.get(f"{what}_{name}") for what in ("randomised", "planted", "area"))
        word = "<b>same map</b>" if alike is not None and alike >= threshold else "another map"
        value = "not measured" if alike is None else f"{word}, {alike:.2f}, {n_clips}"
        rows.append((f"random weights, {name}", value, "Rank correlation with the map of a network of random weights"))
        if share is not None and area is not None:
            value = f"{share:.0%}, area {area:.0%}" + (f", ratio {share / area:.1f}" if area > 0 else "")
            planted.append((f"share on {region}", value, f"Share of the {name} map on what was planted"))
    return rows + planted


def sanity_lines(attribution: Attribution, *, places: Iterable[int] | None = None) -> list[str]:
    """The checks of `sanity_rows` in lines: a line a score, then all other checks."""
    checks = [f"{name} {value}" for name, value, _ in sanity_rows(attribution, places=places)]
    scores = [text for text in checks if text.startswith("score")]
    return [*scores, " · ".join(checks[len(scores) :])]


def verdict(attribution: Attribution) -> tuple[str, bool]:
    """One sentence on what the checks allow, and whether it is a warning."""
    known, threshold = attribution.sanity, attribution.sanity.get("randomised_threshold")
    if threshold is None:
        return "This map was not compared with random weights: press Check before you interpret it.", False
    inputs = (name for name in ("frames", "flow") if known.get(f"randomised_{name}", -np.inf) >= threshold)
    same = " and the ".join(inputs)
    if same:
        return f"Random weights give the same map of the {same}: it does not show what was learned.", True
    return "Random weights give another map, so this map depends on what was learned. It does not prove use.", False


def plot_randomisation(table: pd.DataFrame, *, threshold: float = 0.5, width: int = 820) -> go.Figure:
    """Draw how similar a map stays to itself while the network is randomised from its output down.

    A point is the rank correlation between the model's map and the map after everything down to that stage was drawn at
    random: open points with the sign, filled ones without it. The map of a method that depends on the weights falls
    towards 0. A filled line that stays above the dashed threshold shows the clip and not what was learned.

    Parameters
    ----------
    table : DataFrame
        The result of ``randomisation_check``.
    threshold : float
        From which a map is marked.
    width : int
        In pixels.

    Returns
    -------
    Figure

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
    marks.need(table, columns, maker="diagnose.randomisation_check")
    figure = go.Figure()
    looks = {"spearman_absolute": ("absolute values", "", "solid"), "spearman": ("with sign", "-open", "dot")}
    for name, rows in table.groupby("input", sort=False):
        stages = [as_text(s).replace("_", " ").replace(" and above", "<br>and above") for s in rows["stage"]]
        for key, (word, filling, dash) in looks.items():
            figure.add_scatter(
                x=["none", *stages], y=[1.0, *rows[key]], mode="lines+markers", name=f"{name}, {word}",
                line={"color": INPUT_COLOURS[name], "width": 2, "dash": dash}, marker_size=9, meta=f"{name} {key}",
                marker_symbol=f"circle{filling}", hovertemplate="random: %{x}<br>rank correlation %{y:.2f}",
            )  # fmt: skip
    marks.level(figure, threshold, axis="y")
    first, low = table.iloc[0], min(0.0, table[[*looks]].min(axis=None))
    figure.update_xaxes(title_text="randomised part of the network", tickangle=0)
    figure.update_yaxes(title_text="rank correlation with the map", range=[low - 0.08, 1.06])
    facts = f"{counted(first['n_clips'], 'clip')}, {counted(first['n_draws'], 'random network')}"
    facts, title = f"{facts} · marked from {threshold:g} (dashed)", "<b>Sanity check: random weights</b>"
    return theme.finish(figure, width=width, body=230, title=title, subtitle=facts)


def plot_attribution_comparison(table: pd.DataFrame, *, width: int = 980) -> go.Figure:
    """Draw how far each method's map depends on the weights, and how much of it lies on the planted place.

    A line is a method's map of one input. Left: rank correlation with the map of random weights; the point of a map
    beyond the dashed line is open. Right, on synthetic clips: the share of the map on the planted region with its 95 %
    interval over subjects; the diamond is the same method on random weights, the thin grey band runs from the lowest to
    the highest of these random draws, the tick is the region's share of the area. A share beyond all three was learned.

    Parameters
    ----------
    table : DataFrame
        Of :func:`medn_lab.diagnose.compare_attributions`.
    width : int
        In pixels.

    Returns
    -------
    Figure

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
    table = table.sort_values("input", key=lambda names: names.map(list(names.unique()).index), kind="stable")
    planted = "share" in table and bool(table["share"].notna().any())
    names = [_METHODS.get(method, method.replace("_", " ")) for method in table["method"]]
    labels = [f"{method}, {name}" for method, name in zip(names, table["input"], strict=True)]
    colours = list(table["input"].map(INPUT_COLOURS))
    titles = ["similarity to random weights", "share on the planted region"][: 1 + planted]
    figure = marks.side_by_side(*titles, gap=0.06, shared_yaxes=True)
    alike = table.assign(value=table[["spearman", "spearman_absolute"]].max(axis=1), low=np.nan, high=np.nan)
    look: dict[str, Any] = {"labels": labels, "colour": colours, "name": "map"}
    marks.forest(figure, alike, open_marker=table["survives"], legend=False, row=1, col=1, **look)
    marks.level(figure, float(table["threshold"].iloc[0]), row=1, col=1)
    low = min(0.0, alike["value"].min()) - 0.06
    figure.update_xaxes(title_text="larger rank correlation, signed or absolute", range=[low, 1.04], row=1, col=1)
    if planted:
        ends = table.reindex(columns=["random_low", "random_high"])
        figure.add_bar(
            x=ends["random_high"] - ends["random_low"], base=ends["random_low"], y=np.arange(len(table)), width=0.3,
            orientation="h", name="random draws, lowest to highest", marker={"color": marks.NULL_BAND}, customdata=ends,
            hovertemplate="random draws: %{customdata[0]:.3f} to %{customdata[1]:.3f}<extra></extra>", row=1, col=2,
        )  # fmt: skip
        references = {"random_share": "random weights, mean", "area": "area of the region"}
        shares = table.assign(value=table["share"])
        marks.forest(figure, shares, references=references, reference_colour=colours, row=1, col=2, **look)
        end = min(1.02, 1.1 * table.reindex(columns=["share", "high", "random_high"]).max(axis=None))
        figure.update_xaxes(title_text="share of the absolute map", tickformat=".0%", range=[0, end], row=1, col=2)
    return theme.finish(
        figure, width=width, body=28 * len(table),
        title=f"<b>Comparison of attribution methods</b> · target {as_text(table['target'].iloc[0])}",
        subtitle=f"{counted(int(table['n_clips'].max()), 'clip')} · open marker: random weights give the same map",
    )  # fmt: skip
