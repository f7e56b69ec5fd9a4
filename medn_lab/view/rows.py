"""What a table says of a clip, as words: its AU set, its emotion, its line of description."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medn_lab.records import au_columns, au_doubt, au_set_text, au_sets
from medn_lab.view.markup import as_text

NO_AU = "no AU"
UNKNOWN_AUS = "AUs unknown"
AUS_IN_DOUBT = "AUs in doubt"


def _is_missing(value: object) -> bool:
    return value is None or (np.isscalar(value) and pd.isna(value)) or str(value).strip() in ("", "nan", "?")


def label_column(table: pd.DataFrame) -> str | None:
    """The column that holds the emotion in use: ``label`` where a protocol was chosen, else ``emotion``, else None."""
    return next((name for name in ("label", "emotion") if name in table.columns), None)


def au_set_names(table: pd.DataFrame) -> np.ndarray:
    """The AU set of each clip as text to group by: ``AU1+AU2``, ``no AU``, ``AUs unknown`` or ``AUs in doubt``.

    The sets are those of :func:`medn_lab.records.au_sets`, without sides and intensities.

    Parameters
    ----------
    table : DataFrame
        With AU columns (1/0/NaN), ``action_units``, or neither.

    Returns
    -------
    (n,) object array of str

    Examples
    --------
    >>> au_set_names(pd.DataFrame({"clip_id": ["a", "b", "c"], "action_units": ["12+4", "0", "4?"]})).tolist()
    ['AU4+AU12', 'no AU', 'AUs in doubt']
    """
    if "action_units" not in table and not au_columns(table):
        return np.full(len(table), UNKNOWN_AUS, dtype=object)
    doubt = au_doubt(table)
    names = [
        AUS_IN_DOUBT if said else UNKNOWN_AUS if aus is None else _set_name(aus)
        for aus, said in zip(au_sets(table), doubt, strict=True)
    ]
    return np.asarray(names, dtype=object)


def au_set_texts(table: pd.DataFrame) -> np.ndarray:
    """The AU set of each clip as text to show: as :func:`au_set_names`, with the coder's text where it is in doubt.

    Examples
    --------
    >>> au_set_texts(pd.DataFrame({"clip_id": ["a", "b"], "action_units": ["12", "12 or 14"]})).tolist()
    ['AU12', 'AUs in doubt: 12 or 14']
    """
    names = au_set_names(table)
    doubtful = names == AUS_IN_DOUBT
    if doubtful.any():
        names[doubtful] = [f"{AUS_IN_DOUBT}: {said}" for said in au_doubt(table)[doubtful]]
    return names


def _set_name(aus: frozenset[str]) -> str:
    return "+".join(f"AU{au}" for au in au_set_text(aus).split("+")) if aus else NO_AU


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
    parts.append(as_text(au_set_texts(row.to_frame().T)[0]))
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
    sets = au_set_texts(table)
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
