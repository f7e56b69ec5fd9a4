"""What a model predicts of clips: confusion matrix, emotion and AU scores of a clip, and of each input alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from medn_lab.records import Clips, LivePrediction, Predictions, positions
from medn_lab.view import theme
from medn_lab.view.marks import SMALLEST, Tile, counted, forest, heading, heat, indent, small, tiles
from medn_lab.view.rows import au_set_texts, clip_row, coded_aus, label_column
from medn_lab.view.theme import as_text

UNLABELLED = "no label"  # the row of clips whose class is not known
ABSENT = "#9DB4C8"
_CODED = {True: " ◆", False: " ◇", None: ""}
# What `plot_answers` compares with the scores of the whole model, in the order of the marks of a forest.
COMPARED = {
    "frames_alone": "frames alone (flow zero)", "given_aus": "the table with these AUs",
    "flow_alone": "flow alone (frames still)", "given_cue": "the table with AUs and cue",
}  # fmt: skip


def confusion_cells(predictions: Predictions, *, label: str = "label") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cell of each clip in the confusion matrix, and the counts; labels may be missing or unknown to the model.

    Parameters
    ----------
    predictions : Predictions
    label : str
        Column of the true class; without it every clip stands in the row `UNLABELLED`.

    Returns
    -------
    cells : DataFrame
        ``true, predicted`` of each clip, in the order of the predictions.
    counts : DataFrame of int
        Index the model's classes, then labels that it does not know, then `UNLABELLED` if there are such clips;
        columns the model's classes.
    """
    known = [str(name) for name in predictions.classes]
    given = predictions.table.get(label, pd.Series(None, predictions.table.index, object))
    cells = pd.DataFrame({"true": given.astype(str).where(given.notna(), UNLABELLED)}, dtype=object)
    cells = cells.assign(predicted=predictions.predicted.astype(str) if len(predictions) else "").reset_index(drop=True)
    there = set(cells["true"])
    rows = [*known, *sorted(there - {*known, UNLABELLED}), *[UNLABELLED] * (UNLABELLED in there)]
    counts = pd.crosstab(cells["true"], cells["predicted"]).reindex(index=rows, columns=known, fill_value=0)
    return cells, counts.astype(int)


def true_names(counts: pd.DataFrame) -> list[str]:
    """The names of the rows of a confusion matrix, each with its number of clips."""
    return [f"{as_text(name)}<br>n = {total:,.0f}" for name, total in counts.sum(axis=1).items()]


def draw_confusion(figure: go.Figure, counts: pd.DataFrame, *, cell: float, **where: Any) -> None:
    """Add a confusion matrix: in each cell its clips and their share of the row, which is the colour.

    Names of columns that are longer than `cell`, the pixels of a column, are turned.
    """
    totals, predicted = counts.sum(axis=1), [as_text(name) for name in counts.columns]
    shares = counts.div(totals.where(totals > 0), axis=0).to_numpy(dtype=float)
    texts = np.empty(shares.shape, dtype=object)
    for place, share in np.ndenumerate(shares):
        percent = small("–" if np.isnan(share) else f"{share:.0%}")
        texts[place] = f"<b>{int(counts.iloc[place]):,}</b><br>{percent}"
    look: dict[str, Any] = {"scale": theme.SHARE_SCALE, "limits": (0, 1), "texts": texts}
    heat(figure, shares, columns=predicted, rows=true_names(counts), **look, **where)
    longest = 8 + 6.5 * max(map(len, map(str, counts.columns)), default=0)
    figure.update_xaxes(title_text="predicted", tickangle=-30 if longest > cell else 0, **where)
    figure.update_yaxes(title_text="true", **where)


def plot_confusion_matrix(matrix: pd.DataFrame, *, width: int | None = None) -> go.Figure:
    """Draw a confusion matrix: how the clips of each true class were predicted.

    Each cell holds the count and its share of the row; the diagonal of shares is the recall of each class. Shares hide
    small rows, so the number of clips stands under each true class.

    Parameters
    ----------
    matrix : DataFrame
        Counts, index the true classes and columns the predicted ones, as ``medn.evaluate.confusion_matrix`` returns.
    width : int or None
        In pixels; chosen by the number of classes where None.

    Returns
    -------
    Figure

    Examples
    --------
    >>> matrix = pd.DataFrame([[8, 2], [1, 9]], index=["fear", "others"], columns=["fear", "others"])
    >>> plot_confusion_matrix(matrix).layout.title.subtitle.text
    '20 clips, 85.0% on the diagonal'
    """
    counts = matrix.to_numpy(dtype=float)
    left, cell = 20 + theme.room_for(true_names(matrix)), int(np.clip(520 / len(matrix.columns), 52, 84))
    figure, width = go.Figure(), width or max(300, left + cell * len(matrix.columns) + 20)
    draw_confusion(figure, matrix, cell=(width - left - 20) / len(matrix.columns))
    whole, subtitle = int(counts.sum()), counted(int(counts.sum()), "clip")
    if whole and list(matrix.index) == list(matrix.columns):
        subtitle += f", {np.trace(counts) / whole:.1%} on the diagonal"
    return theme.finish(
        figure, width=width, title="<b>Confusion matrix</b>", subtitle=subtitle, l=left,
        body=max(44, cell * 3 // 4) * len(matrix),
    )  # fmt: skip


def clip_scores(predictions: Predictions, clip_id: str) -> tuple[pd.Series, str | None]:
    """The probability of each class for one clip, and the class it was labelled with (None where there is no label)."""
    place = int(positions(predictions.table, clip_id, owner="these Predictions")[0])
    truth = predictions.table.iloc[place].get(label_column(predictions.table))
    shares = pd.Series(predictions.probabilities[place], index=list(predictions.classes))
    return shares, None if truth is None or pd.isna(truth) else str(truth)


def score_bars(predictions: Predictions, clip_id: str) -> dict[str, Any]:
    """The emotion scores of a clip as what `share_bars` draws, the labelled class outlined and named."""
    shares, label = clip_scores(predictions, clip_id)
    own, colours = [name == label for name in shares.index], [theme.emotion_colour(name) for name in shares.index]
    labels = [as_text(name) + " ◀ label" * (name == label) for name in shares.index]
    named = {"name": "Emotion scores", "labels": labels}
    return {"values": shares.to_numpy(), "colours": colours, "outlined": own, **named}


def au_bars(predictions: Predictions, clip_id: str, *, most: int | None = None) -> dict[str, Any]:
    """The AU scores of a clip as what `share_bars` draws, coded and highest ones first to stay; empty without any.

    A mark after the name: ◆ coded present, ◇ coded absent.
    """
    place = int(positions(predictions.table, clip_id, owner="these Predictions")[0])
    if predictions.au_probabilities is None or not len(predictions.aus):
        return {}
    coded = coded_aus(predictions.table.iloc[place], [str(au) for au in predictions.aus])
    table = pd.DataFrame({"label": [au + _CODED[there] for au, there in coded.items()]})
    table = table.assign(share=predictions.au_probabilities[place], there=[one is True for one in coded.values()])
    table = table.sort_values(["there", "share"], ascending=False).head(most or len(table)).sort_index()
    colours = [theme.BRANCH_COLOURS["motion"] if share >= 0.5 else ABSENT for share in table["share"]]
    named = {"name": "AU scores, ◆ coded", "labels": list(table["label"])}
    return {"values": table["share"].to_numpy(), "colours": colours, **named}


def plot_au_scores(predictions: Predictions, clip_id: str, *, width: int = 460) -> go.Figure:
    """Draw the AU scores of one clip: the motion branch's probability of each AU, and which AUs were coded.

    A filled diamond after its name marks an AU that was coded present, an open one an AU that was coded absent; an AU
    without a diamond was not coded either way. A bar is grey below one half, the usual threshold.

    Parameters
    ----------
    predictions : Predictions
    clip_id : str
    width : int
        In pixels.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the clip is not among the predictions, or the model has no AU scores.

    See Also
    --------
    plot_au_detection : the scores of all clips against the coded AUs.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a"], "AU12": [1.0], "AU4": [0.0]})
    >>> said = Predictions(np.zeros((1, 1)), table, ("x",), au_logits=np.array([[0.0, -9.0]]), aus=("AU12", "AU4"))
    >>> plot_au_scores(said, "a").data[0].x.round(2).tolist()
    [0.5, 0.0]
    """
    if not (drawn := au_bars(predictions, clip_id)):
        raise ValueError("these predictions hold no AU scores: the model has no motion branch or was made without AUs")
    title = f"<b>AU scores</b> · {as_text(clip_id)}"
    subtitle = "bar: the motion branch's probability (sigmoid) · ◆ coded, ◇ coded absent"
    return tiles([[drawn]], title=title, cell=width - 24, subtitle=subtitle)


def plot_answers(answers: LivePrediction, *, clips: Clips) -> go.Figure:
    """Draw a model's predictions of clips: emotion scores, also with each input alone, and AU scores.

    A row a clip. Dots: the whole model; other marks: the scores with a flow of zeros, those with frames that stand
    still, and what SynthME's table allows. Right: the motion branch's AU scores, with the AUs that are in the clip.

    Parameters
    ----------
    answers : LivePrediction
        Of a few clips, because each has a row.
    clips : Clips
        The clips of the predictions.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a clip is not among the clips.

    See Also
    --------
    medn_lab.evaluate.live_predictor : makes live predictions.
    medn_lab.widgets.FaceLab : the same with sliders and pictures.
    plot_clip, plot_kept_tokens : the pictures.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clip = medn.synthme.face_studio()({"aus": {"AU12": "C"}})
    >>> answers = medn.evaluate.live_predictor(medn.load_pretrained("medn_tiny.synthme_v2"))(clip)
    >>> figure = plot_answers(answers, clips=clip)
    >>> figure.layout.title.text
    '<b>Predictions</b> · medn_tiny.synthme_v2'
    """
    predictions, gate, names = answers.predictions, answers.features.gate, list(answers.predictions.table["clip_id"])
    tables = [score_table(answers, clips, name) for name in names]
    signs = zip("◇|○△", COMPARED.items(), pd.concat(tables)[[*COMPARED]].notna().any(), strict=True)
    marks = [f"{sign}\N{NO-BREAK SPACE}{text}" for sign, (_, text), there in signs if there]
    figure = tiles(
        [[None] * len(names), [au_bars(predictions, name) or Tile(None, note="no AU scores") for name in names]],
        title=f"<b>Predictions</b> · {as_text(predictions.source.get('name', 'a model'))}", cell=290, last=0.7,
        subtitle=" · ".join(["● whole model", *marks]) + "<br>",
    )  # fmt: skip
    for row, (name, table) in enumerate(zip(names, tables, strict=True), start=1):
        at: dict[str, Any] = {"row": row, "col": 1}
        given = table[["given_aus", "given_cue"]]
        lines, colours = zip(*((as_text(one), theme.emotion_colour(one)) for one in table.index), strict=True)
        table = table.assign(value=table["model"], reason=" ", **given.where(given > 0))
        forest(figure, table, labels=lines, colour=colours, name="whole model", references=COMPARED, **at)
        figure.update_yaxes(tickfont={"size": SMALLEST}, **at)
        figure.update_xaxes(range=[-0.02, 1.05], tickvals=[0, 0.5, 1], tickformat=".0%", **at)
        about = f"<b>{as_text(name)}</b> · {as_text(state_text(clips, name))}"
        heading(figure, about + ("" if gate is None else f" · gate {gate[row - 1].mean():.2f}"), **at)
        figure.layout.annotations[-1].update(x=0, xref="paper", yshift=20)
        indent(figure, 84, **at)
    return figure


def score_table(answers: LivePrediction, clips: Clips, clip_id: str) -> pd.DataFrame:
    """The emotion scores of a clip by the whole model and by each input alone, and what SynthME's table allows.

    Parameters
    ----------
    answers : LivePrediction
    clips : Clips
    clip_id : str

    Returns
    -------
    DataFrame
        Index the model's classes, then emotions of the table that it does not know; columns ``given_aus, given_cue,
        model, frames_alone, flow_alone`` in [0, 1], NaN where a value is not known.
    """
    columns, rows = dict.fromkeys(("given_aus", "given_cue"), np.nan), list(answers.predictions.classes)
    if clips.truth is not None:
        row = clips.truth.table.set_index("clip_id").loc[clip_id]
        emotions = [name.removeprefix("given_aus_") for name in row.index if name.startswith("given_aus_")]
        columns = {key: pd.Series({name: row[f"{key}_{name}"] for name in emotions}, dtype=float) for key in columns}
        rows += [name for name in emotions if name not in rows]
    parts = {"model": answers.predictions, "frames_alone": answers.frames_alone, "flow_alone": answers.flow_alone}
    columns |= {name: np.nan if part is None else clip_scores(part, clip_id)[0] for name, part in parts.items()}
    return pd.DataFrame(columns, index=rows, dtype=float)


def state_text(clips: Clips, clip_id: str) -> str:
    """A clip in a few words: AU set with intensities where they are known, and its cue; not escaped."""
    place, row = clip_row(clips, clip_id)
    aus, cue = au_set_texts(clips.table.iloc[[place]])[0], row.get("cue")
    if clips.truth is not None and "intensities" in clips.truth.table:
        given = str(clips.truth.table.set_index("clip_id").loc[clip_id, "intensities"])
        aus = "no AU" if given in ("none", "nan", "") else " + ".join(f"AU {part}" for part in given.split("+"))
    return aus if cue is None or pd.isna(cue) else f"{aus}, cue {cue}"
