"""One confusable pair as a picture: the faces at the apex, flows and their difference, scores, verdicts."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import Attribution, Clips, Predictions
from medn_lab.view import theme
from medn_lab.view.attribution import sanity_lines
from medn_lab.view.images import Magnifier, data_uri, motion_field, to_webp
from medn_lab.view.pair_tiles import Tile, difference_tiles, flow_tiles, scale_line
from medn_lab.view.pair_words import branch_verdicts, model_verdict, swap_lines
from medn_lab.view.rows import clip_moments, clip_row, describe
from medn_lab.view.scores import clip_scores, score_bars
from medn_lab.view.sheets import wrapped
from medn_lab.view.theme import as_text

PIXELS = 300
_NARROWEST = 640
_SCORES = 262  # pixels of the scores and the names before them
_GAP, _BETWEEN, _FOOT, _LINE = 12, 50, 34, 16


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
    """Draw two clips that move alike and mean different things, one above the other, and what lies between them.

    Left to right: the apex with its motion magnified; the flow; in the middle of both rows the difference of the flows,
    on the scale of the flows themselves; what made the difference for the model; the scores. Under the title stands
    what each branch makes of the pair.

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
        Of ``medn.diagnose.attribute_pair``: adds what made the difference.
    swaps : DataFrame or None
        Of ``medn.diagnose.swap_branches``: adds which branch the difference is owed to.
    part : {"frames", "flow"}
        Which input's attribution is drawn.
    magnify : float
        How many times as large the motion at the apex is drawn.
    width : int
        In pixels.

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
    '<b>A confusable pair</b> · same AUs, another emotion'
    """
    names = [str(name) for name in clip_ids]
    if len(names) != 2:
        raise ValueError(f"a pair has two clips; {len(names)} were named")
    rows = [clip_row(clips, name)[1] for name in names]
    apexes = [_apex(clips, name, magnify) for name in names]
    flows = flow_tiles(clips, names, size=PIXELS)
    said = [f"<b>{letter}</b> {describe(row)}" for letter, row in zip("ab", rows, strict=True)]
    verdicts = _verdict_lines(pairs, names, swaps, width)
    maps: list[Tile] = []
    if attribution is not None:
        maps = difference_tiles(attribution, clips, names, part=part, size=PIXELS)
        checked = f"{scale_line(attribution, part=part)}; {sanity_lines(attribution)[0]}"
        verdicts += wrapped(checked, width - 30, 6.2)
    columns = 3 + bool(maps)
    scored = predictions is not None
    inner = width - 24 - (_SCORES if scored else 0)
    cell = min(250, (inner - _GAP * (columns - 1)) / columns)
    if not scored:
        width = min(width, max(_NARROWEST, round(24 + columns * cell + _GAP * (columns - 1))))
    subtitle = "<br>".join([*said, *verdicts])
    top = 62 + _LINE * (len(said) + len(verdicts))
    height = round(top + 2 * cell + _BETWEEN + _FOOT)
    figure = _empty(width, columns, cell, scored)
    title = "<b>A confusable pair</b> · same AUs, another emotion"
    theme.finish(figure, width=width, height=height, title=title, subtitle=subtitle, margin=(12, 12, top, _FOOT))
    for row, tile in enumerate((apexes[0], apexes[1]), start=1):
        _place(figure, row, 1, tile)
    _place(figure, 1, 2, flows[0])
    _place(figure, 2, 2, flows[2])
    _place(figure, 1, 3, flows[1])
    for row, tile in enumerate(maps, start=1):
        _place(figure, row, 4, tile)
    if predictions is not None:
        _scores(figure, predictions, names, columns + 1)
    return figure


def _apex(clips: Clips, clip_id: str, magnify: float) -> Tile:
    place, _ = clip_row(clips, clip_id)
    if clips.frames is None:
        return Tile("apex", None, "These clips have no frames.")
    moments = clip_moments(clips, clip_id)
    frames = np.asarray(clips.frames[place])
    field, _ = motion_field(clips, place)
    at = len(frames) // 2 if moments.apex is None else moments.apex
    drawn = Magnifier(frames, field, apex=moments.apex, size=PIXELS).frame(at, magnify)
    name = "middle frame" if moments.apex is None else "apex"
    return Tile(f"{name}, motion × {magnify:g}" if magnify > 1 else name, drawn, moments.describe(at))


def _verdict_lines(
    pairs: pd.DataFrame | None, names: Sequence[str], swaps: pd.DataFrame | None, width: int
) -> list[str]:
    lines, room = [], width - 30
    if pairs is not None:
        row = pair_row(pairs, names)
        for verdict in branch_verdicts(row):
            word = f"{verdict.branch} branch {verdict.word}"
            text = wrapped(f"{word}: {'; '.join(verdict.lines)}", room, 6.3)
            coloured = f"<b style='color:{theme.branch_colour(verdict.branch)}'>{as_text(word)}</b>"
            lines += [text[0].replace(as_text(word), coloured, 1), *text[1:]]
        said = model_verdict(row)
        lines += wrapped(said, room, 6.3) if said else []
    if swaps is not None:
        for line in swap_lines(swaps):
            lines += wrapped(line, room, 6.3)
    return lines


def pair_row(pairs: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    """The row of a table of pairs that holds these two clips, in this order or the other.

    Raises
    ------
    ValueError
        If there is none.
    """
    a, b = pairs["clip_a"].to_numpy(dtype=object), pairs["clip_b"].to_numpy(dtype=object)
    here = np.flatnonzero(((a == names[0]) & (b == names[1])) | ((a == names[1]) & (b == names[0])))
    if not len(here):
        raise ValueError(f"{names[0]!r} and {names[1]!r} are not among the {len(pairs)} pairs of this table")
    return pairs.iloc[here[0]]


def _empty(width: int, columns: int, cell: float, scored: bool) -> go.Figure:
    specs: list[dict[str, int]] = [{}, {}, {"rowspan": 2}] + [{}] * (columns - 3 + scored)
    below: list[dict[str, int] | None] = [None if spec.get("rowspan") else {} for spec in specs]
    inner = width - 24
    rest = inner - columns * cell - _GAP * (columns - 1 + scored)
    return make_subplots(
        rows=2,
        cols=columns + scored,
        specs=[specs, below],
        column_widths=[cell] * columns + [rest] * scored,
        horizontal_spacing=_GAP / inner,
        vertical_spacing=_BETWEEN / (2 * cell + _BETWEEN),
    )


def _place(figure: go.Figure, row: int, column: int, tile: Tile) -> None:
    where = {"row": row, "col": column}
    middle = {"xref": "x domain", "yref": "y domain", "showarrow": False, **where}
    if tile.picture is None:
        figure.add_trace(go.Scatter(x=[None], y=[None], showlegend=False, hoverinfo="skip"), **where)
        figure.update_xaxes(visible=False, range=[0, 1], **where)
        figure.update_yaxes(visible=False, range=[0, 1], **where)
        figure.add_annotation(text="<br>".join(wrapped(tile.note, 170, 6.0)), x=0.5, y=0.5, font={"size": 12}, **middle)
        return
    source = data_uri(to_webp([tile.picture], quality=84))
    figure.add_trace(go.Image(source=source, hoverinfo="skip"), **where)
    height, width = tile.picture.shape[:2]
    anchor = figure.get_subplot(row, column).xaxis.plotly_name.replace("axis", "")
    figure.update_xaxes(visible=False, range=[-0.5, width - 0.5], constrain="domain", **where)
    figure.update_yaxes(visible=False, range=[height - 0.5, -0.5], scaleanchor=anchor, constrain="domain", **where)
    heading, note = as_text(tile.heading), as_text(tile.note)
    figure.add_annotation(text=heading, x=0.5, y=1, yanchor="bottom", font={"size": 12.5}, **middle)
    figure.add_annotation(text=note, x=0.5, y=0, yanchor="top", font={"size": 11, "color": theme.INK}, **middle)


def _scores(figure: go.Figure, predictions: Predictions, names: Sequence[str], column: int) -> None:
    longest = 0
    for row, name in enumerate(names, start=1):
        shares, truth = clip_scores(predictions, name)
        bars = score_bars(shares, truth)
        longest = max(longest, *(len(html.unescape(label)) for label in bars.y))
        figure.add_trace(bars, row=row, col=column)
        where = {"row": row, "col": column}
        figure.update_yaxes(autorange="reversed", showgrid=False, tickfont={"size": 10.5}, dtick=1, **where)
        figure.update_xaxes(range=[0, 1.28], tickvals=[0, 0.5, 1], tickformat=".0%", tickangle=0, **where)
        figure.update_xaxes(tickfont={"size": 10}, **where)
        figure.add_annotation(
            text=f"scores of {'ab'[row - 1]}", x=0.5, y=1, xref="x domain", yref="y domain", yanchor="bottom",
            showarrow=False, font={"size": 12.5}, **where,
        )  # fmt: skip
    inner = figure.layout.width - 24
    for row in (1, 2):
        panel = figure.get_subplot(row, column)
        low, high = panel.xaxis.domain
        room = min((14 + 5.9 * longest) / inner, 0.7 * (high - low))  # a name that is longer runs out of the panel
        panel.xaxis.domain = (low + room, high)
        bottom, top = panel.yaxis.domain
        panel.yaxis.domain = (bottom + 0.16 * (top - bottom), top - 0.08 * (top - bottom))
