"""A model's evaluation in one picture: who is taken for whom, and the scores between floor and ceilings."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import EvaluationSummary
from medn_lab.view import theme
from medn_lab.view.confusion_cells import UNLABELLED, confusion_cells
from medn_lab.view.theme import as_text

SCORE = "#2F7FD0"
CEILING = "#159A74"


def plot_evaluation(summary: EvaluationSummary, *, width: int = 980) -> go.Figure:
    """Draw the confusion matrix and, beside it, the scores with their intervals, the AU-only floor and the ceilings.

    The bar through a score is its interval over resampled persons; the dashed mark is what AUs alone score on the same
    clips, the green marks are the most that a perfect reader can expect (of accuracy). A score is worth something where
    its whole bar lies right of the floor.

    Parameters
    ----------
    summary : EvaluationSummary
        As ``medn.evaluate.evaluation_summary`` makes it.
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no clips.

    See Also
    --------
    plot_confusion_matrix, plot_folds, plot_au_detection

    Examples
    --------
    >>> import pandas as pd
    >>> from medn_lab.evaluate import evaluation_summary
    >>> from medn_lab.records import Predictions
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "subject": list("1122"), "label": list("xyxy")})
    >>> summary = evaluation_summary(Predictions(np.eye(2)[[0, 1, 0, 0]], table, ("x", "y")))
    >>> figure = plot_evaluation(summary)
    >>> figure.layout.title.text
    '<b>Evaluation</b>'
    """
    if not len(summary.predictions):
        raise ValueError("there are no clips to draw an evaluation of")
    cells = confusion_cells(summary.predictions, label=summary.label)
    figure = make_subplots(
        rows=1, cols=2, column_widths=[0.46, 0.54], horizontal_spacing=0.13,
        subplot_titles=("Who is taken for whom", "Scores between floor and ceilings"),
    )  # fmt: skip
    shares, n = cells.shares, cells.counts.sum(axis=1)
    rows = [as_text(name) for name in cells.rows]
    columns = [as_text(name) for name in cells.columns]
    figure.add_trace(
        go.Heatmap(
            z=np.nan_to_num(shares), x=np.arange(len(columns)), y=np.arange(len(rows)), zmin=0, zmax=1, xgap=2, ygap=2,
            colorscale=[list(stop) for stop in theme.SHARE_SCALE], showscale=False,
            customdata=[[f"true {a}, called {b}" for b in columns] for a in rows],
            hovertemplate="%{customdata}: %{z:.0%} of the row<extra></extra>",
        ),
        row=1, col=1,
    )  # fmt: skip
    for y, x in np.ndindex(cells.counts.shape):
        dark = np.nan_to_num(shares[y, x]) > 0.65
        figure.add_annotation(
            x=x, y=y, text=f"<b>{cells.counts[y, x]}</b>", showarrow=False, row=1, col=1,
            font={"size": 13, "color": "#FFFFFF" if dark else "#1D2733"},
        )  # fmt: skip
    longest = max(map(len, rows))
    figure.update_xaxes(
        tickvals=np.arange(len(columns)), ticktext=columns, title_text="predicted", showgrid=False, zeroline=False,
        tickangle=-30 if longest > 8 else 0, row=1, col=1,
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=np.arange(len(rows)), ticktext=[f"{name}  <i>{k}</i>" for name, k in zip(rows, n, strict=True)],
        range=[len(rows) - 0.5, -0.5], showgrid=False, zeroline=False, row=1, col=1,
    )  # fmt: skip
    _draw_scores(figure, summary)
    scored = n[[name != UNLABELLED for name in cells.rows]].sum()
    persons = f" of {len(summary.subjects)} subjects" if len(summary.subjects) else ""
    theme.finish(
        figure, width=width, height=max(370, 180 + 40 * len(rows)), title="<b>Evaluation</b>",
        subtitle=f"{scored} labelled clips{persons}; beside each true class its clips",
        margin=(60 + 7 * (longest + 3), 40, 92, 84),
    )  # fmt: skip
    figure.update_layout(legend={"x": 1, "xanchor": "right", "y": -0.16, "yanchor": "top"})
    return figure


def _draw_scores(figure: go.Figure, summary: EvaluationSummary) -> None:
    rows = summary.scores[summary.scores["part"] == "all"] if len(summary.scores) else summary.scores
    where = {"row": 1, "col": 2}
    figure.update_xaxes(range=[0, 1.04], tickformat=".1f", zeroline=False, **where)
    if not len(rows):
        figure.add_annotation(
            x=0.5,
            y=0.5,
            text=as_text(" ".join(summary.notes) or "nothing was scored"),
            showarrow=False,
            **where,
        )
        return
    places = np.arange(len(rows))
    value = rows["value"].to_numpy(dtype=float)
    figure.add_trace(
        go.Scatter(
            x=value, y=places, mode="markers+text", name="score, 95 % over persons",
            text=[f"<b>{one:.3f}</b>" for one in value], textposition="top center",
            marker={"size": 11, "color": SCORE},
            error_x={
                "type": "data", "symmetric": False, "array": np.nan_to_num(rows["high"] - value),
                "arrayminus": np.nan_to_num(value - rows["low"]), "thickness": 3, "width": 7, "color": SCORE,
            },
            hovertemplate="%{x:.3f}<extra></extra>",
        ),
        **where,
    )  # fmt: skip
    if rows["floor"].notna().any():
        figure.add_trace(
            go.Scatter(
                x=rows["floor"], y=places, mode="markers", hovertemplate="floor %{x:.3f}",
                name=summary.scores.attrs.get("floor", "AU-only floor"),
                marker={"symbol": "line-ns", "size": 26, "line": {"width": 3, "color": theme.INK}},
            ),
            **where,
        )  # fmt: skip
    for place, (name, ceiling) in enumerate(summary.ceilings.items()):
        figure.add_trace(
            go.Scatter(
                x=[ceiling, ceiling], y=[-0.62, 0.3], mode="lines", name="ceilings of accuracy", showlegend=not place,
                line={"color": CEILING, "width": 2, "dash": "dot"}, hovertemplate=f"{as_text(name)} %{{x:.3f}}",
            ),
            **where,
        )  # fmt: skip
        figure.add_annotation(
            x=ceiling, y=-0.66, text=f"{as_text(name)}<br>{ceiling:.2f}", showarrow=False, yanchor="bottom",
            xanchor="center", font={"size": 11, "color": CEILING}, **where,
        )  # fmt: skip
    figure.update_yaxes(
        tickvals=places,
        ticktext=list(rows["measure"]),
        range=[len(rows) - 0.5, -1.25],
        showgrid=False,
        zeroline=False,
        **where,
    )
