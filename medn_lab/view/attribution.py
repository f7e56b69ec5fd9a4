"""Attribution maps over the face: in the frames, in the flow and over time, with what says whether to believe them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import Attribution, Clips, positions, require
from medn_lab.view import theme
from medn_lab.view.attribution_panels import (
    MappedClip,
    add_course,
    add_picture,
    add_scales,
    add_strip,
    common_span,
    summed,
    tells_moments,
    tells_places,
)
from medn_lab.view.images import draw_heat, full_colour, region_of, smooth
from medn_lab.view.rows import clip_row, describe
from medn_lab.view.theme import as_text

PIXELS = 360
WARNING = "#D9480F"

_WIDTHS = {"frames": 284, "flow": 284, "course": 412}
_NARROWEST = 600
_FOOT, _ROW, _GAP, _STRIP, _LINE = 44, 240, 60, 114, 16


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
    """Draw what spoke for a target (red) and against it (blue): over the face, over its flow, and over time.

    Left: the values of the frames after the onset, summed over time and colour, over the onset. Middle: the flow's,
    summed over its components. Right: what each frame spoke, summed over space. Below, for a single clip: each frame by
    itself. What the target does not see or the method does not tell is left out and named. The sanity figures stand
    under the title, and a method whose map survives random weights is marked there.

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
        Whether each frame is drawn by itself, where there is one clip and the method tells frames apart.
    blur : float
        Pixels by which a map is smoothed for the eye; single pixels are noisy. 0 shows them as they are.
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
    '<b>happiness</b> by saliency'
    """
    names = [clip_ids] if isinstance(clip_ids, str) else list(clip_ids)
    places = positions(attribution.table, names, owner="this attribution")
    drawn = [mapped_clip(attribution, int(place), clips, region, blur) for place in places]
    panels, missing = _panels(drawn, attribution.method)
    with_strip = strip and len(drawn) == 1 and {"frames", "course"} <= set(panels)
    about = [describe(clip_row(clips, names[0])[1])] if len(drawn) == 1 else []
    subtitle = [*about, *_score_lines(attribution, drawn), *sanity_lines(attribution), *missing]
    left = 52 if panels[0] == "course" else 14
    needed = left + 14 + sum(_WIDTHS[panel] for panel in panels)
    width = max(_NARROWEST, needed) if width is None else width
    top = 54 + _LINE * len(subtitle)
    figure, height = _empty(drawn, panels, with_strip, top)
    limits = {
        name: full_colour(*[heat for one in drawn if (heat := summed(one, name)) is not None])
        for name in ("frames", "flow")
    }
    courses = [one.course for one in drawn if one.course is not None]
    for row, one in enumerate(drawn, start=1):
        for column, panel in enumerate(panels, start=1):
            if panel == "course":
                add_course(figure, row, column, one, clips, span=common_span(courses))
                continue
            face = None if one.faces is None else one.faces[0]
            heat = require(summed(one, panel), otherwise=f"the {panel} have no map in this attribution")
            look: dict[str, Any] = {"largest": limits[panel], "size": PIXELS, "outline": one.outline}
            add_picture(figure, row, column, draw_heat(face, heat, **look))
    if with_strip:
        add_strip(figure, drawn[0], clips)
    theme.finish(
        figure,
        width=width,
        height=height,
        title=f"<b>{as_text(attribution.target)}</b> by {attribution.method.replace('_', ' ')}",
        subtitle="<br>".join(subtitle),
        margin=(left, 14 + max(0, _NARROWEST - needed), top, _FOOT),
    )
    add_scales(figure, limits, panels, len(drawn))
    return figure


def sanity_lines(attribution: Attribution) -> list[str]:
    """What was measured of a map's trustworthiness in words; a map that survives random weights is marked.

    Examples
    --------
    >>> import pandas as pd
    >>> made = {"table": pd.DataFrame({"clip_id": ["a"]}), "target": "x", "branch": "both", "method": "saliency"}
    >>> sanity_lines(Attribution(np.zeros((1, 2, 4, 4, 3)), None, **made))
    ['not checked: no sanity figure was measured for these maps']
    """
    figures = dict(attribution.sanity)
    said = []
    if "completeness_error" in figures:
        said.append(f"completeness error {figures['completeness_error']:.1%}")
    said += [f"{name} {figures[name]:.2f}" for name in ("infidelity", "sensitivity") if name in figures]
    lines = [f"{' · '.join(said)} (over {len(attribution)} clip{'s' * (len(attribution) != 1)})"] if said else []
    threshold = figures.get("randomised_threshold", np.inf)
    random = []
    for name in ("frames", "flow"):
        alike = figures.get(f"randomised_{name}")
        if alike is not None and alike >= threshold:
            random.append(f"<b style='color:{WARNING}'>{name} SURVIVES, {alike:.2f}</b>")
        elif alike is not None:
            random.append(f"{name} changes, {alike:.2f}")
    if random:
        lines.append(f"with random weights the map of the {' · '.join(random)} (rank correlation)")
    return lines or ["not checked: no sanity figure was measured for these maps"]


def mapped_clip(attribution: Attribution, place: int, clips: Clips, region: str | None, blur: float) -> MappedClip:
    """One clip of an attribution with all that is drawn of it: maps smoothed for the eye, course, face, outline."""
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


def _panels(drawn: Sequence[MappedClip], method: str) -> tuple[list[str], list[str]]:
    """Which panels there is something to draw in, and a sentence on each that is missing."""
    one, name = drawn[0], method.replace("_", " ")
    panels, missing = [], []
    if one.frames is None:
        missing.append("the frames have no say in this target")
    else:
        moments, places = tells_moments(one), tells_places(one)
        panels += ["frames"] * (places or not moments)
        if not places and moments:
            missing.append(f"{name} does not tell places apart")
        elif places and not moments:
            missing.append(f"{name} does not tell moments apart")
    if one.flow is None:
        missing.append("the flow has no say in this map")
    else:
        panels.append("flow")
    if one.frames is not None and tells_moments(one):
        panels.append("course")
    return panels, missing


def _empty(drawn: Sequence[MappedClip], panels: Sequence[str], with_strip: bool, top: int) -> tuple[go.Figure, int]:
    """The figure without its pictures, and its height."""
    rows, columns = len(drawn), len(panels)
    body = rows * _ROW + (rows - 1) * _GAP + (_GAP + _STRIP) * with_strip
    said = {
        "frames": "frames" if rows > 1 else "frames, summed over time",
        "flow": "flow, onset to apex",
        "course": "what each frame spoke" if drawn[0].signed else "what each frame weighs, without sign",
    }
    titles = []
    for one in drawn:
        named = f"<b>{as_text(one.clip_id)}</b> · " if rows > 1 else ""
        titles += [(named if place == 0 else "") + said[panel] for place, panel in enumerate(panels)]
    figure = make_subplots(
        rows=rows + with_strip,
        cols=columns,
        specs=[[{}] * columns] * rows + [[{"colspan": columns}] + [None] * (columns - 1)] * with_strip,
        row_heights=[_ROW] * rows + [_STRIP] * with_strip,
        column_widths=[_WIDTHS[panel] for panel in panels],
        horizontal_spacing=44 / sum(_WIDTHS[panel] for panel in panels) if columns > 1 else 0,
        vertical_spacing=_GAP / body if rows + with_strip > 1 else 0,
        subplot_titles=titles + ["each frame by itself"] * with_strip,
    )
    cells = [(row, column) for row in range(1, rows + 1) for column in range(1, columns + 1)]
    cells += [(rows + 1, 1)] * with_strip
    for note, (row, column) in zip(figure.layout.annotations, cells, strict=True):
        note.update(font={"size": 13}, yshift=2, x=figure.get_subplot(row, column).xaxis.domain[0], xanchor="left")
    return figure, top + body + _FOOT


def _score_lines(attribution: Attribution, drawn: Sequence[MappedClip]) -> list[str]:
    if attribution.scores is None or attribution.baseline_scores is None:
        return ["the scores that these maps explain were not kept"]
    said = []
    for one in drawn:
        score, still = float(attribution.scores[one.place]), float(attribution.baseline_scores[one.place])
        told = f"score {score:.2f}, of which {score - still:+.2f} is due to what happens"
        if "completeness_error" in attribution.sanity:
            told += f"; the map adds up to {float(attribution.totals[one.place]):+.2f}"
        said.append(told if len(drawn) == 1 else f"{as_text(one.clip_id)}: {told}")
    return said
