"""Confusable pairs: all of them on one figure, the AU sets that several emotions share, their separation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.view import theme
from medn_lab.view.marks import (
    ESTIMATE,
    SMALLEST,
    bars,
    counted,
    empty_sheet,
    forest,
    interval_text,
    level,
    need,
    room_for,
    wrapped,
)
from medn_lab.view.theme import as_text

MOST_PAIRS = 4000
"""Of more pairs than this every second, third ... is drawn."""
MOST_SETS = 24
_LINE = 17  # pixels of a line under the title
_SET_COLUMNS = ("action_units", "n_clips", "n_subjects", "n_emotions", "n_pairs", "n_opposite", "n_same_subject")
_PAIR_COLUMNS = ("clip_a", "clip_b", "action_units", "label_a", "label_b", "opposite", "same_subject")
_VERDICT_COLOURS = {
    "both right": ESTIMATE, "one right": "#E08214", "swapped": "#C34BAA", "both wrong": "#E2553F", "": ESTIMATE,
}  # fmt: skip


def plot_confusable_pairs(pairs: pd.DataFrame, *, width: int = 820, height: int = 620) -> go.Figure:
    """Draw confusable pairs: how alike they move against how far the emotion branch keeps them apart.

    A point is a pair. Both axes place it among all pairs of clips, so that the middle (dashed) is a pair drawn at
    random. Confusable pairs crowd among the most alike, so that axis is logarithmic: its 1 % are the hundredth of all
    pairs that move most alike. Top right is what the decoupling is for: alike in motion, apart in emotion; bottom right
    is what was missed. Diamonds are of opposite valence. With predictions the colour is the model's verdict.

    Parameters
    ----------
    pairs : DataFrame
        ``clip_a, clip_b, action_units, label_a, label_b, opposite, same_subject, motion_similarity,
        emotion_separation`` and, where known, ``verdict, predicted_a, predicted_b``: ``medn.diagnose.rank_pairs(...)``,
        or any rows of it. Beyond 4000 pairs every second, third ... is drawn, and the figure says so.
    width, height : int
        In pixels.

    Returns
    -------
    Figure
        ``x`` is one minus the motion similarity; ``customdata`` holds the two clip ids. Without pairs it says why there
        are none.

    Raises
    ------
    ValueError
        If a column is missing, or the emotion branch was not measured.

    Examples
    --------
    >>> row = {"clip_a": "a", "clip_b": "b", "action_units": "12", "label_a": "happiness", "label_b": "disgust"}
    >>> row |= {"opposite": True, "same_subject": False, "motion_similarity": 0.98, "emotion_separation": 0.7}
    >>> figure = plot_confusable_pairs(pd.DataFrame([row]))
    >>> [round(float(x), 2) for x in figure.data[-1].x]
    [0.02]
    """
    title = "<b>Confusable pairs</b> · same AU set, different emotions"
    needed = (*_PAIR_COLUMNS, "motion_similarity", "emotion_separation")
    if (nothing := _nothing(pairs, needed, "rank_pairs", title=title, width=width)) is not None:
        return nothing
    if pairs["emotion_separation"].isna().any():
        raise ValueError("these pairs have no emotion separation: the features had no emotion branch")
    step = -(-len(pairs) // MOST_PAIRS)
    shown = pairs.iloc[::step]
    shown = shown.assign(
        x=1 - shown["motion_similarity"],
        text=[_pair_text(row) for row in shown.reset_index(names="rank").to_dict("records")],
        verdict=shown["verdict"].astype(str) if "verdict" in shown else "",
    )
    figure = go.Figure()
    kind = go.Scattergl if len(shown) > 1200 else go.Scatter
    for opposite, named in ((False, "other emotions"), (True, "opposite valence")):
        for verdict, colour in _VERDICT_COLOURS.items():
            rows = shown[(shown["opposite"].astype(bool) == opposite) & (shown["verdict"] == verdict)]
            if rows.empty:
                continue
            faint = verdict in ("both right", "") and not opposite
            marker = {
                "symbol": "diamond" if opposite else "circle", "size": 9 if opposite else 6, "color": colour,
                "opacity": 0.45 if faint else 0.85, "line": {"width": int(opposite), "color": "#FFFFFF"},
            }  # fmt: skip
            figure.add_trace(
                kind(
                    x=rows["x"], y=rows["emotion_separation"], mode="markers", marker=marker, hovertext=rows["text"],
                    customdata=rows[["clip_a", "clip_b"]].to_numpy(dtype=object), meta=verdict,
                    hovertemplate="%{hovertext}<br>nearer in motion: %{x:.2%} of all pairs, nearer in emotion:"
                    " %{y:.1%}<extra></extra>",
                    name=", ".join(filter(None, (verdict, named))) + f" ({len(rows)})",
                )
            )  # fmt: skip
    middle = {"line": {"color": theme.INK, "width": 1, "dash": "dash"}, "layer": "below"}
    figure.add_shape(type="line", x0=0.5, x1=0.5, y0=0, y1=1, yref="y domain", **middle)
    figure.add_shape(type="line", x0=0, x1=1, xref="x domain", y0=0.5, y1=0.5, **middle)
    for y, yanchor, text in ((1, "top", "alike in motion, apart in emotion ↗"), (0, "bottom", "alike in both ↘")):
        figure.add_annotation(
            x=1, y=y, xref="x domain", yref="y domain", text=text, showarrow=False, xanchor="right", yanchor=yanchor,
            font={"size": SMALLEST},
        )  # fmt: skip
    thinned = f", one in {step} drawn" if step > 1 else ""
    facts = [counted(len(pairs), "pair") + thinned, f"{int(pairs['opposite'].sum())} of opposite valence"]
    subtitle = _subtitle([*facts, f"{int(pairs['same_subject'].sum())} of one subject"], pairs, width)
    margin = (78, 20, 74 + _LINE * subtitle.count("<br>"), 98)
    theme.finish(figure, width=width, height=height, title=title, subtitle=subtitle, margin=margin)
    figure.update_xaxes(
        type="log", range=[0.06, np.log10(min(0.5 * float(shown["x"].min()), 0.05))],
        tickvals=[1, 0.5, 0.1, 0.01, 0.001, 0.0001, 0.00001],
        ticktext=["all", "50%", "10%", "1%", "0.1%", "0.01%", "0.001%"],
        title_text="share of all pairs of clips that are nearer in the motion branch",
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%", range=[-0.09, 1.09], zeroline=False,
        title_text="share of all pairs of clips that are<br>nearer in the emotion branch",
    )  # fmt: skip
    return figure.update_layout(legend={"y": -58 / (height - 172), "yanchor": "top", "x": 0}, hovermode="closest")


def _pair_text(row: dict[str, object]) -> str:
    """What the pointer shows over a pair; a prediction only where it is not the label."""
    lines = []
    for side in "ab":
        label, predicted = row[f"label_{side}"], row.get(f"predicted_{side}", row[f"label_{side}"])
        wrong = f", predicted {as_text(predicted)}" if predicted != label else ""
        lines.append(f"<b>{as_text(row[f'clip_{side}'])}</b> {as_text(label)}{wrong}")
    valence = " · opposite valence" if row["opposite"] else ""
    subjects = "one subject" if row["same_subject"] else "two subjects"
    lines.append(f"AU {as_text(row['action_units'])} · {subjects}{valence}")
    return "<br>".join([*lines, f"rank {row['rank']}"])


def plot_confusable_sets(sets: pd.DataFrame, *, width: int = 820, height: int | None = None) -> go.Figure:
    """Draw the AU sets that several emotions share: a bar a set, a stretch an emotion, in clips.

    Parameters
    ----------
    sets : DataFrame
        ``action_units, n_clips, n_subjects, n_emotions, n_pairs, n_opposite, n_same_subject`` and a column an emotion:
        ``medn.diagnose.confusable_sets(...)``. The first 24 are drawn, and the figure says how many are left.
    width, height : int
        In pixels; the height follows the number of sets where None.

    Returns
    -------
    Figure
        One trace an emotion. Without sets it says why there are none.

    Raises
    ------
    ValueError
        If a column is missing.

    Examples
    --------
    >>> row = {"action_units": "4", "n_clips": 5, "n_subjects": 3, "n_emotions": 2, "n_pairs": 6, "n_opposite": 0}
    >>> figure = plot_confusable_sets(pd.DataFrame([row | {"n_same_subject": 1, "disgust": 3, "others": 2}]))
    >>> [trace.name for trace in figure.data]
    ['disgust', 'others']
    """
    title = "<b>AU sets with more than one emotion</b>"
    if (nothing := _nothing(sets, _SET_COLUMNS, "confusable_sets", title=title, width=width)) is not None:
        return nothing
    shown = sets.head(MOST_SETS)
    names = [f"AU {as_text(text)}" for text in shown["action_units"]]
    figure = go.Figure()
    for emotion in shown.columns.difference(_SET_COLUMNS, sort=False):
        if shown[emotion].any():
            numbers = [str(count or "") for count in shown[emotion]]
            colour = theme.emotion_colour(emotion)
            bars(figure, shown[emotion], labels=names, colours=colour, texts=numbers, name=as_text(emotion))
    figure.update_traces(
        textposition="inside", insidetextanchor="middle", textangle=0,
        hovertemplate="%{y}: %{x} %{fullData.name}<extra></extra>",
    )  # fmt: skip
    notes = [
        f"{counted(row.n_pairs, 'pair')}{f', {row.n_opposite} opposite' if row.n_opposite else ''} ·"
        f" {counted(row.n_subjects, 'subject')}"
        for row in shown.itertuples()
    ]
    for name, note, end in zip(names, notes, shown["n_clips"], strict=True):
        figure.add_annotation(x=end, y=name, text=note, showarrow=False, xanchor="left", xshift=6, font_size=SMALLEST)
    counts = {"AU set": len(sets), "clip": sets["n_clips"].sum(), "pair": sets["n_pairs"].sum()}
    left_out = [f"{len(sets) - len(shown)} smaller sets not drawn"] if len(sets) > len(shown) else []
    subtitle = _subtitle([*(counted(n, what) for what, n in counts.items()), *left_out], sets, width)
    top, bottom, left = 66 + _LINE * subtitle.count("<br>"), 84, room_for(names)
    height = height or top + bottom + 26 * len(shown) + 10
    theme.finish(figure, width=width, height=height, title=title, subtitle=subtitle, margin=(left, 20, top, bottom))
    inner = width - left - 20  # each bar and the note behind it must find room
    reach = max(n * inner / (inner - 18 - 6.2 * len(note)) for n, note in zip(shown["n_clips"], notes, strict=True))
    figure.update_yaxes(type="category")
    figure.update_xaxes(range=[0, reach], title_text="clips")
    legend = {"y": -44 / (height - top - bottom), "yanchor": "top", "x": 0, "traceorder": "normal"}
    return figure.update_layout(
        barmode="stack", bargap=0.28, uniformtext={"minsize": SMALLEST, "mode": "hide"}, legend=legend
    )


def plot_pair_separation(table: pd.DataFrame, *, width: int = 820, height: int | None = None) -> go.Figure:
    """Draw how far each branch keeps confusable pairs apart, with the interval, against a branch that knows AUs alone.

    Parameters
    ----------
    table : DataFrame
        ``branch, value, low, high, direction, n_pairs, n_controls, n_clips, n_subjects``, a row a branch:
        ``medn.diagnose.pair_separation(...)``.
    width, height : int
        In pixels; the height follows the number of branches where None.

    Returns
    -------
    Figure
        One trace, a point a branch. Without pairs it says why there are none.

    Raises
    ------
    ValueError
        If a column is missing.

    Examples
    --------
    >>> row = {"branch": "emotion", "value": 0.9, "low": 0.8, "high": 0.95, "n_pairs": 40, "n_controls": 30}
    >>> figure = plot_pair_separation(pd.DataFrame([row | {"direction": "higher", "n_clips": 60, "n_subjects": 8}]))
    >>> figure.layout.title.text
    '<b>Separation of confusable pairs</b>'
    """
    title = "<b>Separation of confusable pairs</b>"
    needed = ("branch", "value", "low", "high", "direction", "n_pairs", "n_controls", "n_clips", "n_subjects")
    if (nothing := _nothing(table, needed, "pair_separation", title=title, width=width)) is not None:
        return nothing
    small = f"<br><span style='font-size:{SMALLEST}px'>"
    labels = [
        f"{as_text(row.branch)}{'' if row.branch == 'fused' else ' branch'}{small}{as_text(row.direction)}</span>"
        for row in table.itertuples()
    ]
    figure = go.Figure()
    texts = [interval_text(*row) for row in table[["value", "low", "high"]].itertuples(index=False)]
    colours = [theme.BRANCH_COLOURS.get(name, theme.INK) for name in table["branch"]]
    forest(figure, table, labels=labels, colour=colours, texts=texts, legend=False)
    level(figure, 0.5, text="AUs alone")
    first = table.iloc[0]
    interval = [f"{table.attrs['level']:.0%} interval over subjects"] if "level" in table.attrs else []
    against = f"{first['n_pairs']} pairs against {first['n_controls']} of the same AU set and one emotion"
    facts = [against, counted(first["n_clips"], "clip"), counted(first["n_subjects"], "subject"), *interval]
    subtitle = _subtitle(facts, table, width)
    top = 84 + _LINE * subtitle.count("<br>")
    theme.finish(
        figure, width=width, height=height or top + 62 + 62 * len(table), title=title, subtitle=subtitle,
        margin=(room_for(labels), 64, top, 54),
    )  # fmt: skip
    lowest = float(np.nanmin([0.5, *table["low"], *table["value"]]))
    return figure.update_xaxes(range=[max(0.0, lowest - 0.1), 1.02], title_text="share of controls that lie nearer")


def _nothing(table: pd.DataFrame, columns: Sequence[str], maker: str, *, title: str, width: int) -> go.Figure | None:
    """An empty sheet where the table has no rows; ValueError where it lacks a column."""
    if len(table) or not set(columns) <= set(table.columns):
        need(table, columns, maker=f"diagnose.{maker}")
        return None
    why = table.attrs.get("none") or "none here, because no two clips share an AU set and differ in emotion"
    return empty_sheet(f"{why[:1].upper()}{why[1:]}.", title=title, width=width, note=str(table.attrs.get("rule", "")))


def _subtitle(facts: Sequence[str], table: pd.DataFrame, width: int) -> str:
    """The facts on one line, and the rule by which the pairs were found."""
    return "<br>".join([" · ".join(facts), *wrapped(str(table.attrs.get("rule", "")), width=width - 40)])
