"""Which Action Units a clip's canonical text names, as something that can be compared."""

from __future__ import annotations

import re

import pandas as pd

_TERM = re.compile(r"\s*(?:AU)?([LRTBlrtb]?)\s*(\d+)[A-Ea-e]?\s*")


def au_set(text: object, *, keep_side: bool = False) -> frozenset[str] | None:
    """The AU set of a canonical text such as ``1+2``.

    Parameters
    ----------
    text : str
        AUs joined by ``+``, as the column ``action_units`` of every table has them.
    keep_side : bool
        Whether ``L12`` is another AU than ``12``.

    Returns
    -------
    frozenset of str or None
        None where the AUs are unknown (``?``, an empty cell, or text that is not canonical); an empty set is never
        returned.

    Examples
    --------
    >>> sorted(au_set("2+1")), sorted(au_set("L12", keep_side=True)), au_set("?")
    (['1', '2'], ['L12'], None)
    """
    if not isinstance(text, str) or not text.strip():
        return None
    written = text.split("+")
    terms = [found for term in written if (found := _TERM.fullmatch(term)) is not None]
    if len(terms) < len(written):
        return None
    return frozenset((term[1].upper() if keep_side else "") + term[2] for term in terms)


def au_sets(table: pd.DataFrame, *, keep_side: bool = False) -> list[frozenset[str] | None]:
    """The AU set of every row; with `keep_side` a column ``side`` other than ``both`` marks the AUs too.

    Parameters
    ----------
    table : DataFrame
        With ``action_units``.
    keep_side : bool

    Returns
    -------
    list of frozenset or None

    Raises
    ------
    ValueError
        If there is no such column.
    """
    if "action_units" not in table:
        raise ValueError(f"the table has no column action_units; it has {', '.join(map(str, table.columns))}")
    sets = [au_set(text, keep_side=keep_side) for text in table["action_units"]]
    if keep_side and "side" in table:
        marks = table["side"].map({"left": "L", "right": "R"}).fillna("")
        sets = [
            s if s is None or not mark else frozenset(au if au[0].isalpha() else mark + au for au in s)
            for s, mark in zip(sets, marks, strict=True)
        ]
    return sets


def canonical(aus: frozenset[str]) -> str:
    """An AU set as text in the order of the AUs' numbers.

    Examples
    --------
    >>> canonical(frozenset({"12", "L4"}))
    'L4+12'
    """
    return "+".join(sorted(aus, key=lambda au: (int(re.sub(r"\D", "", au)), au)))
