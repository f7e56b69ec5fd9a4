"""A cross-validation person by person: who is easy, who is hard, and how few clips stand behind each bar."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.view import theme
from medn_lab.view.theme import as_text

MODEL = "#2F7FD0"
BAND = "rgba(47, 127, 208, 0.18)"
FAILED = "#E2553F"
MOST_NAMED = 40
"""Folds whose names fit under the bars; with more, the pointer tells them."""
MOST_COUNTED = 64
"""Folds whose numbers of clips fit into the bars."""


def plot_folds(folds: pd.DataFrame, *, scores: pd.DataFrame | None = None, width: int | None = None) -> go.Figure:
    """Draw the accuracy of each fold, with its clips, beside the pooled score and what AUs alone can do.

    A bar is one held-out person (or data set) and stands on the clips written at its foot: with four clips it can only
    be 0, 25, 50, 75 or 100 %. The band is the interval of the pooled accuracy over resampled persons; the dashed line
    is the AU-only floor.

    Parameters
    ----------
    folds : DataFrame
        One row a fold, with ``held_out, n_test, accuracy`` and, where there are, ``dataset, subject, error``, as
        ``medn.evaluate.evaluate_loso(...).folds``.
    scores : DataFrame, optional
        With ``part, measure, value, low, high, floor``, as ``result.scores()``; the row of accuracy over all clips is
        drawn.
    width : int or None
        In pixels; chosen by the number of folds where None.

    Returns
    -------
    Figure
        Bars sorted by accuracy, failed folds last.

    Raises
    ------
    ValueError
        If there are no folds, or a column is missing.

    See Also
    --------
    plot_comparison

    Examples
    --------
    >>> folds = pd.DataFrame({"held_out": ["s01", "s02"], "n_test": [10, 12], "accuracy": [0.9, 0.5]})
    >>> plot_folds(folds).data[0].type
    'bar'
    """
    missing = [name for name in ("held_out", "n_test", "accuracy") if name not in folds]
    if missing:
        raise ValueError(f"the table of folds lacks {', '.join(missing)}; it has {', '.join(map(str, folds.columns))}")
    if not len(folds):
        raise ValueError("there are no folds to draw")
    rows = folds.sort_values(["accuracy", "n_test"], ascending=False, kind="stable", na_position="last")
    names = _short(rows)
    figure = go.Figure()
    for colour, label, chosen in _groups(rows):
        part = rows[chosen]
        figure.add_trace(
            go.Bar(
                x=np.flatnonzero(chosen),
                y=part["accuracy"],
                name=label,
                marker={"color": colour, "line": {"width": 0}},
                customdata=np.stack([part["held_out"].map(as_text), part["n_test"]], axis=1),
                hovertemplate="%{customdata[0]}: %{y:.1%} of %{customdata[1]} clips<extra></extra>",
                showlegend=bool(label),
            )
        )
    failed = rows["accuracy"].isna().to_numpy()
    # A bar too low to hold its number leaves it on the page's ground.
    colours = np.where(rows["accuracy"].fillna(0) > 0.07, "#FFFFFF", theme.INK)
    figure.add_trace(
        go.Scatter(
            x=np.flatnonzero(~failed),
            y=np.full((~failed).sum(), 0.035),
            mode="text",
            text=[str(n) if len(rows) <= MOST_COUNTED else "" for n in rows.loc[~failed, "n_test"]],
            textfont={"color": colours[~failed], "size": 11 if len(rows) <= MOST_NAMED else 8},
            meta="n_test",
            hoverinfo="skip",
            showlegend=False,
        )
    )
    if failed.any():
        told = rows.loc[failed, "error"] if "error" in rows else pd.Series("", index=rows.index[failed])
        figure.add_trace(
            go.Scatter(
                x=np.flatnonzero(failed),
                y=np.full(failed.sum(), 0.03),
                mode="markers",
                name="failed",
                marker={"symbol": "x-thin-open", "size": 11, "color": FAILED, "line": {"width": 2, "color": FAILED}},
                customdata=np.stack([rows.loc[failed, "held_out"].map(as_text), told.map(as_text)], axis=1),
                hovertemplate="%{customdata[0]} failed: %{customdata[1]}<extra></extra>",
            )
        )
    subtitle = _draw_pooled(figure, scores) or f"{len(rows)} folds, {int(rows['n_test'].sum())} clips"
    subtitle += " · at the foot of each bar: its clips" if len(rows) <= MOST_COUNTED else ""
    named = len(rows) <= MOST_NAMED
    crowded = named and max(map(len, names)) * len(rows) > 60
    below = 34 + 6 * max(map(len, names)) if crowded else 56
    legend = len(_groups(rows)) > 1 or bool(failed.any())
    theme.finish(
        figure,
        width=width or int(np.clip(210 + 30 * len(rows), 640, 980)),
        height=340 + below - 56,
        title="<b>Accuracy of each held-out fold</b>",
        subtitle=subtitle,
        margin=(56, 150, 88 if legend else 66, below),
    )
    figure.update_yaxes(range=[0, 1.02], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%", title_text="clips right")
    figure.update_xaxes(
        tickvals=list(range(len(rows))) if named else [],
        ticktext=names if named else [],
        tickangle=-60 if crowded else 0,
        showgrid=False,
        title_text=None if crowded else "held out" if named else f"{len(rows)} folds, sorted",
        range=[-0.7, len(rows) - 0.3],
    )
    figure.update_layout(bargap=0.25, legend={"x": 1.0, "xanchor": "right", "y": 1.01, "yanchor": "bottom"})
    figure.update_layout(showlegend=legend)
    return figure


def _short(rows: pd.DataFrame) -> list[str]:
    """The names of the folds: of subjects, whose data set the colour tells, or of data sets."""
    by_subject = "subject" in rows and (rows["subject"] != "").all()
    names = [str(name) for name in rows["subject" if by_subject else "held_out"]]
    return [as_text(name) for name in without_common_start(names)]


def without_common_start(names: list[str]) -> list[str]:
    """Names without the words that all of them begin with, so that more of them fit.

    Examples
    --------
    >>> without_common_start(["set1-s01", "set1-s12"]), without_common_start(["01", "02"])
    (['s01', 's12'], ['01', '02'])
    """
    first, last = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    cut = 1 + max(first[:same].rfind(mark) for mark in "-_/ ")
    return [name[cut:] for name in names]


def _groups(rows: pd.DataFrame) -> list[tuple[str, str, np.ndarray]]:
    """Colour, legend and rows of each data set; one group without a name where there is only one."""
    done = rows["accuracy"].notna().to_numpy()
    datasets = sorted(rows["dataset"].astype(str).unique()) if "dataset" in rows else []
    if len(datasets) < 2 or len(datasets) == len(rows):
        return [(MODEL, "", done)]
    chosen = [(rows["dataset"].astype(str) == name).to_numpy() for name in datasets]
    colours = [theme.category_style(place)[0] for place in range(len(datasets))]
    return [(colour, as_text(n), c & done) for colour, n, c in zip(colours, datasets, chosen, strict=True)]


def _draw_pooled(figure: go.Figure, scores: pd.DataFrame | None) -> str:
    """The pooled accuracy with its interval and the floor, as lines that say what they are; their summary."""
    if scores is None:
        return ""
    chosen = scores[scores["measure"].str.lower() == "accuracy"]
    chosen = chosen[chosen["part"] == "all"] if "part" in chosen else chosen
    if not len(chosen):
        raise ValueError("the scores have no row of accuracy over all clips; give result.scores()")
    row = chosen.iloc[0]
    bounds = ""
    if not np.isnan(row["low"]):
        figure.add_hrect(y0=row["low"], y1=row["high"], fillcolor=BAND, line_width=0, layer="below")
        bounds = f" [{row['low']:.3f}, {row['high']:.3f}]"
    figure.add_hline(y=row["value"], line={"color": MODEL, "width": 1.5})
    figure.add_hline(y=row["floor"], line={"color": theme.INK, "width": 1.5, "dash": "dash"})
    # Two labels on one height would cover each other.
    apart = 0.0 if abs(row["value"] - row["floor"]) > 0.11 else 0.055 * (1 if row["value"] >= row["floor"] else -1)
    for name, value, shift, colour in (
        ("pooled", row["value"], apart, MODEL),
        (scores.attrs.get("floor", "AU-only floor"), row["floor"], -apart, theme.INK),
    ):
        figure.add_annotation(
            x=1.01, xref="paper", xanchor="left", y=value + shift, yanchor="middle", showarrow=False,
            text=f"{name} {value:.3f}", font={"size": 12, "color": colour},
        )  # fmt: skip
    return f"pooled accuracy {row['value']:.3f}{bounds}, {row['n_clips']:.0f} clips of {row['n_subjects']:.0f} subjects"
