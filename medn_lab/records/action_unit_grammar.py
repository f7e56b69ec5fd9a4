"""Action Units as coders write them, read into one expression.

The notations of CASME, CASME II, SAMM, CAS(ME)^3, MMEW and 4DME in one grammar:

=================  ====================================================================================
``12+15``          both
``L4``, ``R10``    on one side
``A12``            asymmetric (a prefix), while in ``12A`` the A is an intensity (a suffix, A to E)
``T23``, ``B28``   top or bottom lip
``10A/B``          one AU, intensity A or B
``4/7``            AU 4 or AU 7; ``/`` binds tighter than ``+``
``L12 or L14``     either; ``or`` binds looser than ``+``, parentheses decide: ``(R6 or R12) + R15``
``ref(24)``        AU 24 is there as a reference, already present before the movement; ``ref 24`` as well
``4?``, ``?``      doubtful; unknown; ``maybe``, ``probably`` and ``not`` are read as ``?``
``12L``, ``L 12``  on one side as well, as are ``12(L)``, ``left 12`` and ``左12``; ``U12`` on one that is not said
``４，７``、``4或7``  full-width and Chinese signs are read as what they are, and ``[4]`` as ``(4)``
``AU4+7(k)``       the letters AU and remarks change nothing
``17+soft focus``  what is no AU is kept aside as junk; with a digit in it, between two AUs (``4 then 7``) or as an
                   alternative (``4 or smile``), the list may not be complete
=================  ====================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from medn_lab.records.present import require
from medn_lab.records.text import normalise_text

if TYPE_CHECKING:
    from lark import Lark, Tree


_UNIT_PATTERN = (
    r"(?:[LR]\s*)?(?:A[UD]s?[\s:._-]*)?[LRTBA]{0,3}\d{1,2}(?!\d)"
    r"(?:\s?[A-E](?!\w)(?:\s*(?:\/|\bor\b)\s*[A-E](?!\w))*|[LR](?!\w))?\??"
)

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

_OR.4: /(?:or|vs\.?|versus|oder|ou)(?!\w)/i
_REF.4: /ref\b/i
UNIT.3: /{unit}/i
UNKNOWN.2: /\?|(?:maybe|perhaps|possibl[ey]|probabl[ey]|uncertain|unclear|unsure|not|no|none|nothing|absent|without)\b/i
_PLUS.2: /[+,;&]|(?:and|with|plus|und|et)\b/i
_SLASH: "/"
JUNK.-1: /[^\s+,;&\/()?]+/
%ignore /\s+/
""".replace("{unit}", _UNIT_PATTERN)


_MONTH = (
    r"(?:jan|f[eé][bv]|m[aä]r|mrz|apr|avr|ma[iy](?!be)|jui?[nl]|jul|aug|ao[uû]|sep|o[ck]t|nov|d[eé][cz])[^\W\d_]*\.?"
)
_DATE = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"
    rf"|\d{{1,2}}[-. ]{{0,2}}{_MONTH}(?:[- ]\d+)?|{_MONTH}[-. ]{{0,2}}\d+)(?:[ T][\d:.]+)?",
    re.IGNORECASE,
)
"""What a spreadsheet makes of ``4-5`` and ``4/5``: a day in May, and its AUs are lost."""


_UNIT = re.compile(
    r"(?P<lead>[LR]?)\s*(?:A[UD]s?[\s:._-]*)?(?P<prefix>[LRTBA]*)(?P<number>\d+)(?P<intensity>[^?]*)(?P<doubt>\??)",
    re.IGNORECASE,
)

SIDE_APART = re.compile(r"l|r|left|right|uni\w*|左侧?|右侧?", re.IGNORECASE)
"""A side that stands apart from the AU."""

_BETWEEN = re.compile(
    r"\d[A-ELR]?\s(?:(?!(?:or|vs|versus|oder|ou|and|with|plus|und|et|A[UD]s?|ref)\b)[^\W\d_]{2,}\s)+[LRTBA]*\d",
    re.IGNORECASE,
)
"""Words between two AUs that are neither *and* nor *or*, as in ``4 rather than 7``."""

_SUPERSCRIPT = re.compile("(?<=[0-9A-Za-z)])[\u2070-\u209f\u00b2\u00b3\u00b9]+")
_BRACKETS = str.maketrans("[]{}<>", "()()()")

_WORDS = [
    (re.compile(pattern, re.IGNORECASE), plain)
    for pattern, plain in (
        ("或者?", " or "),
        ("[和与與及]", "+"),
        (r"(?<!\d)(\d{1,2}[A-E]?) ?\((?:L|left|左侧?)\)", r"L\1"),
        (r"(?<!\d)(\d{1,2}[A-E]?) ?\((?:R|right|右侧?)\)", r"R\1"),
        (r"(?<!\d)(\d{1,2}) ?\(([A-E])\)", r"\1\2"),
        (r"(?:\bleft|左侧?)\s*(?=(?:AU\s*)?\d)", "L"),
        (r"(?:\bright|右侧?)\s*(?=(?:AU\s*)?\d)", "R"),
        (r"\bU(?=[LR]?\d)", "uni "),
        (r"\bref\.? ?([LRTBA]*\d+[A-E]?)", r"ref(\1)"),
        ("可能|不确定|疑似|没有|无", " ? "),
    )
]
"""Words for what the grammar has a sign for."""


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

LARGEST_MUSCLE_AU = 46
"""Codes above this describe how head and eyes are turned (61: eyes left); they are read, but move no skin."""


def bare(said: Expression, side: str, *, intensity: bool = False) -> Expression:
    """An expression without lip parts and asymmetry, and without what else is not asked for."""
    if isinstance(said, Unit):
        return replace(
            said,
            side=said.side if side == "keep" else "",
            part="",
            asymmetric=False,
            intensity=said.intensity if intensity else "",
        )
    return replace(said, parts=tuple(dict.fromkeys(bare(part, side, intensity=intensity) for part in said.parts)))


def moves_skin(unit: Unit) -> bool:
    """Whether it is an AU, and no position of head or eyes."""
    return 0 < unit.number <= LARGEST_MUSCLE_AU


def says_none(said: Expression | None) -> bool:
    """Whether a lone 0 says that nothing moved."""
    units = list(mentions_of(said))
    return bool(units) and all(unit.number == 0 and not unit.doubtful for unit in units)


def named(unit: Unit, keep_side: bool) -> tuple[int, str]:
    """What an AU is known by in a set."""
    return unit.number, unit.side if keep_side else ""


def mentions_of(said: Expression | None) -> Iterator[Unit]:
    """Every AU that was written, in its order."""
    if isinstance(said, Unit):
        yield said
    elif said is not None:
        for part in said.parts:
            yield from mentions_of(part)


def chosen_units(said: Expression | None, rule: str, keep_side: bool) -> set[Unit]:
    """The units that hold under a rule."""
    if said is None:
        return set()
    if isinstance(said, Unit):
        holds = moves_skin(said) and not said.reference and not (rule == "common" and said.doubtful)
        return {said} if holds else set()
    parts = [chosen_units(part, rule, keep_side) for part in said.parts]
    if isinstance(said, Both) or rule == "all":
        return set().union(*parts)
    if rule == "first":
        return parts[0]
    shared = set.intersection(*({named(unit, keep_side) for unit in part} for part in parts))
    return {unit for part in parts for unit in part if named(unit, keep_side) in shared}


@lru_cache(maxsize=1)
def _parser() -> Lark:
    from lark import Lark

    return Lark(_GRAMMAR, parser="lalr")


@lru_cache(maxsize=4096)
def read_expression(text: str) -> tuple[Expression | None, tuple[str, ...], bool]:
    """What was said, the junk, and whether the list is complete."""
    from lark.exceptions import UnexpectedInput

    text = normalise_text(_SUPERSCRIPT.sub(" ^1", text))  # a superscript is no digit of the AU: in doubt
    text = text.lstrip("='").strip("\"'").translate(_BRACKETS)  # what makes text of a cell, and what stands around it
    for pattern, plain in _WORDS:
        text = pattern.sub(plain, text)
    if not text:
        return None, (), False
    if _DATE.fullmatch(text):
        return None, (text,), False
    try:
        tree = _parser().parse(text)
    except UnexpectedInput:  # unbalanced parentheses and the like: say so rather than guess
        return None, (text,), False
    reader = _Reader()
    said = reader.read(tree)
    # A digit in what cannot be read may be an AU (``4and7``): what is not named is then unknown and not absent.
    complete = reader.complete and not any(sign.isdigit() for word in reader.junk for sign in word)
    complete = complete and not _BETWEEN.search(text)
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
        kind = Either if tree.data in ("either", "choice") else Both
        if kind is Either and 0 < len(kept) < len(parts) and not all(map(SIDE_APART.fullmatch, self.junk)):
            self.complete = False
        if len(kept) < 2:
            return kept[0] if kept else None
        return kind(tuple(inner for part in kept for inner in (part.parts if isinstance(part, kind) else (part,))))


def _unit(text: str, *, reference: bool) -> Unit:
    found = require(_UNIT.fullmatch(text), otherwise=f"{text!r} is not an action unit")
    behind = found["intensity"].upper()
    intensity = "/".join(re.findall(r"\b[A-E]\b|(?<=\d)[A-E]", behind))
    prefix = found["lead"].upper() + found["prefix"].upper() + (behind if behind in ("L", "R") else "")
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
