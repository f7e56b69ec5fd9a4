"""Names of answers.py under their former address, and bars that figures of clips and pairs still use."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.view import theme
from medn_lab.view.answers import ABSENT, clip_au_scores, clip_scores  # noqa: F401
from medn_lab.view.marks import bars
from medn_lab.view.theme import as_text

CODED_AT, SCORE_RANGE = 1.26, (0.0, 1.32)


def score_bars(shares: pd.Series, truth: str | None) -> go.Bar:
    """The emotion scores of a clip as horizontal bars, the labelled class outlined and named."""
    names = [str(name) for name in shares.index]
    figure = go.Figure()
    bars(
        figure, shares.to_numpy(), labels=[as_text(name) + (" ◀ label" if name == truth else "") for name in names],
        colours=[theme.emotion_colour(name) for name in names], texts=[f"{share:.0%}" for share in shares],
        outlined=[name == truth for name in names],
    )  # fmt: skip
    return figure.data[0]


def au_bars(table: pd.DataFrame) -> list[go.Bar | go.Scatter]:
    """AU scores as bars; right of them a filled diamond where the AU was coded, an open one where it was not."""
    colour, figure = theme.branch_colour("motion"), go.Figure()
    colours = [colour if share >= 0.5 else ABSENT for share in table["probability"]]
    texts = [f"{share:.0%}" for share in table["probability"]]
    bars(figure, table["probability"], labels=list(table["au"]), colours=colours, texts=texts, name="AU scores")
    marks = table[[value is not None for value in table["coded"]]]
    points = go.Scatter(
        x=np.full(len(marks), CODED_AT), y=marks["au"], mode="markers", name="coded", cliponaxis=False,
        marker={
            "symbol": ["diamond" if value else "diamond-open" for value in marks["coded"]], "size": 9,
            "color": theme.RING, "line": {"width": 1.5, "color": theme.RING},
        },
        customdata=["coded present" if value else "coded absent" for value in marks["coded"]],
        hovertemplate="%{y} %{customdata}<extra></extra>", showlegend=False,
    )  # fmt: skip
    return [figure.data[0].update(showlegend=False), points]
