"""Confusable pairs as pictures: what moves alike and means something else, and where it is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.view import theme
from medn_lab.view.sheets import check_columns, counted, nothing_here, rule_lines
from medn_lab.view.theme import as_text

MOST_PAIRS = 4000
"""More pairs than this are thinned out, evenly by rank."""

MOST_SETS = 24

_SET_COLUMNS = ("action_units", "n_clips", "n_subjects", "n_emotions", "n_pairs", "n_opposite", "n_same_subject")
_VERDICT_COLOURS = {
    "both right": "#2F7FD0", "one right": "#E08214", "swapped": "#C34BAA", "both wrong": "#E2553F", "pairs": "#2F7FD0",
}  # fmt: skip
_PAIR_HOVER = "%{hovertext}<br>among the %{x:.2%} most alike in motion · emotion separation %{y:.3f}<extra></extra>"


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
    needed = ("clip_a", "clip_b", "action_units", "label_a", "label_b", "opposite", "same_subject")
    check_columns(pairs, (*needed, "motion_similarity", "emotion_separation"), "rank_pairs")
    title = "<b>Confusable pairs</b> · same AU set, another emotion"
    if pairs.empty:
        return nothing_here(pairs, title=title, width=width)
    if pairs["emotion_separation"].isna().any():
        raise ValueError("these pairs have no emotion separation: the features had no emotion branch")
    step = -(-len(pairs) // MOST_PAIRS)
    shown = pairs.iloc[::step]
    figure = go.Figure()
    verdicts = shown["verdict"].astype(str) if "verdict" in shown else pd.Series("pairs", index=shown.index)
    kind = go.Scattergl if len(shown) > 1200 else go.Scatter
    texts = _pair_texts(shown)
    for opposite in (False, True):
        for verdict, colour in _VERDICT_COLOURS.items():
            chosen = ((verdicts == verdict) & (shown["opposite"].astype(bool) == opposite)).to_numpy()
            if not chosen.any():
                continue
            rows = shown[chosen]
            name = "opposite valence" if opposite else "other emotions"
            figure.add_trace(
                kind(
                    x=1 - rows["motion_similarity"],
                    y=rows["emotion_separation"],
                    customdata=rows[["clip_a", "clip_b"]].to_numpy(dtype=object),
                    hovertext=texts[chosen],
                    hovertemplate=_PAIR_HOVER,
                    mode="markers",
                    name=f"{name} ({len(rows)})" if verdict == "pairs" else f"{verdict}, {name} ({len(rows)})",
                    marker={
                        "symbol": "diamond" if opposite else "circle",
                        "size": 9 if opposite else 5.5,
                        "color": colour,
                        "opacity": 0.85 if opposite else 0.4 if verdict in ("both right", "pairs") else 0.8,
                        "line": {"width": 1 if opposite else 0, "color": "#FFFFFF"},
                    },
                )
            )
    nearest = min(0.5 * float((1 - shown["motion_similarity"]).min()), 0.05)
    middle = {"line": {"color": theme.INK, "width": 1, "dash": "dash"}, "layer": "below"}
    figure.add_shape(type="line", x0=0.5, x1=0.5, y0=0, y1=1, yref="y domain", **middle)
    figure.add_shape(type="line", x0=0, x1=1, xref="x domain", y0=0.5, y1=0.5, **middle)
    for y, yanchor, text in (
        (1, "top", "alike in motion, apart in emotion ↗"),
        (0, "bottom", "alike in motion, not apart in emotion ↘"),
    ):
        figure.add_annotation(
            x=1, y=y, xref="x domain", yref="y domain", text=text, showarrow=False, xanchor="right", yanchor=yanchor,
            font={"size": 11},
        )  # fmt: skip
    thinned = f", one in {step} drawn" if step > 1 else ""
    n_same = int(pairs["same_subject"].sum())
    n_opposite = int(pairs["opposite"].sum())
    said = f"{counted(len(pairs), 'pair')}{thinned} · {n_opposite} of opposite valence · {n_same} of one subject"
    subtitle = "<br>".join([said, *rule_lines(pairs, width)])
    theme.finish(
        figure, width=width, height=height, title=title, subtitle=subtitle,
        margin=(78, 20, 74 + 17 * subtitle.count("<br>"), 98),
    )  # fmt: skip
    figure.update_xaxes(
        type="log",
        range=[0.06, np.log10(nearest)],
        tickvals=[1, 0.5, 0.1, 0.01, 0.001, 0.0001, 0.00001],
        ticktext=["all", "50%", "10%", "1%", "0.1%", "0.01%", "0.001%"],
        title_text="motion similarity: among the most alike ... of all pairs",
    )
    figure.update_yaxes(
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        range=[-0.09, 1.09],
        zeroline=False,
        title_text="emotion separation:<br>share of all pairs less far apart",
    )
    figure.update_layout(legend={"y": -58 / (height - 172), "yanchor": "top", "x": 0}, hovermode="closest")
    return figure


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
    check_columns(sets, _SET_COLUMNS, "confusable_sets")
    title = "<b>AU sets with more than one emotion</b>"
    if sets.empty:
        return nothing_here(sets, title=title, width=width)
    emotions = [name for name in sets.columns if name not in _SET_COLUMNS]
    shown = sets.head(MOST_SETS)
    names = [_au_text(text) for text in shown["action_units"]]
    figure = go.Figure()
    for emotion in emotions:
        counts = shown[emotion].to_numpy()
        if not counts.any():
            continue
        figure.add_trace(
            go.Bar(
                x=counts,
                y=names,
                orientation="h",
                name=as_text(emotion),
                marker={"color": theme.emotion_colour(emotion)},
                text=[str(count) if count else "" for count in counts],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                textfont={"color": "#FFFFFF", "size": 11},
                hovertemplate=f"%{{y}}: %{{x}} {as_text(emotion)}<extra></extra>",
            )
        )
    notes = [
        f"{counted(row.n_pairs, 'pair')}{f', {row.n_opposite} opposite' if row.n_opposite else ''} ·"
        f" {counted(row.n_subjects, 'subject')}"
        for row in shown.itertuples()
    ]
    for name, note, end in zip(names, notes, shown["n_clips"], strict=True):
        figure.add_annotation(x=end, y=name, text=note, showarrow=False, xanchor="left", xshift=6, font={"size": 11})
    left_out = f" · {len(sets) - len(shown)} smaller sets not drawn" if len(sets) > len(shown) else ""
    counts = {"AU set": len(sets), "clip": sets["n_clips"].sum(), "pair": sets["n_pairs"].sum()}
    said = " · ".join(counted(n, what) for what, n in counts.items()) + left_out
    subtitle = "<br>".join([said, *rule_lines(sets, width)])
    bottom, top = 84, 58 + 17 * subtitle.count("<br>")
    height = height or top + bottom + 26 * len(shown) + 10
    left = 20 + 8 * max(len(name) for name in names)
    theme.finish(figure, width=width, height=height, title=title, subtitle=subtitle, margin=(left, 20, top, bottom))
    inner = width - left - 20  # each bar and the note behind it must find room
    reach = max(n * inner / (inner - 18 - 6.2 * len(note)) for n, note in zip(shown["n_clips"], notes, strict=True))
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category")
    figure.update_xaxes(range=[0, reach], title_text="clips", rangemode="tozero")
    figure.update_layout(
        barmode="stack", bargap=0.28, uniformtext={"minsize": 9, "mode": "hide"},
        legend={"y": -44 / (height - top - bottom), "yanchor": "top", "x": 0, "traceorder": "normal"},
    )  # fmt: skip
    return figure


def _au_text(text: object) -> str:
    """The AU set as it is read aloud: ``AU 4+L7``."""
    return f"AU {as_text(text)}"


def _pair_texts(pairs: pd.DataFrame) -> np.ndarray:
    """What the pointer shows over each pair, beside its place; a prediction only where it is not the emotion."""
    texts = []
    for rank, row in zip(pairs.index, pairs.to_dict("records"), strict=True):
        lines = []
        for side in ("a", "b"):
            emotion, said = row[f"label_{side}"], row.get(f"predicted_{side}", row[f"label_{side}"])
            wrong = f", predicted {as_text(said)}" if said != emotion else ""
            lines.append(f"<b>{as_text(row[f'clip_{side}'])}</b> {as_text(emotion)}{wrong}")
        who = "one subject" if row["same_subject"] else "two subjects"
        lines.append(f"{_au_text(row['action_units'])} · {who}{' · opposite valence' if row['opposite'] else ''}")
        texts.append("<br>".join([*lines, f"rank {rank}"]))
    return np.asarray(texts, dtype=object)
