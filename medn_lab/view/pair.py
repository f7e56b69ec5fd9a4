"""Confusable pairs: one pair in detail, all pairs, the AU sets that several emotions share, their separation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.records import Attribution, Clips, Predictions, positions
from medn_lab.view import images, marks, theme
from medn_lab.view.answers import score_bars
from medn_lab.view.attribution import mapped_clip, sanity_lines
from medn_lab.view.marks import ESTIMATE, SMALLEST, Tile, counted, tiles
from medn_lab.view.rows import au_set_names, clip_moments, clip_row, describe, label_column, text_of
from medn_lab.view.theme import as_text, room_for, wrapped

APART = 0.95  # a branch separates a pair when at least this share of its controls lie nearer together
FEWEST_CONTROLS = 20  # with fewer controls a share of .95 cannot be distinguished from all of them
PIXELS, _CELL = 320, 200  # longer side of a picture, and the width of a tile
_SCORES = 1.5  # widths of a picture that the scores and their labels have
_DESIRED = {"motion": ("motion_similarity", "not to separate"), "emotion": ("emotion_separation", "to separate")}
MOST_PAIRS = 4000  # of more pairs than this every second, third ... is drawn
MOST_SETS = 24
_SET_COLUMNS = ("action_units", "n_clips", "n_subjects", "n_emotions", "n_pairs", "n_opposite", "n_same_subject")
_VERDICT_COLOURS = {"one right": "#E08214", "swapped": "#C34BAA", "both wrong": "#E2553F"}


def plot_pair(
    clips: Clips, clip_ids: Sequence[str], *, pairs: pd.DataFrame | None = None, swaps: pd.DataFrame | None = None,
    predictions: Predictions | None = None, attribution: Attribution | None = None, magnify: float = 8.0,
    width: int = 1000,
) -> go.Figure:  # fmt: skip
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
    swaps : DataFrame or None
        Of ``medn.diagnose.swap_branches``: adds which branch the difference comes from.
    predictions : Predictions or None
        Adds the emotion scores.
    attribution : Attribution or None
        Of ``medn.diagnose.attribute_pair``: adds where the model's difference comes from, in the frames, or in the flow
        where the frames were not attributed.
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
    rows = [clip_row(clips, name)[1] for name in names]
    lines = [f"<b>{letter}</b> {describe(row)}" for letter, row in zip("ab", rows, strict=True)]
    pair = None
    if pairs is not None:
        here = [{*two} == {*names} for two in zip(pairs["clip_a"], pairs["clip_b"], strict=True)]
        if not any(here):
            raise ValueError(f"{names[0]!r} and {names[1]!r} are not among the {len(pairs)} pairs of this table")
        pair = pairs[here].iloc[0]
    lines += pair_lines(pair, swaps=swaps)
    cell = min(260, int((width - 24) / (3 + (attribution is not None) + _SCORES * (predictions is not None))))
    faces = []
    for name in names:
        moments, (picture, shown) = clip_moments(clips, name), images.magnified_apex(clips, name, magnify, size=PIXELS)
        title, note = ("apex", shown) if picture is None else (shown, moments.describe(moments.peak))
        faces.append(Tile(picture, title, wrapped(note, cell)))
    a, difference, b = flow_tiles(clips, names, cell=cell)
    columns: list[Any] = [faces, [a, b], difference]
    if attribution is not None:
        columns.append(attribution_tiles(attribution, clips, names, part="frames"))
        at = positions(attribution.table, names, owner="this attribution")
        lines += [attribution_line(attribution, part="frames"), *sanity_lines(attribution, places=at)]
    if predictions is not None:
        scores = zip(names, "ab", strict=True)
        columns.append([score_bars(predictions, name) | {"name": f"scores of {letter}"} for name, letter in scores])
    last = 1 if predictions is None else _SCORES
    sets, labels = au_set_names(pd.DataFrame(rows)), {text_of(row, label_column(clips.table) or "") for row in rows}
    alike = sets[0] == sets[1] and " " not in sets[0]  # as in "no AU" and "AUs unknown"
    title = "Confusable pair" if pair is not None or (alike and len(labels - {""}) == 2) else "Two clips"
    return tiles(columns, title=f"<b>{title}</b>", subtitle="<br>".join(lines), cell=cell, last=last)


def motion_figure(clips: Clips, clip_ids: Sequence[str]) -> go.Figure:
    """The flows of a pair and their difference in one row."""
    return tiles([[one] for one in flow_tiles(clips, clip_ids, cell=_CELL)], title="", cell=_CELL)


def attribution_figure(attribution: Attribution, clips: Clips, clip_ids: Sequence[str], *, part: str) -> go.Figure:
    """The attribution of a pair's difference in both clips in one row."""
    return tiles([[one] for one in attribution_tiles(attribution, clips, clip_ids, part=part)], title="", cell=_CELL)


def flow_tiles(clips: Clips, clip_ids: Sequence[str], *, cell: int) -> list[Tile]:
    """Flow of the first clip, first minus second (over both faces blended), flow of the second; one scale for all."""
    places = [clip_row(clips, name)[0] for name in clip_ids]
    (one, why_one), (other, why_other) = (images.motion_field(clips, place) for place in places)
    headings = "flow of a", "difference of flows, a − b", "flow of b"
    if one is None or other is None:
        return [Tile(None, heading, wrapped(why_one or why_other, cell)) for heading in headings]
    a, b = (images.enlarge(images.onset_face(clips, name), PIXELS) for name in clip_ids)
    grounds, flows = (a, (0.5 * a + 0.5 * b).astype(np.uint8), b), (one, one - other, other)
    look: dict[str, Any] = {
        "scaled": images.scaled_by_clip(clips.recipe),
        "largest": max(float(images.flow_magnitude(flow).max()) for flow in flows),
        "gain": min((images.arrow_grid(flow)[-1] for flow in flows if np.any(flow)), default=1.0),
    }
    drawn = [images.draw_flow(ground, flow, **look) for ground, flow in zip(grounds, flows, strict=True)]
    return [Tile(face, name, wrapped(note, cell)) for name, (face, note) in zip(headings, drawn, strict=True)]


def attribution_tiles(attribution: Attribution, clips: Clips, clip_ids: Sequence[str], *, part: str) -> list[Tile]:
    """The attribution of a pair's difference in each clip, on one colour scale."""
    part, drawn = _attributed(attribution, part), []
    rows = positions(attribution.table, list(clip_ids), owner="this attribution")
    heats = [mapped_clip(attribution, int(row)).summed(part) for row in rows]
    for letter, clip_id, heat in zip("ab", clip_ids, heats, strict=True):
        face = images.onset_face(clips, clip_id)
        picture = images.draw_heat(face, heat, largest=images.full_colour(*heats), size=PIXELS)
        drawn.append(Tile(picture, f"attribution in {letter}", f"{part}: sum {float(heat.sum()):+.1f}"))
    return drawn


def attribution_line(attribution: Attribution, *, part: str) -> str:
    """What the colours of :func:`attribution_tiles` mean, escaped."""
    part = _attributed(attribution, part)
    first, _, second = attribution.target.partition(" - ")
    how = f"{'summed over time' if part == 'frames' else 'onset to apex'}, by {attribution.method.replace('_', ' ')}"
    return as_text(f"{part}, {how}: red raises {first}, blue raises {second or 'the other'}")


def _attributed(attribution: Attribution, part: str) -> str:
    """The input, or the other one where it was not attributed."""
    return part if getattr(attribution, part) is not None else {"frames": "flow", "flow": "frames"}[part]


def pair_lines(pair: pd.Series | None, *, swaps: pd.DataFrame | None = None) -> list[str]:
    """The verdict of each branch and of the model on a pair, and the effect of swapping, as escaped text with tags.

    `pair` is a row of the table of ``medn.diagnose.rank_pairs``, `swaps` comes from ``medn.diagnose.swap_branches``.
    """
    pair, lines = pd.Series(dtype=object) if pair is None else pair, []
    for branch, (column, desired) in _DESIRED.items():
        measured = pair.reindex([column, f"{branch}_beyond", "n_controls"])
        value, beyond, n = pd.to_numeric(measured, errors="coerce").astype(float)
        if np.isnan(value):
            continue
        verdict = "separates them" if beyond >= APART else "does not separate them"
        if np.isnan(beyond):
            verdict = "not known" if n > 0 else "no control: there is no pair with this AU set and one emotion"
        elif not n >= FEWEST_CONTROLS:
            verdict = f"too few controls to say ({n:.0f})"
        nearer = 1 - value if branch == "motion" else value
        share = f"{nearer:.{1 if 0 < nearer < 0.1 or 0.99 < nearer < 1 else 0}%}"
        controls = "" if np.isnan(beyond) else f"{beyond:.0%} of {counted(int(n), 'control')} and "
        head = f"<b style='color:{theme.branch_colour(branch)}'>{branch} branch {verdict}</b>"
        lines.append(f"{head} (desired: {desired}): {controls}{share} of all pairs are nearer together")
    if pd.notna(pair.get("verdict")):
        labels = f"{as_text(pair['predicted_a'])} and {as_text(pair['predicted_b'])}"
        lines.append(f"<b>whole model: {as_text(pair['verdict'])}</b>; predicted {labels}")
    if swaps is not None:
        mixes = swaps.pivot_table(["margin", "predicted"], "frames_of", "flow_of", aggfunc="first")
        (aa, ab), (ba, bb) = mixes["margin"].to_numpy(dtype=float)
        flow, frames = 0.5 * (aa - ab + ba - bb), 0.5 * (aa - ba + ab - bb)
        total = f"margin between the clips {flow + frames:.1f} logits"
        lines.append(f"{total}: {flow:+.1f} from the flow, {frames:+.1f} from the frames")
        (aa, ab), (ba, bb) = mixes["predicted"].map(as_text).to_numpy()
        swapped = [f"{one}, {two}" + " (unchanged)" * ([one, two] == [aa, bb]) for one, two in ((ab, ba), (ba, ab))]
        lines.append(f"predictions with flows swapped: {swapped[0]}; frames swapped: {swapped[1]}")
    return lines


def plot_confusable_pairs(pairs: pd.DataFrame, *, width: int = 820) -> go.Figure:
    """Draw confusable pairs: how alike they move against how far the emotion branch keeps them apart.

    A point is a pair. Both axes place it among all pairs of clips: the middle (dashed) is a pair drawn at random. Most
    confusable pairs are among the most alike, so that axis is logarithmic: its 1 % are the hundredth of all pairs that
    move most alike. Top right is what the decoupling is for: alike in motion, apart in emotion; bottom right is what
    was missed. Diamonds are of opposite valence. With predictions the colour is the model's verdict.

    Parameters
    ----------
    pairs : DataFrame
        ``clip_a, clip_b, action_units, label_a, label_b, opposite, same_subject, motion_similarity,
        emotion_separation`` and, where known, ``verdict, predicted_a, predicted_b``: ``medn.diagnose.rank_pairs(...)``,
        or any rows of it. Beyond 4000 pairs every second, third ... is drawn, and the figure says so.
    width : int
        In pixels.

    Returns
    -------
    Figure
        ``x`` is one minus the motion similarity; ``customdata`` holds the two clip ids. Without pairs it says why there
        are none.

    Raises
    ------
    ValueError
        If the emotion branch was not measured.

    Examples
    --------
    >>> row = {"clip_a": "a", "clip_b": "b", "action_units": "12", "label_a": "happiness", "label_b": "disgust"}
    >>> row |= {"opposite": True, "same_subject": False, "motion_similarity": 0.98, "emotion_separation": 0.7}
    >>> figure = plot_confusable_pairs(pd.DataFrame([row]))
    >>> [round(float(x), 2) for x in figure.data[-1].x]
    [0.02]
    """
    title = "<b>Confusable pairs</b> · same AU set, different emotions"
    if pairs.empty:
        return _nothing(pairs, title=title, width=width)
    needed = ("opposite", "same_subject", "motion_similarity", "emotion_separation")
    marks.need(pairs, needed, maker="diagnose.rank_pairs")
    if pairs["emotion_separation"].isna().any():
        raise ValueError("these pairs have no emotion separation: the features had no emotion branch")
    step = -(-len(pairs) // MOST_PAIRS)
    shown = pairs.assign(verdict=pairs["verdict"].astype(str) if "verdict" in pairs else "").iloc[::step]
    shown = shown.assign(x=1 - shown["motion_similarity"], opposite=shown["opposite"].astype(bool))
    shown["text"] = ""
    for side in "ab":
        label = shown[f"label_{side}"].astype(object).map(as_text)
        predicted = shown.get(f"predicted_{side}", shown[f"label_{side}"]).astype(object).map(as_text)
        wrong = (", predicted " + predicted).where(predicted != label, "")
        shown["text"] += "<b>" + shown[f"clip_{side}"].map(as_text) + "</b> " + label + wrong + "<br>"
    about = shown["same_subject"].map({True: "one subject", False: "two subjects"})
    about += shown["opposite"].map({True: " · opposite valence<br>rank ", False: "<br>rank "})
    shown["text"] += "AU " + shown["action_units"].map(as_text) + " · " + about + shown.index.astype(str)
    figure, kind = go.Figure(), go.Scattergl if len(shown) > 1200 else go.Scatter
    for (opposite, verdict), rows in shown.groupby(["opposite", "verdict"]):
        valence = "opposite valence" if opposite else "other emotions"
        marker = {
            "symbol": "diamond" if opposite else "circle", "size": 9 if opposite else 6,
            "opacity": 0.85 if opposite or verdict in _VERDICT_COLOURS else 0.45,
            "line": {"width": int(opposite), "color": "#FFFFFF"}, "color": _VERDICT_COLOURS.get(verdict, ESTIMATE),
        }  # fmt: skip
        trace = kind(
            x=rows["x"], y=rows["emotion_separation"], mode="markers", marker=marker, hovertext=rows["text"],
            customdata=rows[["clip_a", "clip_b"]].to_numpy(dtype=object), meta=verdict,
            hovertemplate="%{hovertext}<br>nearer: %{x:.2%} of all pairs in motion, %{y:.1%} in emotion<extra></extra>",
            name=", ".join(filter(None, (verdict, valence))) + f" ({len(rows)})",
        )  # fmt: skip
        figure.add_trace(trace)
    marks.level(figure, 0.5)
    marks.level(figure, 0.5, axis="y")
    facts = [counted(len(pairs), "pair") + f", one in {step} drawn" * (step > 1)]
    facts += [f"{pairs['opposite'].sum()} of opposite valence", f"{pairs['same_subject'].sum()} of one subject"]
    facts += ["top right: alike in motion, apart in emotion", "bottom right: alike in both"]
    share, ends = "share of all pairs of clips that are", [0.06, np.log10(min(0.5 * float(shown["x"].min()), 0.05))]
    figure.update_xaxes(title_text=f"{share} nearer together in the motion branch", type="log", range=ends)
    figure.update_xaxes(dtick=1, tickformat=".4~%").update_yaxes(dtick=0.25, tickformat=".0%", range=[-0.09, 1.09])
    figure.update_yaxes(title_text=f"{share}<br>nearer together in the emotion branch", zeroline=False)
    figure.update_layout(hovermode="closest", legend_itemsizing="constant")
    return theme.finish(figure, width=width, body=428, title=title, subtitle=_subtitle(facts, pairs), l=78)


def plot_confusable_sets(sets: pd.DataFrame, *, width: int = 820) -> go.Figure:
    """Draw the AU sets that several emotions share: a bar a set, a stretch an emotion, in clips.

    Parameters
    ----------
    sets : DataFrame
        ``action_units, n_clips, n_subjects, n_emotions, n_pairs, n_opposite, n_same_subject`` and a column an emotion:
        ``medn.diagnose.confusable_sets(...)``. The first 24 are drawn, and the figure says how many are left.
    width : int
        In pixels.

    Returns
    -------
    Figure
        One trace an emotion. Without sets it says why there are none.

    Examples
    --------
    >>> row = {"action_units": "4", "n_clips": 5, "n_subjects": 3, "n_emotions": 2, "n_pairs": 6, "n_opposite": 0}
    >>> figure = plot_confusable_sets(pd.DataFrame([row | {"n_same_subject": 1, "disgust": 3, "others": 2}]))
    >>> [trace.name for trace in figure.data]
    ['disgust', 'others']
    """
    title = "<b>AU sets with more than one emotion</b>"
    if sets.empty:
        return _nothing(sets, title=title, width=width)
    marks.need(sets, ("action_units", "n_pairs", "n_opposite"), maker="diagnose.confusable_sets")
    shown, names = sets.head(MOST_SETS), []
    for row in shown.itertuples():
        opposite = f", {row.n_opposite} opposite" if row.n_opposite else ""
        note = f"{counted(row.n_pairs, 'pair')}{opposite} · {counted(row.n_subjects, 'subject')}"
        names.append(f"<b>AU {as_text(row.action_units)}</b><br>{marks.small(note)}")
    figure = go.Figure()
    for emotion in shown.columns.difference(_SET_COLUMNS, sort=False):
        if shown[emotion].any():
            figure.add_bar(
                x=shown[emotion], y=names, orientation="h", marker_color=theme.emotion_colour(emotion),
                name=as_text(emotion), text=[str(count or "") for count in shown[emotion]], textposition="inside",
                insidetextanchor="middle", textangle=0, hovertemplate="%{y}: %{x} %{fullData.name}<extra></extra>",
            )  # fmt: skip
    counts = {"AU set": len(sets), "clip": sets["n_clips"].sum(), "pair": sets["n_pairs"].sum()}
    more = [f"{len(sets) - len(shown)} smaller sets not drawn"] * (len(sets) > len(shown))
    facts = [*(counted(n, what) for what, n in counts.items()), *more]
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, ticklabelstandoff=6)
    figure.update_xaxes(title_text="clips")
    figure.update_layout(barmode="stack", bargap=0.28, uniformtext={"minsize": SMALLEST, "mode": "hide"})
    figure.update_layout(legend_traceorder="normal")
    subtitle = _subtitle(facts, sets)
    return theme.finish(figure, width=width, body=36 * len(shown), title=title, subtitle=subtitle, l=room_for(names))


def plot_pair_separation(table: pd.DataFrame, *, width: int = 820) -> go.Figure:
    """Draw how far each branch keeps confusable pairs apart, with the interval, against a branch that knows AUs alone.

    Parameters
    ----------
    table : DataFrame
        ``branch, value, low, high, direction, n_pairs, n_controls, n_clips, n_subjects``, a row a branch:
        ``medn.diagnose.pair_separation(...)``.
    width : int
        In pixels.

    Returns
    -------
    Figure
        One trace, a point a branch. Without pairs it says why there are none.

    Examples
    --------
    >>> row = {"branch": "emotion", "value": 0.9, "low": 0.8, "high": 0.95, "n_pairs": 40, "n_controls": 30}
    >>> figure = plot_pair_separation(pd.DataFrame([row | {"direction": "higher", "n_clips": 60, "n_subjects": 8}]))
    >>> figure.layout.title.text
    '<b>Separation of confusable pairs</b>'
    """
    title = "<b>Separation of confusable pairs</b>"
    if table.empty:
        return _nothing(table, title=title, width=width)
    marks.need(table, ("branch", "value", "low", "high", "direction"), maker="diagnose.pair_separation")
    labels = [
        f"{as_text(row.branch)}{'' if row.branch == 'fused' else ' branch'}<br>{marks.small(as_text(row.direction))}"
        for row in table.itertuples()
    ]
    texts = [marks.interval_text(*row) for row in table[["value", "low", "high"]].itertuples(index=False)]
    colours, figure = [theme.BRANCH_COLOURS.get(name, theme.INK) for name in table["branch"]], go.Figure()
    marks.forest(figure, table, labels=labels, colour=colours, texts=texts, legend=False)
    marks.level(figure, 0.5, text="AUs alone")
    first, lowest = table.iloc[0], float(np.nanmin([0.5, *table["low"], *table["value"]]))
    figure.update_xaxes(range=[max(0.0, lowest - 0.1), 1.02], title_text="share of controls that are nearer together")
    pairs, clips, subjects = (counted(first[f"n_{what}s"], what) for what in ("pair", "clip", "subject"))
    facts = [f"{pairs} compared with {first['n_controls']} of the same AU set and one emotion", clips, subjects]
    facts += [f"{table.attrs['level']:.0%} interval over subjects"] if "level" in table.attrs else []
    facts += [f"{counted(n, 'pair')} without a control left out"] if (n := table.attrs.get("n_left_out", 0)) else []
    subtitle = _subtitle(facts, table)
    return theme.finish(figure, width=width, body=62 * len(table), title=title, subtitle=subtitle, r=64)


def _nothing(table: pd.DataFrame, *, title: str, width: int) -> go.Figure:
    """An empty sheet that says why the table has no rows."""
    why = table.attrs.get("none") or "none here, because no two clips share an AU set and differ in emotion"
    rule = str(table.attrs.get("rule", ""))
    return marks.empty_sheet(f"{why[:1].upper()}{why[1:]}.", title=title, width=width, note=rule)


def _subtitle(facts: Sequence[str], table: pd.DataFrame) -> str:
    """The facts, and the rule by which the pairs were found."""
    return "<br>".join(filter(None, [" · ".join(facts), as_text(table.attrs.get("rule", ""))]))
