"""Colouring of points on a map, and the sentences about a map."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medn_lab.records import Embedding, au_columns
from medn_lab.view import theme
from medn_lab.view.rows import AUS_IN_DOUBT, NO_AU, UNKNOWN_AUS, au_set_names, label_column, persons, rightness
from medn_lab.view.sheets import wrapped
from medn_lab.view.theme import as_text

UNKNOWN = "unknown"
_NOT_KNOWN = (UNKNOWN, UNKNOWN_AUS, AUS_IN_DOUBT)
REST = "other"
MOST_CATEGORIES = 12
"""Entries of a legend: with more categories the rarest share the last one, which is grey."""

_STEP_COLOURS = ("#3B4CA8", "#2F7FD0", "#2BA8A0", "#86B83E", "#E0B020")
_COLUMNS = {
    "subject": "subject", "dataset": "data set", "fold": "fold", "cue": "implicit cue",
    "gate": "gate (0 all emotion, 1 all motion)",
}  # fmt: skip
_EMOTION_KEYS = ("label", "emotion", "predicted")
_NAMES = ("subject", "dataset", "fold", "cue", "clip_id")
"""Columns whose values are names, also where they are written as numbers."""


@dataclass(frozen=True)
class Colouring:
    """Which category each clip is in, and how each category looks.

    Attributes
    ----------
    key, title : str
        What is coloured by, as asked for and as written in the legend. Where the rarest categories are folded into
        ``other``, the title says how many of how many have an entry.
    values : (n,) object array of str
    styles : mapping of str to (colour, marker symbol)
        In the order of the legend; every value is a key.
    own : (n,) object array of str, or None
        The category of each clip before the rarest were folded into ``other``; None where none was.
    """

    key: str
    title: str
    values: np.ndarray
    styles: Mapping[str, tuple[str, str]]
    own: np.ndarray | None = None

    @property
    def colours(self) -> np.ndarray:
        """The colour of each clip, (n,) of str."""
        return np.asarray([self.styles[value][0] for value in self.values], dtype=object)

    @property
    def symbols(self) -> np.ndarray:
        """The marker of each clip, (n,) of str."""
        return np.asarray([self.styles[value][1] for value in self.values], dtype=object)

    @property
    def counts(self) -> dict[str, int]:
        """How many clips each category has, in the order of the legend."""
        return {name: int((self.values == name).sum()) for name in self.styles}

    def named(self, texts: np.ndarray) -> np.ndarray:
        """Hover texts (n,), where categories were folded each with the clip's own, unless a line names it already."""
        if self.own is None:
            return texts
        title = as_text(self.title.rpartition(", ")[0])
        named = []
        for text, own in zip(texts, map(as_text, self.own), strict=True):
            there = any(f" {line}".endswith(f" {own}") for line in text.split("<br>"))
            named.append(text if there else f"{text}<br>{title} {own}")
        return np.asarray(named, dtype=object)


def colour_choices(table: pd.DataFrame) -> dict[str, str]:
    """What the clips of this table can be coloured by: key to title.

    Examples
    --------
    >>> list(colour_choices(pd.DataFrame(columns=["clip_id", "subject", "label", "AU4"])))
    ['label', 'subject', 'au_set', 'AU4']
    """
    choices = {}
    label = label_column(table)
    if label:
        choices[label] = "emotion"
    if "predicted" in table.columns:
        choices["predicted"] = "predicted emotion"
        if label:
            choices["correctness"] = "right or wrong"
    for name, title in _COLUMNS.items():
        if name in table.columns and (name != "dataset" or len(table[name].unique()) > 1):
            choices[name] = title
    names = au_columns(table)
    if names or "action_units" in table.columns:
        choices["au_set"] = "AU set"
    return choices | {name: name for name in names}


def colouring(table: pd.DataFrame, by: str = "label") -> Colouring:
    """Colour the clips of a table.

    Parameters
    ----------
    table : DataFrame
    by : str
        A key of :func:`colour_choices`, or any column. ``label`` falls back on ``emotion``; a numeric column with many
        values is cut at its quintiles. Of more than 12 categories the 11 most frequent are named, the others share the
        entry ``other``.

    Returns
    -------
    Colouring

    Raises
    ------
    ValueError
        If the table has nothing of that name.

    Examples
    --------
    >>> colouring(pd.DataFrame({"clip_id": ["a", "b"], "AU4": [1, 0]}), "AU4").values.tolist()
    ['AU4', 'no AU4']
    """
    if by in _EMOTION_KEYS:
        column = label_column(table) if by == "label" else by
        if column in table.columns:
            title = "predicted emotion" if by == "predicted" else "emotion"
            return _by_category(by, title, table[column], _emotion_style)
    if by == "correctness" and "predicted" in table.columns and label_column(table):
        return _by_correctness(table)
    if by == "au_set":
        return _by_au_set(table)
    if by in au_columns(table):
        return _by_au(table, by)
    if by in table.columns:
        values = persons(table) if by == "subject" else table[by]
        if by not in _NAMES and _is_number(values) and values.nunique() > MOST_CATEGORIES:
            return _by_step(by, _COLUMNS.get(by, by), values)
        return _by_category(by, _COLUMNS.get(by, by), values, None)
    raise ValueError(f"cannot colour by {by!r}; there are {', '.join(colour_choices(table)) or 'no columns for it'}")


def _emotion_style(name: str) -> tuple[str, str]:
    return theme.emotion_colour(name), theme.emotion_symbol(name)


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _as_text(values: pd.Series) -> np.ndarray:
    missing = values.isna().to_numpy()
    text = values.astype(object).astype(str).to_numpy(dtype=object)
    return np.where(missing | (text == ""), UNKNOWN, text).astype(object)


def _by_category(key: str, title: str, values: pd.Series, style: Callable[[str], tuple[str, str]] | None) -> Colouring:
    text = _as_text(values)
    names = _most_frequent(text)
    if style is not None:  # emotions: the most frequent first, so that the legend reads as the data do
        styles = {name: style(name) for name in names}
    else:
        styles = {name: theme.category_style(place) for place, name in enumerate(sorted(names))}
    return _folded(key, title, text, styles)


def _most_frequent(text: np.ndarray) -> list[str]:
    """The categories, the most frequent first; some of them where there are more than a legend names."""
    counts = pd.Series(text).value_counts(sort=False).drop(list(_NOT_KNOWN), errors="ignore")
    names = sorted(counts.index, key=lambda name: -counts[name])  # of two alike the one that comes first in the table
    return names if len(names) <= MOST_CATEGORIES else names[: MOST_CATEGORIES - 1]


def _folded(key: str, title: str, own: np.ndarray, styles: dict[str, tuple[str, str]]) -> Colouring:
    """A colouring in which what has no style and is not unknown shares one grey entry."""
    rest = REST if REST not in styles else f"all {REST}"
    text = np.where(np.isin(own, [*styles, *_NOT_KNOWN]), own, rest).astype(object)
    folded = set(own[text == rest])
    if folded:
        title = f"{title}, {len(styles)} of {len(styles) + len(folded)} named"
    return Colouring(key, title, text, _with_rest(styles, text, rest), own if folded else None)


def _with_rest(styles: dict[str, tuple[str, str]], text: np.ndarray, *rest: str) -> dict[str, tuple[str, str]]:
    """The styles with a grey entry for each of the rest and the unknown that is there."""
    present = set(text)
    for name in (*rest, *_NOT_KNOWN):
        if name in present:
            styles[name] = (theme.GREY, "circle-open")
    return styles


def _by_correctness(table: pd.DataFrame) -> Colouring:
    known, right = rightness(table)
    values = np.where(~known, UNKNOWN, np.where(right, "right", "wrong")).astype(object)
    styles = {"right": ("#2F7FD0", "circle"), "wrong": ("#E8590C", "x")}
    return Colouring("correctness", "prediction", values, _with_rest(styles, values))


def _by_au(table: pd.DataFrame, name: str) -> Colouring:
    there = table[name].to_numpy(dtype=float)
    values = np.where(np.isnan(there), UNKNOWN, np.where(there == 1, name, f"no {name}")).astype(object)
    styles = {name: ("#E8590C", "circle"), f"no {name}": ("#6F93B8", "circle-open")}
    return Colouring(name, name, values, _with_rest(styles, values))


def _by_au_set(table: pd.DataFrame) -> Colouring:
    sets = au_set_names(table)
    styles = {name: theme.category_style(place) for place, name in enumerate(_most_frequent(sets))}
    if NO_AU in styles:
        styles[NO_AU] = (theme.GREY, "circle")
    return _folded("au_set", "AU set", sets, styles)


def _by_step(key: str, title: str, values: pd.Series) -> Colouring:
    cuts = np.unique(np.nanquantile(values, np.linspace(0, 1, len(_STEP_COLOURS) + 1)))
    names = [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(cuts)]
    place = np.clip(np.searchsorted(cuts, values, side="right") - 1, 0, len(names) - 1)
    text = np.asarray([UNKNOWN if np.isnan(v) else names[p] for v, p in zip(values, place, strict=True)], dtype=object)
    styles = {name: (_STEP_COLOURS[i], "circle") for i, name in enumerate(names)}
    return Colouring(key, title, text, _with_rest(styles, text))


CAUTION = "Neighbours mean something here; distances between clusters, and their sizes, do not."
FEW = 15
"""Below this many clips a map is said to be of few."""

_ROOMY = 900  # pixels in which two sentences find room beside each other
_SAID_ELSEWHERE = (
    "n_neighbors_asked", "n_clips", "drawn_from", "quality_neighbors", "quality_chance", "variance", "aligned_to",
    "shift", "reason",
)  # fmt: skip
"""Parameters that are told in words of their own, not as name and value."""


def params_line(embedding: Embedding) -> str:
    """How the maps were made, as one line: method, parameters, seed, and where the clips were too few for them."""
    names = {"n_neighbors": "neighbours", "min_dist": "min. distance"}
    params = dict(embedding.params)
    made_of = params.get("n_clips", len(embedding))
    method = str(params.pop("method", "map")).replace("_", " ").upper()
    said = []
    for name, value in params.items():
        if name not in _SAID_ELSEWHERE:
            said.append(f"{names.get(name, name.replace('_', ' '))} {value}")
        if name == "n_neighbors" and "n_neighbors_asked" in params:
            few = f": {made_of} clips are few for a map" if made_of < FEW else ""
            said[-1] += f" (lowered from {params['n_neighbors_asked']}{few})"
    clips = f"{made_of} clips" if made_of == len(embedding) else f"{len(embedding)} of {made_of} clips"
    if "drawn_from" in params:
        clips += f" drawn from {params['drawn_from']}"
    aligned = f" · aligned to {params['aligned_to']}" if "aligned_to" in params else ""
    return f"{method} · {', '.join(said) or 'parameters not recorded'} · {clips}{aligned}"


def made_lines(embedding: Embedding, *, width: int) -> list[str]:
    """:func:`params_line`, escaped, as many lines as the width needs."""
    return wrapped(params_line(embedding), width - 40, 6.3)


def reading_lines(embedding: Embedding, *, width: int) -> list[str]:
    """How to read the figures above the maps, and what not to read from the maps: as many lines as the width needs."""
    params = embedding.params
    caution = wrapped(CAUTION, width - 40, 6.3)
    if "quality_neighbors" not in params:
        return caution
    quality = (
        f"Quality over {params['quality_neighbors']} neighbours: 1 is best, a random map has"
        f" {params['quality_chance']:.2f}."
    )
    return [f"{quality} {CAUTION}"] if width >= _ROOMY else [*wrapped(quality, width - 40, 6.3), *caution]


def map_title(embedding: Embedding, name: str, *, full: bool = False) -> str:
    """The heading of one map, in the branch's colour, with its trustworthiness; with all its figures where `full`.

    The share of variance stands beside the name: beside the other figures it would run into the next map.
    """
    constant = np.isnan(embedding.trustworthiness.get(name, 0.0))
    figures = ["constant" if constant else f"trustworthiness {_figure(embedding.trustworthiness, name)}"]
    heading = f"<b style='color:{map_colour(name)}'>{as_text(_full_name(name))}</b>"
    if full and not constant:
        figures.append(f"continuity {_figure(embedding.continuity, name)}")
        if embedding.params.get("shift", {}).get(name):
            figures.append(f"shift {embedding.params['shift'][name]:.2f}")
        if name in embedding.params.get("variance", {}):
            heading += f"  <span style='font-size:11px'>{embedding.params['variance'][name]:.0%} of the variance</span>"
    between = "<br>" if full else "  "
    return f"{heading}{between}<span style='font-size:11px'>{' · '.join(figures)}</span>"


def map_colour(name: str) -> str:
    """The colour of a branch's map; maps of other layers are framed in ink."""
    return theme.branch_colour(name) if name in theme.BRANCHES else theme.INK


def _full_name(name: str) -> str:
    return f"{name} branch" if name in ("motion", "emotion") else name


def _figure(values: Mapping[str, float], name: str) -> str:
    value = values.get(name)
    return "not measured" if value is None else f"{value:.3f}"
