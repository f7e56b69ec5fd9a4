"""One confusable pair in detail: faces at the apex, flows and their difference, attribution, scores, verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.records import Attribution, Clips, Predictions, positions
from medn_lab.view import theme
from medn_lab.view.attribution import sanity_lines
from medn_lab.view.images import (
    SCALED_NOTE,
    Magnifier,
    common_scale,
    draw_arrows,
    draw_heat,
    draw_magnitude,
    enlarge,
    flow_magnitude,
    full_colour,
    motion_field,
    scaled_by_clip,
    smooth,
)
from medn_lab.view.marks import SMALLEST, Tile, bars, need, room_for, tiles, wrapped
from medn_lab.view.rows import clip_moments, clip_row, describe, label_column, shown_frames
from medn_lab.view.theme import as_text

APART = 0.95
"""A branch separates a pair when at least this share of its controls lie nearer together."""
FEWEST_CONTROLS = 20
"""With fewer controls a share of .95 cannot be distinguished from all of them."""
PIXELS = 320
"""Longer side of a picture."""
_BLUR = 1.0  # pixels: single pixels of an attribution are noisy
_GROUND = 205
_CELL = 200
_SCORES = 1.5  # widths of a picture that the scores and their labels have
_DESIRED = {"motion": "desired: not to separate", "emotion": "desired: to separate"}


def plot_pair(
    clips: Clips,
    clip_ids: Sequence[str],
    *,
    pairs: pd.DataFrame | None = None,
    predictions: Predictions | None = None,
    attribution: Attribution | None = None,
    swaps: pd.DataFrame | None = None,
    part: Literal["frames", "flow"] = "frames",
    magnify: float = 8.0,
    width: int = 1000,
) -> go.Figure:
    """Draw the two clips of a confusable pair, one above the other, and their difference.

    Left to right: the apex with its motion magnified; the flow; in the middle of both rows the difference of the flows,
    on the scale of the flows themselves; the attribution of the model's difference; the scores. Under the title stands
    whether each branch separates the pair.

    Parameters
    ----------
    clips : Clips
        What they lack is named in its place.
    clip_ids : sequence of str
        The pair: two ids.
    pairs : DataFrame or None
        The table of ``medn.diagnose.rank_pairs``: adds the verdict of each branch.
    predictions : Predictions or None
        Adds the emotion scores.
    attribution : Attribution or None
        Of ``medn.diagnose.attribute_pair``: adds where the model's difference comes from.
    swaps : DataFrame or None
        Of ``medn.diagnose.swap_branches``: adds which branch the difference comes from.
    part : {"frames", "flow"}
        Which input's attribution is drawn.
    magnify : float
        How many times as large the motion at the apex is drawn.
    width : int
        In pixels; the figure is narrower where the pictures do not need it.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are not two ids, or a clip is not in what was given.

    See Also
    --------
    medn_lab.widgets.PairBrowser : the same, moving, and pair after pair.
    plot_confusable_pairs, plot_clip, plot_attribution

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=2, seed=7)
    >>> figure = plot_pair(clips, clips.table["clip_id"].tolist())
    >>> figure.layout.title.text
    '<b>Confusable pair</b>'
    """
    names = [str(name) for name in clip_ids]
    if len(names) != 2:
        raise ValueError(f"a pair has two clips; {len(names)} were named")
    lines = [f"<b>{letter}</b> {describe(clip_row(clips, name)[1])}" for letter, name in zip("ab", names, strict=True)]
    pair = None
    if pairs is not None:
        place = pair_place(pairs, *names)
        if place is None:
            raise ValueError(f"{names[0]!r} and {names[1]!r} are not among the {len(pairs)} pairs of this table")
        pair = pairs.iloc[place]
    lines += pair_lines(pair, swaps=swaps)
    cell = min(260, int((width - 24) / (3 + (attribution is not None) + _SCORES * (predictions is not None))))
    flows = flow_tiles(clips, names, cell=cell)
    columns = [[_apex(clips, name, magnify, cell) for name in names], [flows[0], flows[2]], [flows[1]]]
    if attribution is not None:
        columns.append(attribution_tiles(attribution, clips, names, part=part, cell=cell))
        lines += [attribution_line(attribution, part=part), *sanity_lines(attribution)]
    columns += [[]] * (predictions is not None)
    title = "<b>Confusable pair</b>"
    figure = tiles(columns, title=title, subtitle="<br>".join(lines), cell=cell)
    middle = figure.get_subplot(1, 3).yaxis
    half = (middle.domain[1] - middle.domain[0]) / 2
    middle.domain = (0.5 - half, 0.5 + half)
    if predictions is not None:
        _add_scores(figure, predictions, names, col=len(columns), cell=cell)
    return figure


def _add_scores(figure: go.Figure, predictions: Predictions, names: Sequence[str], *, col: int, cell: int) -> None:
    """Draw the emotion scores of both clips in the last column, and make it wider than a picture."""
    label, classes = label_column(predictions.table), predictions.classes
    inner = cell * (col - 1 + _SCORES)
    figure.update_layout(width=inner + 24)
    for axis in figure.select_xaxes():
        axis.domain = tuple(place * cell * col / inner for place in axis.domain)
    for row, place in enumerate(positions(predictions.table, names, owner="these Predictions"), 1):
        where: dict[str, Any] = {"row": row, "col": col}
        shares, true = predictions.probabilities[place], None if label is None else predictions.table[label].iloc[place]
        labels = [as_text(name) + (" ◀ label" if name == true else "") for name in classes]
        bars(
            figure, shares, labels=labels, colours=[theme.emotion_colour(name) for name in classes],
            texts=[f"{share:.0%}" for share in shares], outlined=[name == true for name in classes], **where,
        )  # fmt: skip
        low = figure.get_subplot(row, col).xaxis.domain[0]
        room = min(room_for(labels, size=SMALLEST), cell) / inner
        figure.update_xaxes(
            domain=(low + room, 1), range=[0, 1.4], tickvals=[0, 0.5, 1], tickformat=".0%", tickangle=0, **where
        )
        figure.update_yaxes(tickfont={"size": SMALLEST}, dtick=1, **where)
        figure.add_annotation(
            text=f"scores of {'ab'[row - 1]}", x=0, y=1, xref="x domain", yref="y domain", yanchor="bottom",
            xanchor="left", showarrow=False, font={"size": 13}, **where,
        )  # fmt: skip


def motion_figure(clips: Clips, clip_ids: Sequence[str]) -> go.Figure:
    """The flows of a pair and their difference in one row."""
    return tiles([[one] for one in flow_tiles(clips, clip_ids, cell=_CELL)], title="", cell=_CELL)


def attribution_figure(
    attribution: Attribution, clips: Clips, clip_ids: Sequence[str], *, part: str = "frames"
) -> go.Figure:
    """The attribution of a pair's difference in both clips in one row."""
    drawn = attribution_tiles(attribution, clips, clip_ids, part=part, cell=_CELL)
    return tiles([[one] for one in drawn], title="", cell=_CELL)


def flow_tiles(clips: Clips, clip_ids: Sequence[str], *, cell: int) -> list[Tile]:
    """Flow of the first clip, difference of the two flows, flow of the second; one scale for all three.

    The difference is the first clip's flow minus the second's, drawn over both faces blended; it is also where the two
    faces differ in shape, for a crop brings eyes and mouth together only so far.
    """
    places = [clip_row(clips, name)[0] for name in clip_ids]
    (one, why_one), (other, why_other) = (motion_field(clips, place) for place in places)
    headings = "flow of a", "difference of flows, a − b", "flow of b"
    if one is None or other is None:
        return [_tile(None, heading, why_one or why_other, cell) for heading in headings]
    faces = []
    for place in places:
        frames, _ = shown_frames(clips, place)
        face = np.full((*clips.size, 3), _GROUND, dtype=np.uint8) if frames is None else frames[0]
        faces.append(enlarge(face, PIXELS))
    both = (0.5 * faces[0] + 0.5 * faces[1]).astype(np.uint8)
    flows = [one, one - other, other]
    largest, gain = common_scale(flows)
    unit = SCALED_NOTE if scaled_by_clip(clips.recipe) else "px"
    found = []
    for heading, flow, ground in zip(headings, flows, [faces[0], both, faces[1]], strict=True):
        coloured, _ = draw_magnitude(ground, flow, largest=largest)
        note = f"longest {float(flow_magnitude(flow).max()):.2f} {unit}, arrows ×{gain:g}"
        found.append(_tile(draw_arrows(coloured, flow, gain=gain)[0], heading, note, cell))
    return found


def attribution_tiles(
    attribution: Attribution, clips: Clips, clip_ids: Sequence[str], *, part: str, cell: int
) -> list[Tile]:
    """The attribution of a pair's difference in each clip, on one colour scale; ValueError where a clip is not in it.

    The other input is drawn where `part` was not attributed.
    """
    part = _attributed(attribution, part)
    heats = []
    for row in positions(attribution.table, list(clip_ids), owner="this attribution"):
        values = np.asarray(getattr(attribution, part)[row]).sum(axis=-1)
        # Of the frames without the onset: against it all others are measured, so that its slope takes back theirs.
        heats.append(smooth(values[1:].sum(axis=0) if part == "frames" else values, _BLUR))
    found = []
    for letter, clip_id, heat in zip("ab", clip_ids, heats, strict=True):
        frames, _ = shown_frames(clips, clip_row(clips, clip_id)[0])
        drawn = draw_heat(None if frames is None else frames[0], heat, largest=full_colour(*heats), size=PIXELS)
        found.append(_tile(drawn, f"attribution in {letter}", f"{part}: sum {float(heat.sum()):+.1f}", cell))
    return found


def attribution_line(attribution: Attribution, *, part: str) -> str:
    """What the colours of :func:`attribution_tiles` mean, escaped."""
    part = _attributed(attribution, part)
    first, _, second = attribution.target.partition(" - ")
    summed = "summed over time" if part == "frames" else "onset to apex"
    method = attribution.method.replace("_", " ")
    return as_text(f"{part}, {summed}, by {method}: red raises {first}, blue raises {second or 'the other'}")


def _attributed(attribution: Attribution, part: str) -> str:
    return part if getattr(attribution, part) is not None else {"frames": "flow", "flow": "frames"}[part]


def _apex(clips: Clips, clip_id: str, magnify: float, cell: int) -> Tile:
    place, _ = clip_row(clips, clip_id)
    frames, _ = shown_frames(clips, place)
    if frames is None:
        return _tile(None, "apex", "These clips have no frames.", cell)
    moments = clip_moments(clips, clip_id)
    at = len(frames) // 2 if moments.apex is None else moments.apex
    drawn = Magnifier(frames, motion_field(clips, place)[0], apex=moments.apex, size=PIXELS).frame(at, magnify)
    name = "middle frame" if moments.apex is None else "apex"
    return _tile(drawn, f"{name}, motion ×{magnify:g}" if magnify > 1 else name, moments.describe(at), cell)


def _tile(picture: np.ndarray | None, heading: str, note: str, cell: int) -> Tile:
    return Tile(picture, heading, "<br>".join(wrapped(note, width=cell, letter=6.0)))


class Verdict(NamedTuple):
    """Whether a branch separates the two clips of a pair.

    Attributes
    ----------
    branch : str
    verdict : str
    beyond : float
        Share of the pair's controls that lie nearer together, in [0, 1]; NaN where not known.
    n_controls : int
    nearer : float
        Share of all pairs of clips that lie nearer together, in [0, 1].
    """

    branch: str
    verdict: str
    beyond: float
    n_controls: int
    nearer: float


def branch_verdicts(pair: pd.Series) -> list[Verdict]:
    """The verdicts of the motion and the emotion branch on one row of the table of ``medn.diagnose.rank_pairs``.

    Without ``motion_similarity`` or ``emotion_separation`` in the row a branch has none.

    Examples
    --------
    >>> pair = pd.Series({"motion_similarity": 0.998, "motion_beyond": 0.5, "emotion_separation": 0.9,
    ...                   "emotion_beyond": 1.0, "n_controls": 34})
    >>> [one.verdict for one in branch_verdicts(pair)]
    ['does not separate them', 'separates them']
    """
    found = []
    for branch, column in (("motion", "motion_similarity"), ("emotion", "emotion_separation")):
        keys = [column, f"{branch}_beyond", "n_controls"]
        value, beyond, n = pd.to_numeric(pair.reindex(keys), errors="coerce").astype(float)
        if np.isnan(value):
            continue
        n = 0 if np.isnan(n) else int(n)
        if np.isnan(beyond):
            verdict = "not known" if n else "no control: no pair of its AU set has one emotion"
        elif n < FEWEST_CONTROLS:
            verdict = f"too few controls to say ({n})"
        else:
            verdict = "separates them" if beyond >= APART else "does not separate them"
        found.append(Verdict(branch, verdict, float(beyond), n, float(1 - value if branch == "motion" else value)))
    return found


def swap_effects(swaps: pd.DataFrame) -> tuple[float, float]:
    """How much of the margin between two clips comes from the flow and from the frames, in logits.

    Parameters
    ----------
    swaps : DataFrame
        ``frames_of, flow_of, margin, predicted``, a row a mix: ``medn.diagnose.swap_branches(...)``.

    Raises
    ------
    ValueError
        If the table lacks a mix or a column.
    """
    need(swaps, ("frames_of", "flow_of", "margin", "predicted"), maker="diagnose.swap_branches")
    margin = swaps.set_index(["frames_of", "flow_of"])["margin"]
    if sorted(margin.index) != [(frames, flow) for frames in "ab" for flow in "ab"]:
        raise ValueError("the table of swapped branches must have one row for each mix of a's and b's frames and flow")
    flow = 0.5 * sum(margin[frames, "a"] - margin[frames, "b"] for frames in "ab")
    frames = 0.5 * sum(margin["a", flow_of] - margin["b", flow_of] for flow_of in "ab")
    return float(flow), float(frames)


def pair_lines(pair: pd.Series | None, *, swaps: pd.DataFrame | None = None) -> list[str]:
    """The verdict of each branch and of the model on a pair, and the effect of swapping, as escaped text with tags.

    Parameters
    ----------
    pair : Series or None
        A row of the table of ``medn.diagnose.rank_pairs``.
    swaps : DataFrame or None
        Of ``medn.diagnose.swap_branches``.

    Examples
    --------
    >>> swaps = pd.DataFrame({"frames_of": list("aabb"), "flow_of": list("abab"), "margin": [5.0, 4.0, -4.0, -5.0],
    ...                       "predicted": ["happiness", "happiness", "others", "others"]})
    >>> for line in pair_lines(None, swaps=swaps):
    ...     print(line)
    margin between the clips 10.0 logits: +1.0 from the flow, +9.0 from the frames
    predictions with flows swapped: happiness, others (unchanged); frames swapped: others, happiness
    """
    lines = []
    for one in [] if pair is None else branch_verdicts(pair):
        head = f"<b style='color:{theme.branch_colour(one.branch)}'>{one.branch} branch {one.verdict}</b>"
        controls = "" if np.isnan(one.beyond) else f"{one.beyond:.0%} of {one.n_controls} controls and "
        lines.append(f"{head} ({_DESIRED[one.branch]}): {controls}{_percent(one.nearer)} of all pairs are nearer")
    if pair is not None and pd.notna(pair.get("verdict")):
        labels = f"{as_text(pair['predicted_a'])} and {as_text(pair['predicted_b'])}"
        lines.append(f"<b>whole model: {as_text(pair['verdict'])}</b>; predicted {labels}")
    if swaps is not None:
        flow, frames = swap_effects(swaps)
        lines.append(
            f"margin between the clips {flow + frames:.1f} logits: {flow:+.1f} from the flow, {frames:+.1f} from the"
            " frames"
        )
        said = swaps.set_index(["frames_of", "flow_of"])["predicted"].astype(str)
        own = [said["a", "a"], said["b", "b"]]
        mixes = {"flows": [said["a", "b"], said["b", "a"]], "frames": [said["b", "a"], said["a", "b"]]}
        now = [
            f"{name} swapped: {as_text(', '.join(two))}{' (unchanged)' if two == own else ''}"
            for name, two in mixes.items()
        ]
        lines.append(f"predictions with {'; '.join(now)}")
    return lines


def _percent(share: float) -> str:
    """A share with a digit more near 0 and 1."""
    return f"{100 * share:.{1 if 0 < share < 0.1 or 0.99 < share < 1 else 0}f}%"


def pair_place(pairs: pd.DataFrame, clip_a: str, clip_b: str) -> int | None:
    """Position of the row that holds these two clips, in either order; None where there is none."""
    a, b = pairs["clip_a"].to_numpy(dtype=object), pairs["clip_b"].to_numpy(dtype=object)
    here = np.flatnonzero(((a == clip_a) & (b == clip_b)) | ((a == clip_b) & (b == clip_a)))
    return int(here[0]) if len(here) else None
