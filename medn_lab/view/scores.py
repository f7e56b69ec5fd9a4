"""What a model says of one clip: emotion scores and AU scores, beside what was coded."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.records import Predictions, positions
from medn_lab.view import theme
from medn_lab.view.rows import coded_aus, label_column
from medn_lab.view.theme import as_text

ABSENT = "#9DB4C8"
CODED_AT = 1.26
"""Where the coders' diamonds stand on the axis of probabilities."""

SCORE_RANGE = (0.0, 1.32)
"""Of the axis of probabilities: room for the figures and the diamonds beyond 1."""


def clip_scores(predictions: Predictions, clip_id: str) -> tuple[pd.Series, str | None]:
    """The probability of each class for one clip, and the class it was labelled with (None where there is no label)."""
    place = int(positions(predictions.table, clip_id, owner="these Predictions")[0])
    label = label_column(predictions.table)
    truth = None if label is None else predictions.table[label].iloc[place]
    shares = pd.Series(predictions.probabilities[place], index=list(predictions.classes))
    return shares, None if truth is None or pd.isna(truth) else str(truth)


def clip_au_scores(predictions: Predictions, clip_id: str) -> pd.DataFrame:
    """AU, its probability, and whether it was coded (True, False, None): an AU a row, none without AU scores."""
    place = int(positions(predictions.table, clip_id, owner="these Predictions")[0])
    probabilities = predictions.au_probabilities
    names = [] if probabilities is None else [str(au) for au in predictions.aus]
    coded = coded_aus(predictions.table.iloc[place], names)
    table = pd.DataFrame({"au": names, "probability": [] if probabilities is None else probabilities[place]})
    table["coded"] = pd.Series([coded[name] for name in names], dtype=object)
    return table


def score_bars(shares: pd.Series, truth: str | None) -> go.Bar:
    """The emotion scores of a clip as horizontal bars, the labelled class outlined and named."""
    names = [str(name) for name in shares.index]
    return go.Bar(
        x=shares.to_numpy(),
        y=[as_text(name) + (" ◀ label" if name == truth else "") for name in names],
        orientation="h",
        marker={
            "color": [theme.emotion_colour(name) for name in names],
            "line": {"color": theme.INK, "width": [2 if name == truth else 0 for name in names]},
        },
        text=[f"{share:.0%}" for share in shares],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        showlegend=False,
    )


def au_bars(table: pd.DataFrame) -> list[go.Bar | go.Scatter]:
    """AU scores as bars; right of them a filled diamond where the AU was coded, an open one where it was not."""
    coded = table["coded"].to_numpy()
    known = np.asarray([value is not None for value in coded])
    marks = table[known]
    colour = theme.branch_colour("motion")
    bars = go.Bar(
        x=table["probability"],
        y=table["au"],
        orientation="h",
        marker={"color": [colour if p >= 0.5 else ABSENT for p in table["probability"]]},
        name="probability",
        text=[f"{share:.0%}" for share in table["probability"]],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: probability %{x:.1%}<extra></extra>",
        showlegend=False,
    )
    points = go.Scatter(
        x=np.full(len(marks), CODED_AT),
        y=marks["au"],
        mode="markers",
        marker={
            "symbol": ["diamond" if value else "diamond-open" for value in marks["coded"]],
            "size": 9,
            "color": theme.RING,
            "line": {"width": 1.5, "color": theme.RING},
        },
        name="coded",
        hovertemplate="%{y} %{customdata}<extra></extra>",
        customdata=["coded present" if value else "coded absent" for value in marks["coded"]],
        cliponaxis=False,
        showlegend=False,
    )
    return [bars, points]


def plot_scores(predictions: Predictions, clip_id: str, *, width: int = 460, height: int | None = None) -> go.Figure:
    """Draw the emotion scores of one clip.

    Parameters
    ----------
    predictions : Predictions
    clip_id : str
    width, height : int
        In pixels; the height follows the number of classes where None.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the clip is not among the predictions.

    See Also
    --------
    plot_au_scores : the same for AUs.

    Examples
    --------
    >>> said = Predictions(np.array([[2.0, 0.0]]), pd.DataFrame({"clip_id": ["a"]}), ("fear", "others"))
    >>> [round(float(x), 2) for x in plot_scores(said, "a").data[0].x]
    [0.88, 0.12]
    """
    shares, truth = clip_scores(predictions, clip_id)
    figure = go.Figure(score_bars(shares, truth))
    title = f"<b>Emotion scores</b> · {as_text(clip_id)}"
    margin = (_left_of([*figure.data[0].y]), 46, 44, 44)
    theme.finish(figure, width=width, height=height or 100 + 30 * len(shares), title=title, margin=margin)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(
        range=[0, 1.08], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%", title_text="share of the softmax"
    )
    return figure


def plot_au_scores(predictions: Predictions, clip_id: str, *, width: int = 460, height: int | None = None) -> go.Figure:
    """Draw the AU scores of one clip: the motion branch's probability of each AU, and what the coders saw.

    A filled diamond marks an AU that was coded, an open one an AU that was looked for and not seen; an AU without a
    diamond was not coded either way. The dotted line is the usual threshold of one half.

    Parameters
    ----------
    predictions : Predictions
    clip_id : str
    width, height : int
        In pixels; the height follows the number of AUs where None.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the clip is not among the predictions, or the model has no AU scores.

    See Also
    --------
    plot_scores : the same for emotions.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a"], "AU12": [1.0], "AU4": [0.0]})
    >>> said = Predictions(np.zeros((1, 1)), table, ("x",), au_logits=np.array([[0.0, -9.0]]), aus=("AU12", "AU4"))
    >>> plot_au_scores(said, "a").data[0].x.round(2).tolist()
    [0.5, 0.0]
    """
    table = clip_au_scores(predictions, clip_id)
    if table.empty:
        raise ValueError(
            "these predictions hold no AU scores: the model was made without a motion branch or without AUs"
        )
    figure = go.Figure(au_bars(table))
    title = f"<b>AU scores</b> · {as_text(clip_id)}"
    marks = f"<span style='color:{theme.RING}'>◆</span> coded, <span style='color:{theme.RING}'>◇</span> coded absent"
    subtitle = f"bar: the motion branch's probability · {marks}"
    height = height or 118 + 26 * len(table)
    theme.finish(figure, width=width, height=height, title=title, subtitle=subtitle, margin=(64, 24, 62, 44))
    figure.add_vline(x=0.5, line={"dash": "dot", "color": theme.INK, "width": 1})
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(
        range=SCORE_RANGE, tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%", title_text="probability (sigmoid)"
    )
    return figure


def _left_of(labels: list[str]) -> int:
    return 24 + 7 * max(len(label) for label in labels)
