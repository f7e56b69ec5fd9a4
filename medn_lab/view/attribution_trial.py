"""Whether maps can be read: what is left of them on random weights, and whether they find what was planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.view import theme
from medn_lab.view.theme import as_text

INPUT_COLOURS = {"frames": theme.BRANCH_COLOURS["emotion"], "flow": theme.BRANCH_COLOURS["motion"]}
"""Each input in the colour of the branch that reads it."""

RANDOM = "x-thin-open"
_WORDS = {"bare_change": "bare change<br>(no network)", "grad_cam": "Grad-CAM", "gradient_shap": "gradient SHAP"}


def plot_randomisation(
    table: pd.DataFrame, *, threshold: float = 0.5, width: int = 820, height: int = 400
) -> go.Figure:
    """Draw what is left of a map while the network is randomised from its output down.

    A point is the rank correlation between the model's own map and the map after everything down to that stage was
    drawn at random: open points with the sign, filled ones without it. A method that listens to the network falls
    towards 0 on the way. A filled line that stays above the dashed threshold says where things are in the *clip*, and
    would say it of any network.

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
    '<b>What is left of the map</b>'
    """
    _demand(table, ("stage", "input", "spearman", "spearman_absolute", "n_clips", "n_draws"), of="a RandomisationCheck")
    figure = go.Figure()
    for name, rows in table.groupby("input", sort=False):
        for column, word, symbol in (
            ("spearman_absolute", "strength", "circle"),
            ("spearman", "sign and strength", "circle-open"),
        ):
            figure.add_trace(
                go.Scatter(
                    x=["as it was", *map(_stage, rows["stage"])], y=[1.0, *rows[column]], mode="lines+markers",
                    line={"color": INPUT_COLOURS[name], "width": 2, "dash": "solid" if symbol == "circle" else "dot"},
                    marker={"symbol": symbol, "size": 9, "color": INPUT_COLOURS[name]},
                    name=f"map of the {name}: {word}", meta=f"{name} {column}",
                    hovertemplate=f"{name}, {word}<br>random: %{{x}}<br>rank correlation %{{y:.2f}}<extra></extra>",
                )
            )  # fmt: skip
    figure.add_hline(y=threshold, line={"color": theme.INK, "width": 1.5, "dash": "dash"})
    figure.add_hline(y=0, line={"color": theme.FAINT, "width": 1})
    clips, draws = int(table["n_clips"].iloc[0]), int(table["n_draws"].iloc[0])
    theme.finish(
        figure, width=width, height=height, title="<b>What is left of the map</b>",
        subtitle=f"{clips} clips, {draws} sets of random weights · dashed: marked from {threshold:g}",
        margin=(70, 24, 104, 84),
    )  # fmt: skip
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemsizing": "trace"})
    figure.update_xaxes(title_text="what was drawn at random", tickangle=0)
    low = min(0.0, float(table[["spearman", "spearman_absolute"]].min().min()))
    figure.update_yaxes(title_text="rank correlation with the map", range=[low - 0.08, 1.06], zeroline=False)
    return figure


def plot_attribution_comparison(table: pd.DataFrame, *, width: int = 980, height: int | None = None) -> go.Figure:
    """Draw what each method's map is worth: what it owes to the network, and how much of it finds the planted place.

    Left: rank correlation of the map's strength with that of random weights; right of the dashed line a map is marked
    and its point is open. Right, on synthetic clips: the share of the map on the planted region with its 95 % interval
    over subjects; × is the same method on random weights, the bar the region's share of the area. What lies right of
    its × is what learning added.

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
    '<b>Maps of fear, put to the trial</b>'
    """
    needed = ("method", "input", "target", "spearman", "spearman_absolute", "threshold", "survives", "n_clips")
    _demand(table, needed, of="compare_attributions")
    known = "share" in table.columns and bool(table["share"].notna().any())
    methods = list(dict.fromkeys(table["method"]))
    figure = make_subplots(
        rows=1, cols=1 + known, shared_yaxes=True, horizontal_spacing=0.06,
        subplot_titles=["alike on random weights", "share on the planted region"][: 1 + known],
    )  # fmt: skip
    inputs = list(dict.fromkeys(table["input"]))
    for place, name in enumerate(inputs):
        rows = table[table["input"] == name]
        at = np.array([methods.index(method) for method in rows["method"]], dtype=float)
        at += 0.3 * (place - (len(inputs) - 1) / 2)
        colour = INPUT_COLOURS[name]
        figure.add_trace(
            go.Scatter(
                x=rows[["spearman", "spearman_absolute"]].max(axis=1), y=at, mode="markers", showlegend=False,
                marker={
                    "color": colour, "size": 11, "line": {"width": 2, "color": colour},
                    "symbol": ["circle-open" if survives else "circle" for survives in rows["survives"]],
                },
                customdata=rows["method"], meta=f"{name} alike",
                hovertemplate=f"%{{customdata}}, {name}<br>rank correlation %{{x:.2f}}<extra></extra>",
            ), row=1, col=1,
        )  # fmt: skip
        if known:
            _draw_shares(figure, rows, at, colour=colour, name=name)
    looks = [(f"map of the {name}", "circle", INPUT_COLOURS[name]) for name in inputs]
    looks += [("the same on random weights", RANDOM, theme.INK), ("share of the area", "square", theme.FAINT)][
        : 2 * known
    ]
    for word, symbol, colour in looks:
        marker = {"symbol": symbol, "size": 11, "color": colour, "line": {"width": 2, "color": colour}}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", name=word, marker=marker), row=1, col=1)
    threshold = float(table["threshold"].iloc[0])
    figure.add_vline(x=threshold, line={"color": theme.INK, "width": 1.5, "dash": "dash"}, row=1, col=1)
    target, clips = as_text(table["target"].iloc[0]), int(table["n_clips"].max())
    theme.finish(
        figure, width=width, height=height or 190 + 62 * len(methods), margin=(134, 24, 92, 92),
        title=f"<b>Maps of {target}, put to the trial</b>",
        subtitle=f"{clips} clips · open and right of the dashed line: not the network's doing",
    )  # fmt: skip
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": -60 / (62 * len(methods)), "yanchor": "top"})
    words = [_WORDS.get(method, method.replace("_", " ")) for method in methods]
    figure.update_yaxes(
        tickvals=list(range(len(methods))), ticktext=words, range=[len(methods) - 0.5, -0.5], zeroline=False
    )
    low = min(0.0, float(table[["spearman", "spearman_absolute"]].max(axis=1).min()))
    figure.update_xaxes(
        title_text="rank correlation of the strengths", range=[low - 0.06, 1.04], zeroline=True, row=1, col=1
    )
    if known:
        most = float(table[["share", "high"]].max().max())
        figure.update_xaxes(
            title_text="share of the absolute map", tickformat=".0%", range=[0, min(1.0, 1.08 * most)], row=1, col=2
        )
    return figure


def _draw_shares(figure: go.Figure, rows: pd.DataFrame, at: np.ndarray, *, colour: str, name: str) -> None:
    region = as_text(rows["region"].iloc[0])
    figure.add_trace(
        go.Bar(
            x=rows["area"], y=at, orientation="h", width=0.24, marker={"color": theme.FAINT}, showlegend=False,
            name="area", meta=f"{name} area", customdata=rows["method"],
            hovertemplate=f"{region}: %{{x:.1%}} of the area<extra></extra>",
        ), row=1, col=2,
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=rows["random_share"], y=at, mode="markers", showlegend=False, name="random weights",
            meta=f"{name} random",
            marker={"symbol": RANDOM, "size": 10, "color": colour, "line": {"width": 2, "color": colour}},
            customdata=rows["method"], hovertemplate="%{customdata} on random weights: %{x:.1%}<extra></extra>",
        ), row=1, col=2,
    )  # fmt: skip
    errors = {
        "type": "data", "array": rows["high"] - rows["share"], "arrayminus": rows["share"] - rows["low"], "width": 4,
        "thickness": 1.5, "color": colour,
    }  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=rows["share"], y=at, mode="markers", showlegend=False, name="share", meta=f"{name} share", error_x=errors,
            marker={"color": colour, "size": 9}, customdata=rows["method"],
            hovertemplate=f"%{{customdata}}: %{{x:.1%}} on {region}<extra></extra>",
        ), row=1, col=2,
    )  # fmt: skip


def _stage(name: str) -> str:
    return as_text(name).replace("_", " ").replace(" and above", "<br>and above")


def _demand(table: pd.DataFrame, columns: tuple[str, ...], *, of: str) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(f"the table lacks {', '.join(missing)}; give the table of {of}")
    if not len(table):
        raise ValueError(f"the table of {of} has no row, so there is nothing to draw")
