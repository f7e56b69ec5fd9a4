"""The AU set that a coder's text means under a stated rule, and the AU columns of a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from medn_lab.data.action_unit_grammar import Both, Expression, Unit, read_expression

SideRule = Literal["drop", "keep"]
AlternativeRule = Literal["first", "all", "common"]

LARGEST_MUSCLE_AU = 46
"""Codes above this describe how head and eyes are turned (61: eyes left); they are said, but move no skin."""


_AS_FLOAT = re.compile(r"\b(\d{1,2})\.0+(?!\d)")


@dataclass(frozen=True)
class ActionUnits:
    """What a coder wrote, and the AU set that it means under a rule.

    Attributes
    ----------
    text : str
        As it was found.
    said : Unit, Both, Either or None
        What was read from it; its ``str`` is the same in one notation.
    units : tuple of str
        The AU set under the rule asked for, by number: ``("1", "2")``, or ``("L1", "R2")`` with sides kept.
    disputed : tuple of int
        AUs about which the text leaves a doubt: alternatives, references, question marks. Neither present nor absent.
    junk : tuple of str
        What was no AU.
    known : bool
        False where nothing was coded (empty, ``?``, junk alone).
    complete : bool
        False where an AU that is not named may be there as well (``12+?``, ``4and7``).

    Examples
    --------
    >>> read = parse_action_units("R2+12")
    >>> read.units, read.known, str(read.said)
    (('2', '12'), True, 'R2+12')
    """

    text: str
    said: Expression | None
    units: tuple[str, ...]
    disputed: tuple[int, ...]
    junk: tuple[str, ...]
    known: bool
    complete: bool

    def __str__(self) -> str:
        return "+".join(self.units)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The AU set without sides, rising."""
        return tuple(sorted({int(unit.lstrip("LR")) for unit in self.units}))

    def mentions(self) -> tuple[Unit, ...]:
        """Every AU that was written, in its order."""
        return tuple(_mentions(self.said))


def parse_action_units(
    text: object, *, side: SideRule = "drop", alternatives: AlternativeRule = "first"
) -> ActionUnits:
    """The AU set that a coder's text means.

    Asymmetry, intensity and lip part are read (see ``mentions()``) but never part of the set. References (``ref(24)``)
    and codes above 46 (positions of head and eyes) are read and left out of the set.

    Parameters
    ----------
    text : str or a missing value
        One cell of a spreadsheet.
    side : {"drop", "keep"}
        Whether ``L4`` becomes ``4`` or stays ``L4``. Keeping sides makes fewer pairs of clips share an AU set.
    alternatives : {"first", "all", "common"}
        What ``12 or 14`` becomes: the coder's first choice, every one (which says more than the coder did), or what all
        readings share. In each case the AUs in doubt are listed in ``disputed``.

    Returns
    -------
    ActionUnits
        ``str`` of it is the canonical text of the ``action_units`` column, such as ``"1+2"``. Any text at all gives a
        result; what cannot be read is in ``junk``.

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
    >>> read.units, read.disputed, str(read.said)
    (('6', '15'), (6, 12), '(R6B or A12C)+R15')
    >>> parse_action_units("R14+17+soft focus").junk
    ('soft', 'focus')
    >>> parse_action_units("?").known
    False
    """
    if side not in ("drop", "keep"):
        raise ValueError(f"side must be 'drop' or 'keep', not {side!r}")
    if alternatives not in ("first", "all", "common"):
        raise ValueError(f"alternatives must be 'first', 'all' or 'common', not {alternatives!r}")
    cell = "" if text is None or (isinstance(text, float) and np.isnan(text)) or text is pd.NA else str(text)
    tidy = _AS_FLOAT.sub(r"\1", cell)  # a column with blanks makes pandas read 4 as 4.0
    said, junk, complete = read_expression(tidy)
    mentions = tuple(_mentions(said))
    none_said = bool(mentions) and all(
        unit.number == 0 and not unit.doubtful for unit in mentions
    )  # a lone 0 says that nothing moved
    chosen = {unit for unit in _chosen(said, alternatives) if _moves_skin(unit) and not unit.reference}
    certain = {unit.number for unit in _chosen(said, "common") if not unit.reference and not unit.doubtful}
    disputed = {unit.number for unit in mentions if _moves_skin(unit)} - certain
    names = {(unit.number, unit.side if side == "keep" else "") for unit in chosen}
    return ActionUnits(
        text=cell,
        said=said,
        units=tuple(f"{where}{number}" for number, where in sorted(names)),
        disputed=tuple(sorted(disputed)),
        junk=junk,
        known=(none_said and complete) or any(_moves_skin(unit) for unit in mentions),
        complete=complete,
    )


def au_table(
    texts: Iterable[object], *, aus: Iterable[int] | None = None, alternatives: AlternativeRule = "first"
) -> pd.DataFrame:
    """AU columns: 1 where an AU is there, 0 where it is not, NaN where that is not known.

    Parameters
    ----------
    texts : iterable
        One coder's text a clip.
    aus : iterable of int, optional
        Which AUs get a column. By default every one that is present in some clip.
    alternatives : {"first", "all", "common"}
        As in :func:`parse_action_units`. A disputed AU outside the chosen set is NaN, neither present nor absent.

    Returns
    -------
    DataFrame
        One row a text, columns ``AU1 ...`` rising, float64.

    Examples
    --------
    >>> au_table(["1+R2", "12 or 1", "?"])
       AU1  AU2  AU12
    0  1.0  1.0   0.0
    1  NaN  0.0   1.0
    2  NaN  NaN   NaN
    """
    read = [parse_action_units(text, alternatives=alternatives) for text in texts]
    numbers = sorted({number for one in read for number in one.numbers} if aus is None else {int(au) for au in aus})
    values = np.full((len(read), len(numbers)), np.nan)
    for row, one in enumerate(read):
        if not one.known:
            continue
        for column, number in enumerate(numbers):
            if number in one.numbers:
                values[row, column] = 1.0
            elif one.complete and number not in one.disputed:
                values[row, column] = 0.0
    return pd.DataFrame(values, columns=[f"AU{number}" for number in numbers])


def _moves_skin(unit: Unit) -> bool:
    return 0 < unit.number <= LARGEST_MUSCLE_AU


def _mentions(said: Expression | None) -> Iterator[Unit]:
    if isinstance(said, Unit):
        yield said
    elif said is not None:
        for part in said.parts:
            yield from _mentions(part)


def _chosen(said: Expression | None, rule: AlternativeRule) -> set[Unit]:
    """The units that hold under a rule; in ``common`` two units agree where their number and side do."""
    if said is None:
        return set()
    if isinstance(said, Unit):
        return {said}
    parts = [_chosen(part, rule) for part in said.parts]
    if isinstance(said, Both) or rule == "all":
        return set().union(*parts)
    if rule == "first":
        return parts[0]
    shared = set.intersection(*({unit.number for unit in part} for part in parts))
    return {unit for part in parts for unit in part if unit.number in shared}
