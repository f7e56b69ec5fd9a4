"""What a coder's text means: the AU set of a clip, and the columns of a table that hold it.

Two clips have the *same AU set* where :func:`au_sets` gives them equal sets; the whole library uses this rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import pandas as pd

from medn_lab.records import action_unit_grammar as grammar
from medn_lab.records.table import au_columns, au_values, normalise_text, one_of

SideRule = Literal["drop", "keep"]
AlternativeRule = Literal["leave_out", "first", "all", "common"]

CODING_COLUMNS = tuple(f"action_units{end}" for end in ("", "_coded", "_sided", "_intensity", "_doubt"))
"""The columns of :func:`au_codings`, all text."""

# Where a set with sides stands, the best first.
SIDED = ("action_units_sided", "action_units_coded", "action_units")
_SIDE_MARKS = {"left": "L", "l": "L", "right": "R", "r": "R"}


@dataclass(frozen=True)
class ActionUnits:
    """What a coder wrote, and the AU set that it means under a rule.

    Attributes
    ----------
    text : str
        As it was found.
    parsed : Unit, Group or None
        The expression read from it; its ``str`` is the text in one notation.
    units : tuple of str
        The AU set under the chosen rule, by number: ``("1", "2")``, or ``("L1", "R2")`` with sides kept.
    disputed : tuple of int
        AUs about which the text leaves a doubt: alternatives, references, question marks; with sides kept, also those
        whose side is in doubt. Neither present nor absent.
    junk : tuple of str
        What was no AU.
    known : bool
        False where nothing was coded (empty, ``?``, junk alone).
    complete : bool
        False where an AU that is not named may be there as well (``12+?``, ``4and7``).
    mentions : tuple of Unit
        Every AU that was written, in its order, with side, intensity and lip part.
    expression : str
        The whole text without intensities, asymmetry and lip parts: ``12 or 14``, ``4+ref(7)``, ``12+?``, where ``+?``
        stands for AUs that may be there as well; ``""`` where nothing is known.

    Examples
    --------
    >>> read = parse_action_units("R2+12")
    >>> read.units, read.certain, str(read.parsed)
    (('2', '12'), True, 'R2+12')
    """

    text: str
    parsed: grammar.Expression | None
    units: tuple[str, ...]
    disputed: tuple[int, ...]
    junk: tuple[str, ...]
    known: bool
    complete: bool
    mentions: tuple[grammar.Unit, ...]
    expression: str

    def __str__(self) -> str:
        return "+".join(self.units)

    @property
    def certain(self) -> bool:
        """Whether the AU set is known and complete, and no AU of it is disputed."""
        return self.known and self.complete and not self.disputed

    @property
    def numbers(self) -> tuple[int, ...]:
        """The AU set without sides, rising."""
        return tuple(sorted({int(unit.lstrip("LR")) for unit in self.units}))


def parse_action_units(
    text: object, *, side: SideRule = "drop", alternatives: AlternativeRule = "first"
) -> ActionUnits:
    """The AU set that a coder's text means.

    Asymmetry, intensity and lip part are read (see ``mentions``) but never part of the set. References (``ref(24)``)
    and codes above 46 (positions of head and eyes) are read and left out of the set.

    Parameters
    ----------
    text : str or a missing value
        One cell of a spreadsheet.
    side : {"drop", "keep"}
        Whether ``L4`` becomes ``4`` or stays ``L4``. Keeping sides makes fewer pairs of clips share an AU set.
    alternatives : {"leave_out", "first", "all", "common"}
        What ``12 or 14`` becomes: the coder's first choice, every one (more than the coder wrote), or what all
        readings share, without AUs in question. In each case the AUs in doubt are listed in ``disputed``.
        ``leave_out`` is ``first``; readers of a data set leave such clips out of pairs and AU columns.

    Returns
    -------
    ActionUnits
        ``str`` of it is the canonical text of the set, such as ``"1+2"``; ``certain`` is whether there is no doubt
        about it. Any text at all gives a result; what cannot be read is in ``junk``.

    Raises
    ------
    ValueError
        If `side` or `alternatives` is no rule.

    See Also
    --------
    au_table : the AU columns of a table.

    Examples
    --------
    >>> str(parse_action_units("R2 + L1"))
    '1+2'
    >>> str(parse_action_units("R2 + L1", side="keep"))
    'L1+R2'
    >>> read = parse_action_units("(R6B or A12C) + R15")
    >>> read.units, read.disputed, read.certain, read.expression
    (('6', '15'), (6, 12), False, '(6 or 12)+15')
    >>> parse_action_units("R14+17+soft focus").junk
    ('soft', 'focus')
    >>> parse_action_units("?").known
    False
    """
    one_of(side, get_args(SideRule), "side")
    one_of(alternatives, get_args(AlternativeRule), "alternatives")
    return _read("" if pd.api.types.is_scalar(text) and pd.isna(text) else str(text), side == "keep", alternatives)


@lru_cache(maxsize=4096)
def _read(cell: str, keep_side: bool, alternatives: AlternativeRule) -> ActionUnits:
    # Blanks in a column make pandas read 4 as 4.0.
    parsed, junk, complete = grammar.read_expression(re.sub(r"\b(\d{1,2})\.0+(?!\d)", r"\1", cell))
    plain = None if parsed is None else grammar.bare(parsed, keep_side=keep_side)
    mentions = tuple(grammar.units_of(parsed))
    nothing_moved = complete and bool(mentions) and all(unit.number == 0 and not unit.doubtful for unit in mentions)
    moving = [unit for unit in grammar.units_of(plain) if unit.number in grammar.MUSCLE_AUS]
    certain = grammar.chosen_units(plain, "common")
    side_in_doubt = keep_side and any(map(grammar.SIDE_APART.fullmatch, junk))  # a side is there, not clear of which AU
    disputed = {unit.number for unit in moving if side_in_doubt or (unit.number, unit.side) not in certain}
    units = tuple(f"{where}{number}" for number, where in sorted(grammar.chosen_units(plain, alternatives)))
    known = bool(moving) or nothing_moved
    expression = str(plain) if known else ""
    if known and not complete:
        expression = f"({expression})+?" if " or " in expression else f"{expression}+?"
    return ActionUnits(cell, parsed, units, tuple(sorted(disputed)), junk, known, complete, mentions, expression)


def au_table(
    texts: Iterable[object], *, aus: Iterable[int] | None = None, alternatives: AlternativeRule = "leave_out"
) -> pd.DataFrame:
    """AU columns: 1 where an AU is there, 0 where it is not, NaN where that is not known.

    Parameters
    ----------
    texts : iterable
        One coder's text a clip.
    aus : iterable of int, optional
        Which AUs get a column. By default every one that is present in some clip.
    alternatives : {"leave_out", "first", "all", "common"}
        ``leave_out``: a row whose AU set is disputed or incomplete is NaN throughout. The others are those of
        :func:`parse_action_units`: a disputed AU outside the chosen set is NaN, neither present nor absent.

    Returns
    -------
    DataFrame
        One row a text, columns ``AU1 ...`` rising, float64.

    Raises
    ------
    ValueError
        If `alternatives` is no rule.

    Examples
    --------
    >>> au_table(["1+R2", "12 or 1", "?"])
       AU1  AU2
    0  1.0  1.0
    1  NaN  NaN
    2  NaN  NaN
    >>> au_table(["1+R2", "12 or 1"], alternatives="first")
       AU1  AU2  AU12
    0  1.0  1.0   0.0
    1  NaN  0.0   1.0
    """
    every = [parse_action_units(text, alternatives=alternatives) for text in texts]
    read = [one if one.known and (one.certain or alternatives != "leave_out") else None for one in every]
    numbers = sorted({n for one in read if one for n in one.numbers} if aus is None else {int(au) for au in aus})
    values = np.full((len(read), len(numbers)), np.nan)
    for row, one in enumerate(read):
        if one and one.complete:
            values[row] = np.where(np.isin(numbers, one.disputed), np.nan, 0)
        if one:
            values[row, np.isin(numbers, one.numbers)] = 1
    return pd.DataFrame(values, columns=[f"AU{number}" for number in numbers])


def au_codings(texts: Iterable[object], *, alternatives: AlternativeRule = "leave_out") -> pd.DataFrame:
    """What coders wrote, as the text columns of a reader's table.

    Parameters
    ----------
    texts : iterable
        One coder's text a clip.
    alternatives : {"leave_out", "first", "all", "common"}
        What a disputed or incomplete set becomes in ``action_units`` and ``action_units_sided``: an expression that is
        no plain set, so that the clip is in no pair, or the set by this rule of :func:`parse_action_units`.

    Returns
    -------
    DataFrame
        One row a text. ``action_units``: the set without sides, ``"0"`` where no AU is coded to be there, ``""`` where
        nothing is known. ``action_units_coded``: the text as found. ``action_units_sided``: the set with sides.
        ``action_units_intensity``: the AUs that have one, such as ``"12B"``. ``action_units_doubt``: what is in doubt,
        ``""`` where nothing is.

    Raises
    ------
    ValueError
        If `alternatives` is no rule.

    Examples
    --------
    >>> coded = au_codings(["L12C", "12 or 14"])
    >>> coded[["action_units", "action_units_sided", "action_units_intensity", "action_units_doubt"]]
      action_units action_units_sided action_units_intensity    action_units_doubt
    0           12                L12                    12C
    1     12 or 14           12 or 14                         12 and 14 disputed
    """
    rows = []
    for text in texts:
        plain = parse_action_units(text, alternatives=alternatives)
        sided = parse_action_units(text, side="keep", alternatives=alternatives)
        graded = [str(replace(one, side="", part="", asymmetric=False)) for one in plain.mentions if one.intensity]
        of_aus, of_sides = plain.disputed, sorted({*sided.disputed} - {*plain.disputed})
        doubts = [f"{' and '.join(map(str, of_aus))} disputed"] if of_aus else []
        doubts += [] if plain.complete else ["there may be more"]
        doubts += [f"side of {' and '.join(map(str, of_sides))} disputed"] if of_sides else []
        sets = []  # as a table has them; where one is left out, an expression that is no plain set
        for keep_side, read in ((False, plain), (True, sided)):
            if alternatives != "leave_out" or read.certain or not read.known:
                sets.append(str(read) or ("0" if read.certain else ""))
            else:  # a side that stands apart is no part of the expression: "4 left"
                sets.append(read.text if _read(read.expression, keep_side, "first").certain else read.expression)
        intensity, doubt = "+".join(dict.fromkeys(graded)), "; ".join(doubts) if plain.known else "unknown"
        rows.append((sets[0], plain.text, sets[1], intensity, doubt))
    return pd.DataFrame(rows, columns=list(CODING_COLUMNS), dtype=object)


def au_sets(table: pd.DataFrame, *, keep_side: bool = False) -> list[frozenset[str] | None]:
    """The AU set of every clip; clips with equal sets have the *same AU set*.

    Intensity, asymmetry and lip part are no part of it: ``12A`` and ``12C`` are one set. A coded ``0`` is the empty
    set: it is known that no AU is there. Two such clips have the same set, and share no AU, so they make no pair.

    Parameters
    ----------
    table : DataFrame
        With ``action_units``, read by the grammar of :func:`parse_action_units`, so that ``1+2``, ``L12`` and ``4，7``
        are read. Where that cell is empty or missing, ``action_units_coded`` is read; where both are, the set is that
        of the AU columns, if none of them is NaN.
    keep_side : bool
        Whether ``L12`` is another AU than ``12``. The set is then that of ``action_units_sided``; where that is empty
        or missing, of ``action_units_coded``, then ``action_units``. A column ``side`` with ``left`` or ``right``
        marks the AUs too.

    Returns
    -------
    list of frozenset or None
        One a row. None where the AUs are unknown, disputed (``12 or 14``, ``4?``, ``ref(7)``) or incomplete (``4+?``);
        :func:`au_doubt` gives the text of the latter.

    Raises
    ------
    ValueError
        If the table has neither a column of AU texts nor AU columns, or these hold anything but 1, 0 and NaN.

    Examples
    --------
    >>> sets = au_sets(pd.DataFrame({"action_units": ["2+L1", "12 or 14", "0", "?"]}))
    >>> [None if one is None else sorted(one) for one in sets]
    [['1', '2'], None, [], None]
    """
    texts = _texts(table, SIDED if keep_side else SIDED[:0:-1])
    read = (_read(text, keep_side, "first") for text in texts)
    sets = [frozenset(one.units) if one.certain else None for one in read]
    aus = au_columns(table)
    if aus:
        values = np.column_stack([au_values(table[au]) for au in aus])
        blank, unknown = texts == "", np.isnan(values)
        strange = values[blank[:, None] & ~unknown & (values != 0) & (values != 1)]
        if len(strange):
            raise ValueError(f"the AU columns hold {strange[0]:g}; they hold 1 (there), 0 (not there) or NaN")
        numbers = np.array([str(int(au[2:])) for au in aus])
        for row in np.flatnonzero(blank & ~unknown.any(axis=1)).tolist():
            sets[row] = frozenset(numbers[values[row] == 1].tolist())
    if keep_side and "side" in table:
        marks = [_SIDE_MARKS.get(normalise_text(side).lower(), "") for side in table["side"]]
        for place, (aus_there, mark) in enumerate(zip(sets, marks, strict=True)):
            if aus_there and mark:
                sets[place] = frozenset(au if au[0].isalpha() else mark + au for au in aus_there)
    return sets


def au_doubt(table: pd.DataFrame, *, keep_side: bool = False) -> np.ndarray:
    """What the coder wrote, where the AU set is disputed or incomplete; ``""`` where it is certain or unknown.

    Parameters
    ----------
    table : DataFrame
        As in :func:`au_sets`.
    keep_side : bool
        As in :func:`au_sets`; then a doubt about a side counts as well.

    Returns
    -------
    (n,) object array of str

    Raises
    ------
    ValueError
        If the table has neither a column of AU texts nor AU columns.

    Examples
    --------
    >>> au_doubt(pd.DataFrame({"action_units": ["12", "R12 or L14", "4+?", "?"]})).tolist()
    ['', '12 or 14', '4+?', '']
    """
    texts = _texts(table, SIDED if keep_side else SIDED[:0:-1])
    sets = zip(texts, au_sets(table, keep_side=keep_side), strict=True)
    doubts = ["" if aus is not None else _read(text, keep_side, "first").expression for text, aus in sets]
    return np.array(doubts, dtype=object)


def au_set_text(aus: frozenset[str]) -> str:
    """An AU set as text in the order of the AUs' numbers, ``"0"`` for the empty one.

    Parameters
    ----------
    aus : frozenset of str

    Returns
    -------
    str

    Examples
    --------
    >>> au_set_text(frozenset({"12", "L4"})), au_set_text(frozenset())
    ('L4+12', '0')
    """
    return "+".join(sorted(aus, key=lambda au: (int(re.sub(r"\D", "", au)), au))) or "0"


def _texts(table: pd.DataFrame, names: Iterable[str]) -> np.ndarray:
    """Of each row the first of these columns that is not blank, as text; ``""`` where all are."""
    names = [name for name in names if name in table]
    if not names and not au_columns(table):
        raise ValueError(f"the table has no column action_units; it has {', '.join(map(str, table.columns))}")
    found = np.full(len(table), "", dtype=object)
    for name in names:
        cells = ["" if gone else str(cell) for cell, gone in zip(table[name], table[name].isna(), strict=True)]
        shown = {text for text in set(cells) if normalise_text(text)}
        found = np.where(found == "", [text if text in shown else "" for text in cells], found)
    return found.astype(object)
