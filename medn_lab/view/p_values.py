"""Whether a test can be believed, as a picture: the p values of many draws of which the truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.view import theme
from medn_lab.view.theme import as_text

LEVEL = 0.05
"""The level at which the share found is written beside each name."""

BAND = "rgba(128, 128, 128, 0.22)"


def ks_band(n: int) -> float:
    """How far from the diagonal 95 of 100 distributions of `n` uniform p values stay everywhere, in (0, 1).

    References
    ----------
    Stephens: "EDF statistics for goodness of fit and some comparisons", 1974.

    Examples
    --------
    >>> round(ks_band(200), 3)
    0.095
    """
    return float(min(1.0, 1.358 / (np.sqrt(n) + 0.12 + 0.11 / np.sqrt(n))))


def plot_p_values(p_values: pd.DataFrame, *, width: int = 820, height: int = 440) -> go.Figure:
    """Draw how often p lies below each value, over many draws in which it is known what was planted.

    Where nothing was planted, p should lie below .05 in 5 of 100 draws, below .5 in 50, and so on: the line follows the
    diagonal and stays in the grey band, which 95 of 100 such lines never leave (Kolmogorov-Smirnov). Above the band the
    test cries wolf, below it the test is too careful. Where something was planted, the height at the dotted line is the
    power: the share of draws in which it is found at .05.

    Parameters
    ----------
    p_values : DataFrame
        A column a setting, a draw a row, each in [0, 1]; NaN where there was no draw.
    width, height : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no column, one holds no draw, or a p value lies outside [0, 1].

    See Also
    --------
    medn_lab.diagnose.permutation_test

    Examples
    --------
    >>> draws = pd.DataFrame({"nothing planted": np.linspace(0.01, 1, 100), "planted": np.linspace(0.0, 0.1, 100)})
    >>> figure = plot_p_values(draws)
    >>> figure.layout.title.text
    '<b>p values where the truth is known</b>'
    """
    if not len(p_values.columns):
        raise ValueError("there are no p values: the table has no column")
    settings = {str(name): p_values[name].dropna().to_numpy(dtype=float) for name in p_values.columns}
    for name, values in settings.items():
        if not len(values):
            raise ValueError(f"no p value is known of {name!r}")
        if values.min() < 0 or values.max() > 1:
            raise ValueError(f"a p value lies in [0, 1]; {name!r} holds {values.min():.3g} to {values.max():.3g}")
    draws = [len(values) for values in settings.values()]
    figure = go.Figure()
    edge, half = np.linspace(0, 1, 101), ks_band(min(draws))
    figure.add_trace(
        go.Scatter(
            x=np.concatenate([edge, edge[::-1]]),
            y=np.clip(np.concatenate([edge + half, edge[::-1] - half]), 0, 1),
            fill="toself", fillcolor=BAND, line={"width": 0}, mode="lines", hoverinfo="skip",
            name="95 of 100 lines stay here<br>where nothing is planted",
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=[0, 1], y=[0, 1], mode="lines", line={"color": theme.INK, "width": 1}, showlegend=False, hoverinfo="skip"
        )
    )
    for place, (name, values) in enumerate(settings.items()):
        at = np.concatenate([[0.0], np.sort(values), [1.0]])
        share = np.concatenate([np.arange(len(values) + 1) / len(values), [1.0]])
        line = {"shape": "hv", "width": 2.5, "color": theme.category_style(place)[0]}
        found = f"{(values <= LEVEL).mean():.3f}".removeprefix("0")
        figure.add_trace(
            go.Scatter(
                x=at, y=share, mode="lines", line=line,
                name=f"{as_text(name)}<br><b>{found}</b> at or below .05", meta=name,
                hovertemplate=f"{as_text(name)}<br>p at or below %{{x:.2f}}: %{{y:.0%}}<extra></extra>",
            )
        )  # fmt: skip
    figure.add_vline(x=LEVEL, line={"color": theme.INK, "width": 1.5, "dash": "dot"})
    told = f"{draws[0]} draws each" if len(set(draws)) == 1 else f"{min(draws)} to {max(draws)} draws"
    theme.finish(
        figure,
        width=width,
        height=height,
        title="<b>p values where the truth is known</b>",
        subtitle=f"{told} · dotted: p = .05",
        margin=(64, 300, 66, 48),
    )
    figure.update_layout(legend={"orientation": "v", "x": 1.03, "y": 1, "tracegroupgap": 10, "itemsizing": "trace"})
    figure.update_xaxes(title_text="p", range=[-0.01, 1.01], zeroline=False)
    figure.update_yaxes(
        title_text="share of draws with such a p or a smaller one",
        range=[-0.01, 1.01],
        zeroline=False,
        tickformat=".0%",
    )
    return figure
