"""A few clips and what a model answers to them, whole and through one input at a time, beside what is true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from medn_lab.records import Clips, LivePrediction, positions
from medn_lab.view import theme
from medn_lab.view.answer_pictures import arrow_gain, face_pictures, table_allows
from medn_lab.view.attribution_panels import add_picture
from medn_lab.view.rows import au_set_texts
from medn_lab.view.scores import ABSENT, clip_au_scores, clip_scores
from medn_lab.view.theme import as_text

PIXELS = 320

_PICTURE, _SCORES, _AUS = 156, 240, 130
_LABELS, _NUMBERS = 76, 22  # room for the emotions' names and the AUs' numbers, left of their bars
_ROW, _GAP, _FOOT, _TOP, _BETWEEN = 160, 80, 36, 100, 12


def plot_answers(
    answers: LivePrediction, clip_ids: str | Sequence[str] | None = None, *, clips: Clips, magnify: float = 6.0
) -> go.Figure:
    """Draw clips beside a model's answers to them: what went in, what was looked at, what was said.

    A row a clip. Pictures: the apex with its motion made larger, the flow that the motion branch reads (arrows), the
    places that the emotion branch kept (bright: at every keep rate). Bars: the whole model; marks on them: what it says
    with a flow of zeros, what it says with frames that stand still, and what SynthME's table allows. Right: the motion
    branch's AU scores, with the AUs that were set.

    Parameters
    ----------
    answers : LivePrediction
    clip_ids : str or sequence of str, optional
        Which clips, such as a pair; all where None.
    clips : Clips
        The clips that were answered to.
    magnify : float
        How many times as large the motion is drawn on the face, 1 to 20.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a clip is not among the answers or the clips, or there are more than 8.

    See Also
    --------
    medn_lab.evaluate.live_predictor : makes answers.
    medn_lab.widgets.FaceLab : the same with sliders.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clip = medn.synthme.face_studio()({"aus": {"AU12": "C"}})
    >>> answers = medn.evaluate.live_predictor(medn.load_pretrained("medn_tiny.synthme_v2"))(clip)
    >>> figure = plot_answers(answers, clips=clip)
    >>> figure.layout.title.text
    '<b>What it answers</b> · medn_tiny.synthme_v2'
    """
    if clip_ids is None:
        names = list(answers.predictions.table["clip_id"])
    else:
        names = [clip_ids] if isinstance(clip_ids, str) else [str(name) for name in clip_ids]
    if len(names) > 8:
        raise ValueError(f"{len(names)} clips are too many for one picture; name up to 8 of them in clip_ids")
    positions(answers.predictions.table, names, owner="these predictions")
    drawn = [face_pictures(clips, name, kept=answers.kept, size=PIXELS, magnify=magnify) for name in names]
    kinds = [kind for kind in ("face", "flow", "kept") if any(kind in pictures for pictures in drawn)]
    widths = [_PICTURE] * len(kinds) + [_LABELS, _SCORES, _NUMBERS, _AUS]
    scores, aus = len(kinds) + 2, len(kinds) + 4
    body = len(names) * _ROW + (len(names) - 1) * _GAP
    figure = make_subplots(
        rows=len(names),
        cols=len(widths),
        column_widths=widths,
        specs=[[{}] * len(kinds) + [None, {}, None, {}]] * len(names),
        horizontal_spacing=_BETWEEN / (sum(widths) + _BETWEEN * (len(widths) - 1)),
        vertical_spacing=_GAP / body if len(names) > 1 else 0,
    )
    for row, (name, pictures) in enumerate(zip(names, drawn, strict=True), start=1):
        for column, kind in enumerate(kinds, start=1):
            if kind in pictures:
                add_picture(figure, row, column, pictures[kind])
                _above(figure, row, column, _caption(kind, clips, name, magnify))
        _add_scores(figure, row, scores, answers, clips, name)
        _add_aus(figure, row, aus, answers, name)
        _heading(figure, row, clips, answers, name)
    theme.finish(
        figure,
        width=sum(widths) + _BETWEEN * (len(widths) - 1) + 34,
        height=_TOP + body + _FOOT,
        title=f"<b>What it answers</b> · {as_text(answers.predictions.source.get('name', 'a model'))}",
        subtitle=_key(answers),
        margin=(14, 20, _TOP, _FOOT),
    )
    return figure


def state_text(clips: Clips, clip_id: str) -> str:
    """A clip in a few words: AU set with intensities where they are known, and its cue; not escaped."""
    place = int(positions(clips.table, clip_id, owner="these clips")[0])
    row = clips.table.iloc[place]
    aus = str(au_set_texts(clips.table.iloc[[place]])[0])
    if clips.truth is not None and "intensities" in clips.truth.table:
        at = int(positions(clips.truth.table, clip_id, owner="this truth")[0])
        told = str(clips.truth.table["intensities"].iloc[at])
        aus = "no AU" if told in ("none", "nan", "") else " + ".join(f"AU {part}" for part in told.split("+"))
    cue = row.get("cue")
    return aus if cue is None or pd.isna(cue) else f"{aus}, cue {cue}"


def gate_of(answers: LivePrediction, clip_id: str) -> float | None:
    """The mean gate of a clip: 1 all motion, 0 all emotion; None without a gate."""
    if answers.features.gate is None:
        return None
    place = int(positions(answers.features.table, clip_id, owner="these predictions")[0])
    return float(answers.features.gate[place].mean())


def score_table(answers: LivePrediction, clips: Clips, clip_id: str) -> pd.DataFrame:
    """Everything that is said of a clip's emotion, a class a row.

    Parameters
    ----------
    answers : LivePrediction
    clips : Clips
    clip_id : str

    Returns
    -------
    DataFrame
        Index the model's classes, then the table's emotions that it does not know; columns ``given_aus, given_cue,
        model, frames_alone, flow_alone`` in [0, 1], NaN where nothing is said.
    """
    said = {"model": clip_scores(answers.predictions, clip_id)[0]}
    for name in ("frames_alone", "flow_alone"):
        part = getattr(answers, name)
        said[name] = pd.Series(dtype=float) if part is None else clip_scores(part, clip_id)[0]
    allowed = table_allows(clips, clip_id)
    classes = list(answers.predictions.classes)
    extra = [] if allowed is None else [name for name in allowed.index if name not in classes]
    rows = pd.DataFrame(index=[*classes, *extra])
    for name in ("given_aus", "given_cue"):
        rows[name] = np.nan if allowed is None else allowed[name].reindex(rows.index)
    for name, values in said.items():
        rows[name] = values.reindex(rows.index)
    return rows.astype(float)


def _add_scores(figure: go.Figure, row: int, column: int, answers: LivePrediction, clips: Clips, clip_id: str) -> None:
    table = score_table(answers, clips, clip_id)
    where, names = {"row": row, "col": column}, [as_text(name) for name in table.index]
    figure.add_trace(
        go.Bar(
            x=table["model"], y=names, orientation="h", name="whole model", showlegend=False,
            marker={"color": [theme.emotion_colour(name) for name in table.index]},
            hovertemplate="%{y}: %{x:.1%}<extra>whole model</extra>",
        ),
        **where,
    )  # fmt: skip
    for key, (symbol, colour, title) in _MARKS.items():
        values = table[key].where(table[key] > 0) if key.startswith("given") else table[key]
        figure.add_trace(
            go.Scatter(
                x=values, y=names, mode="markers", name=title, showlegend=False, cliponaxis=False,
                marker={"symbol": symbol, "size": 16 if key == "given_aus" else 10, "color": colour,
                        "line": {"width": 2.2 if key == "given_aus" else 1,
                                 "color": colour if key == "given_aus" else "#FFFFFF"}},
                hovertemplate=f"%{{y}}: %{{x:.1%}}<extra>{title}</extra>",
            ),
            **where,
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont={"size": 11.5}, **where)
    figure.update_xaxes(range=[-0.02, 1.05], tickvals=[0, 0.5, 1], tickformat=".0%", **where)


_MARKS = {
    "given_aus": ("line-ns", theme.INK, "the table with these AUs"),
    "given_cue": ("diamond", theme.RING, "the table with AUs and cue"),
    "frames_alone": ("triangle-up", theme.branch_colour("emotion"), "frames alone (flow zero)"),
    "flow_alone": ("circle", theme.branch_colour("motion"), "flow alone (frames still)"),
}


def _key(answers: LivePrediction) -> str:
    glyphs = {"given_aus": "|", "given_cue": "◆", "frames_alone": "▲", "flow_alone": "●"}
    told = [
        f"<span style='color:{colour}'>{glyphs[key]}</span> {title}"
        for key, (_, colour, title) in _MARKS.items()
        if key.startswith("given") or getattr(answers, key) is not None
    ]
    return " · ".join(["bar: the whole model", *told])


def _add_aus(figure: go.Figure, row: int, column: int, answers: LivePrediction, clip_id: str) -> None:
    where, table = {"row": row, "col": column}, clip_au_scores(answers.predictions, clip_id)
    if table.empty:
        figure.update_xaxes(visible=False, **where)
        figure.update_yaxes(visible=False, **where)
        figure.add_annotation(text="no AU scores", x=0.5, y=0.5, showarrow=False, **where)
        return
    coded = [value is True for value in table["coded"]]
    colour = theme.branch_colour("motion")
    figure.add_trace(
        go.Bar(
            x=table["probability"], y=[au[2:] for au in table["au"]], orientation="h", showlegend=False,
            marker={"color": [colour if share >= 0.5 else ABSENT for share in table["probability"]]},
            hovertemplate="AU%{y}: %{x:.1%}<extra></extra>", name="AU scores",
        ),
        **where,
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=np.full(sum(coded), 1.12), y=[au[2:] for au, there in zip(table["au"], coded, strict=True) if there],
            mode="markers", marker={"symbol": "diamond", "size": 8, "color": theme.RING}, name="AUs that were set",
            hovertemplate="AU%{y} was set<extra></extra>", showlegend=False, cliponaxis=False,
        ),
        **where,
    )  # fmt: skip
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, tickfont={"size": 9.5}, dtick=1, **where)
    figure.update_xaxes(range=[0, 1.18], tickvals=[0, 0.5, 1], tickformat=".0%", **where)
    _above(figure, row, column, "AU scores, ◆ set")


def _caption(kind: str, clips: Clips, clip_id: str, magnify: float) -> str:
    if kind == "face":
        return f"apex, motion × {magnify:g}"
    if kind == "kept":
        return "kept places"
    gain = arrow_gain(clips, clip_id)
    return "flow: nothing moves" if gain is None else f"flow, arrows × {gain:g}"


def _above(figure: go.Figure, row: int, column: int, text: str) -> None:
    figure.add_annotation(
        text=text, xref="x domain", yref="y domain", x=0, y=1, xanchor="left", yanchor="bottom", showarrow=False,
        font={"size": 11.5, "color": theme.INK}, row=row, col=column,
    )  # fmt: skip


def _heading(figure: go.Figure, row: int, clips: Clips, answers: LivePrediction, clip_id: str) -> None:
    gate = gate_of(answers, clip_id)
    told = [f"<b>{as_text(clip_id)}</b>", as_text(state_text(clips, clip_id))]
    if gate is not None:
        told.append(f"gate {gate:.2f}")
    figure.add_annotation(
        text=" · ".join(told), xref="x domain", yref="y domain", x=0, y=1, yshift=18, xanchor="left", yanchor="bottom",
        showarrow=False, font={"size": 13}, row=row, col=1,
    )  # fmt: skip
