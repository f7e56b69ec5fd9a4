"""What a table says of a clip, as words: its AU set, its emotion, its line of description."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medn_lab.records import au_columns
from medn_lab.view.markup import as_text

NO_AU = "no AU"
UNKNOWN_AUS = "AUs unknown"


def _is_missing(value: object) -> bool:
    return value is None or (np.isscalar(value) and pd.isna(value)) or str(value).strip() in ("", "nan", "?")


def label_column(table: pd.DataFrame) -> str | None:
    """The column that holds the emotion in use: ``label`` where a protocol was chosen, else ``emotion``, else None."""
    return next((name for name in ("label", "emotion") if name in table.columns), None)


def au_sets(table: pd.DataFrame) -> np.ndarray:
    """The AU set of each clip as text: ``AU1+AU2``, ``no AU``, or ``AUs unknown``.

    The AU columns decide where they are coded; the text of ``action_units`` stands in where they are not. Sides and
    intensities are not part of an AU set made from the columns.

    Parameters
    ----------
    table : DataFrame
        With AU columns (1/0/NaN), ``action_units``, or neither.

    Returns
    -------
    (n,) object array of str

    Examples
    --------
    >>> au_sets(pd.DataFrame({"clip_id": ["a", "b"], "AU4": [1, 0], "AU12": [1, 0]})).tolist()
    ['AU4+AU12', 'no AU']
    """
    names = au_columns(table)
    values = table[names].to_numpy(dtype=float) if names else np.full((len(table), 0), np.nan)
    texts = table["action_units"] if "action_units" in table.columns else [None] * len(table)
    sets = []
    for row, text in zip(values, texts, strict=True):
        if row.size and not np.isnan(row).all():
            sets.append("+".join(name for name, there in zip(names, row, strict=True) if there == 1) or NO_AU)
        else:
            sets.append(UNKNOWN_AUS if _is_missing(text) else str(text).strip())
    return np.asarray(sets, dtype=object)


def rightness(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Of each clip whether its prediction can be judged, and whether it is right: two (n,) arrays of bool.

    It cannot be judged where label or prediction is missing, or where the label is none of the classes that were to be
    told apart (``table.attrs["classes"]``, where they are noted).

    Examples
    --------
    >>> table = pd.DataFrame({"label": ["fear", "others", None], "predicted": ["fear", "fear", "fear"]})
    >>> [one.tolist() for one in rightness(table)]
    [[True, True, False], [True, False, False]]
    """
    column = label_column(table)
    if column is None or "predicted" not in table.columns:
        return np.zeros(len(table), dtype=bool), np.zeros(len(table), dtype=bool)
    label, said = table[column].astype(object), table["predicted"].astype(object)
    known = (label.notna() & said.notna()).to_numpy()
    if "classes" in table.attrs:
        known = known & label.isin(table.attrs["classes"]).to_numpy()
    return known, known & (label == said).to_numpy()


def coded_aus(row: pd.Series, names: list[str]) -> dict[str, bool | None]:
    """Whether each AU of `names` was coded in this clip; None where that is unknown."""
    coded: dict[str, bool | None] = {}
    for name in names:
        value = row.get(name)
        coded[name] = None if _is_missing(value) else bool(float(value) == 1)
    return coded


def text_of(row: pd.Series, column: str, *, missing: str = "") -> str:
    """One cell as escaped text, `missing` where the column or its value is not there."""
    value = row.get(column)
    return missing if _is_missing(value) else as_text(value)


def describe(row: pd.Series) -> str:
    """One escaped line on a clip: subject, emotion and AU set, as far as the table has them."""
    label = label_column(row.to_frame().T)
    parts = [text_of(row, "clip_id")]
    if text_of(row, "subject"):
        parts.append(f"subject {text_of(row, 'subject')}")
    if label and text_of(row, label):
        parts.append(text_of(row, label))
    parts.append(as_text(au_sets(row.to_frame().T)[0]))
    return " · ".join(parts)


def hover_texts(table: pd.DataFrame, *, predicted: np.ndarray | None = None) -> np.ndarray:
    """What the pointer shows over each clip on a map: id, AU set, emotion, prediction, subject; escaped.

    Parameters
    ----------
    table : DataFrame
    predicted : (n,) of str or None
        The predicted class of each row.

    Returns
    -------
    (n,) object array of str, lines divided by ``<br>``.
    """
    label = label_column(table)
    sets = au_sets(table)
    texts = []
    for place, row in enumerate(table.to_dict("records")):
        lines = [f"<b>{as_text(row['clip_id'])}</b>", as_text(sets[place])]
        if label and not _is_missing(row[label]):
            lines.append(as_text(row[label]))
        if predicted is not None and not _is_missing(predicted[place]):
            lines.append(f"predicted {as_text(predicted[place])}")
        if not _is_missing(row.get("subject")):
            lines.append(f"subject {as_text(row['subject'])}")
        texts.append("<br>".join(lines))
    return np.asarray(texts, dtype=object)


def persons(table: pd.DataFrame) -> pd.Series:
    """The subject of each clip, as ``dataset/subject`` where there are several data sets; missing where unknown."""
    subjects = table["subject"]
    if "dataset" not in table or table["dataset"].nunique() < 2:
        return subjects
    return (table["dataset"].astype(str) + "/" + subjects.astype(str)).where(subjects.notna())
