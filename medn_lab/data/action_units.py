"""Action Units as coders write them: a grammar for every notation in use, and the AU set under a stated rule.

The notations of CASME, CASME II, SAMM, CAS(ME)^3, MMEW and 4DME in one grammar:

=================  ====================================================================================
``12+15``          both
``L4``, ``R10``    on one side
``A12``            asymmetric (a prefix), while in ``12A`` the A is an intensity (a suffix, A to E)
``T23``, ``B28``   top or bottom lip
``10A/B``          one AU, intensity A or B
``4/7``            AU 4 or AU 7; ``/`` binds tighter than ``+``
``L12 or L14``     either; ``or`` binds looser than ``+``, parentheses decide: ``(R6 or R12) + R15``
``ref(24)``        AU 24 is there as a reference, already present before the movement
``4?``, ``?``      doubtful; unknown
``AU4+7(k)``       the letters AU and remarks change nothing
``17+soft focus``  what is no AU is kept aside as junk; with a digit in it, the list may not be complete
=================  ====================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from medn_lab.records import present

if TYPE_CHECKING:
    from lark import Lark, Tree

SideRule = Literal["drop", "keep"]
AlternativeRule = Literal["first", "all", "common"]

LARGEST_MUSCLE_AU = 46
"""Codes above this describe how head and eyes are turned (61: eyes left); they are said, but move no skin."""

_GRAMMAR = r"""
start: [either]
?either: both (_OR both)*
?both: (_PLUS* choice)+ _PLUS*
?choice: item (_SLASH item)*
?item: UNIT -> unit
     | "(" either ")"
     | _REF "(" either ")" -> reference
     | UNKNOWN -> unknown
     | JUNK -> junk

_OR.4: /or\b/i
_REF.4: /ref\b/i
UNIT.3: /(?:AU\s*)?[LRTBA]{0,3}\d{1,2}(?!\d)(?:[A-E](?!\w)(?:\s*(?:\/|\bor\b)\s*[A-E](?!\w))*)?\??/i
UNKNOWN.2: "?"
_PLUS: /[+,;&]/
_SLASH: "/"
JUNK.-1: /[^\s+,;&\/()?]+/
%ignore /\s+/
"""

_AS_FLOAT = re.compile(r"\b(\d{1,2})\.0+(?!\d)")

_DATE = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"
    r"|\d{1,2}[- ]?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)(?:[ T][\d:.]+)?",
    re.IGNORECASE,
)
"""What a spreadsheet makes of ``4-5`` and ``4/5``: a day in May, and its AUs are lost."""

_UNIT = re.compile(r"(?:AU\s*)?(?P<prefix>[LRTBA]*)(?P<number>\d+)(?P<intensity>[^?]*)(?P<doubt>\??)", re.IGNORECASE)


@dataclass(frozen=True)
class Unit:
    """One AU as it was written.

    Attributes
    ----------
    number : int
    side : {"", "L", "R"}
    part : {"", "T", "B"}
        Top or bottom lip.
    asymmetric : bool
        The prefix ``A``: both sides, one of them stronger.
    intensity : str
        ``""``, one letter from ``A`` (trace) to ``E`` (greatest), or alternatives as in ``A/B``.
    reference, doubtful : bool
        Written as ``ref(24)``; written with a question mark.
    """

    number: int
    side: str = ""
    part: str = ""
    asymmetric: bool = False
    intensity: str = ""
    reference: bool = False
    doubtful: bool = False

    def __str__(self) -> str:
        prefix = self.side + self.part + ("A" if self.asymmetric else "")
        text = f"{prefix}{self.number}{self.intensity}{'?' if self.doubtful else ''}"
        return f"ref({text})" if self.reference else text


@dataclass(frozen=True)
class Both:
    """All of the parts are there."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return "+".join(f"({part})" if isinstance(part, Either) else str(part) for part in self.parts)


@dataclass(frozen=True)
class Either:
    """One of the parts is there."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " or ".join(f"({part})" if isinstance(part, Either) else str(part) for part in self.parts)


Expression = Unit | Both | Either


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
    said, junk, complete = _read(_AS_FLOAT.sub(r"\1", cell))  # a column with blanks makes pandas read 4 as 4.0
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


@lru_cache(maxsize=1)
def _parser() -> Lark:
    from lark import Lark

    return Lark(_GRAMMAR, parser="lalr")


@lru_cache(maxsize=4096)
def _read(text: str) -> tuple[Expression | None, tuple[str, ...], bool]:
    """What was said, the junk, and whether the list is complete."""
    from lark.exceptions import UnexpectedInput

    if not text.strip():
        return None, (), False
    if _DATE.fullmatch(text.strip()):
        return None, (text.strip(),), False
    try:
        tree = _parser().parse(text)
    except UnexpectedInput:  # unbalanced parentheses and the like: say so rather than guess
        return None, (text.strip(),), False
    reader = _Reader()
    said = reader.read(tree)
    # A digit in what cannot be read may be an AU (``4and7``): what is not named is then unknown and not absent.
    complete = reader.complete and not any(sign.isdigit() for word in reader.junk for sign in word)
    return said, tuple(reader.junk), complete


class _Reader:
    """Turns lark's tree into an expression, setting junk aside."""

    def __init__(self) -> None:
        self.junk: list[str] = []
        self.complete = True

    def read(self, tree: Tree | None, *, reference: bool = False) -> Expression | None:
        if tree is None:
            return None
        if tree.data == "unit":
            return _unit(str(tree.children[0]), reference=reference)
        if tree.data == "unknown":
            self.complete = False
            return None
        if tree.data == "junk":
            self.junk.append(str(tree.children[0]))
            return None
        reference = reference or tree.data == "reference"
        parts = [self.read(child, reference=reference) for child in tree.children]
        kept = [part for part in parts if part is not None]
        if len(kept) < 2:
            return kept[0] if kept else None
        kind = Either if tree.data in ("either", "choice") else Both
        return kind(tuple(inner for part in kept for inner in (part.parts if isinstance(part, kind) else (part,))))


def _unit(text: str, *, reference: bool) -> Unit:
    found = present(_UNIT.fullmatch(text), otherwise=f"{text!r} is not an action unit")
    prefix = found["prefix"].upper()
    intensity = "/".join(re.findall(r"\b[A-E]\b|(?<=\d)[A-E]", found["intensity"].upper()))
    sides = [letter for letter in "LR" if letter in prefix]
    parts = [letter for letter in "TB" if letter in prefix]
    return Unit(
        number=int(found["number"]),
        side=sides[0] if len(sides) == 1 else "",  # left and right together are both sides
        part=parts[0] if len(parts) == 1 else "",
        asymmetric="A" in prefix,
        intensity=intensity,
        reference=reference,
        doubtful=bool(found["doubt"]),
    )
