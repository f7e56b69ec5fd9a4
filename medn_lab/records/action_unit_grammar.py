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
``12L``, ``L 12``  on one side as well, as are ``12(L)``, ``left 12`` and ``左12``; ``U12`` on one that is not named
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
from itertools import chain
from typing import TYPE_CHECKING

from medn_lab.records.table import normalise_text, require

if TYPE_CHECKING:
    from lark import Lark, Tree

# What a spreadsheet makes of ``4-5`` and ``4/5``: a day in May, and its AUs are lost.
_MONTH = (
    r"(?:jan|f[eé][bv]|m[aä]r|mrz|apr|avr|ma[iy](?!be)|jui?[nl]|jul|aug|ao[uû]|sep|o[ck]t|nov|d[eé][cz])[^\W\d_]*\.?"
)
_DATE = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"
    rf"|\d{{1,2}}[-. ]{{0,2}}{_MONTH}(?:[- ]\d+)?|{_MONTH}[-. ]{{0,2}}\d+)(?:[ T][\d:.]+)?",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"(?P<lead>[LR]?)\s*(?:A[UD]s?[\s:._-]*)?(?P<prefix>[LRTBA]*)(?P<number>\d+)(?P<intensity>[^?]*)(?P<doubt>\??)",
    re.IGNORECASE,
)
# A side that stands apart from the AU.
SIDE_APART = re.compile(r"[\W_]?(?:l|r|left|right|uni\w*|左侧?|右侧?)", re.IGNORECASE)
# Words between two AUs that are neither *and* nor *or*, as in ``4 rather than 7``.
_BETWEEN = re.compile(
    r"\d[A-ELR]?\s(?:(?!(?:or|vs|versus|oder|ou|and|with|plus|und|et|A[UD]s?|ref)\b)[^\W\d_]{2,}\s)+[LRTBA]*\d",
    re.IGNORECASE,
)
_SUPERSCRIPT = re.compile("(?<=[0-9A-Za-z)])[\u2070-\u209f\u00b2\u00b3\u00b9]+")
_BRACKETS = str.maketrans("[]{}<>", "()()()")
# Words for what the grammar has a sign for.
_WORDS = {
    "或者?": " or ",
    "[和与與及]": "+",
    r"(?<!\d)(\d{1,2}[A-E]?) ?\((?:L|left|左侧?)\)": r"L\1",
    r"(?<!\d)(\d{1,2}[A-E]?) ?\((?:R|right|右侧?)\)": r"R\1",
    r"(?<!\d)(\d{1,2}) ?\(([A-E])\)": r"\1\2",
    r"(?:\bleft|左侧?)\s*(?=(?:AU\s*)?\d)": "L",
    r"(?:\bright|右侧?)\s*(?=(?:AU\s*)?\d)": "R",
    r"\bU(?=[LR]?\d)": "uni ",
    r"\bref\.? ?([LRTBA]*\d+[A-E]?)": r"ref(\1)",
    "可能|不确定|疑似|没有|无": " ? ",
}
# Codes above 46 describe how head and eyes are turned (61: eyes left); they are read, but move no skin.
MUSCLE_AUS = range(1, 47)


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
class Group:
    """Several parts: all of them are there where `sign` is ``+``, one of them where it is `` or ``."""

    sign: str
    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        grouped = [f"({part})" if isinstance(part, Group) and part.sign != "+" else str(part) for part in self.parts]
        return self.sign.join(grouped)


Expression = Unit | Group


def bare(parsed: Expression, *, keep_side: bool) -> Expression:
    """An expression without intensities, lip parts and asymmetry, and without sides unless they are kept."""
    if isinstance(parsed, Unit):
        return replace(parsed, side=parsed.side if keep_side else "", part="", asymmetric=False, intensity="")
    return replace(parsed, parts=tuple(dict.fromkeys(bare(part, keep_side=keep_side) for part in parsed.parts)))


def units_of(parsed: Expression | None) -> Iterator[Unit]:
    """Every AU that was written, in its order."""
    if isinstance(parsed, Unit):
        yield parsed
    elif parsed is not None:
        for part in parsed.parts:
            yield from units_of(part)


def chosen_units(parsed: Expression | None, rule: str) -> set[tuple[int, str]]:
    """The AUs that hold under a rule, by number and side."""
    if parsed is None:
        return set()
    if isinstance(parsed, Unit):
        holds = parsed.number in MUSCLE_AUS and not parsed.reference and not (rule == "common" and parsed.doubtful)
        return {(parsed.number, parsed.side)} if holds else set()
    parts = [chosen_units(part, rule) for part in parsed.parts]
    if parsed.sign == "+" or rule == "all":
        return set().union(*parts)
    return set.intersection(*parts) if rule == "common" else parts[0]


@lru_cache(maxsize=1)
def _parser() -> Lark:
    from lark import Lark

    return Lark.open("action_units.lark", rel_to=__file__, parser="lalr")


@lru_cache(maxsize=4096)
def read_expression(text: str) -> tuple[Expression | None, tuple[str, ...], bool]:
    """The expression, the junk, and whether the list is complete."""
    from lark.exceptions import UnexpectedInput

    text = normalise_text(_SUPERSCRIPT.sub(" ^1", text))  # a superscript is no digit of the AU: in doubt
    text = text.lstrip("='").strip("\"'").translate(_BRACKETS)  # signs of spreadsheets, and what encloses the text
    for pattern, plain in _WORDS.items():
        text = re.sub(pattern, plain, text, flags=re.IGNORECASE)
    if not text.strip():
        return None, (), False
    if _DATE.fullmatch(text):
        return None, (text,), False
    try:
        tree = _parser().parse(text)
    except UnexpectedInput:  # such as unbalanced parentheses
        return None, (text,), False
    junk: list[str] = []
    complete = True

    def read(tree: Tree, reference: bool) -> Expression | None:
        nonlocal complete
        if tree.data == "unit":
            found = require(_UNIT.fullmatch(str(tree.children[0])), otherwise=f"{text!r} holds no action unit")
            behind = found["intensity"].upper()
            prefix = found["lead"].upper() + found["prefix"].upper() + (behind if behind in ("L", "R") else "")
            side, part = ("".join(letter for letter in pair if letter in prefix) for pair in ("LR", "TB"))
            return Unit(
                int(found["number"]), side=side if side != "LR" else "", part=part if part != "TB" else "",
                asymmetric="A" in prefix, intensity="/".join(re.findall(r"\b[A-E]\b|(?<=\d)[A-E]", behind)),
                reference=reference, doubtful=bool(found["doubt"]),
            )  # fmt: skip
        if tree.data == "junk":
            junk.append(str(tree.children[0]))
            return None
        if tree.data == "unknown":
            complete = False
            return None
        parts = [read(child, reference or tree.data == "reference") for child in tree.children]
        kept = [part for part in parts if part is not None]
        sign = " or " if tree.data in ("either", "choice") else "+"
        if sign != "+" and 0 < len(kept) < len(parts) and not all(map(SIDE_APART.fullmatch, junk)):
            complete = False
        if len(kept) < 2:
            return kept[0] if kept else None
        same = [part.parts if isinstance(part, Group) and part.sign == sign else (part,) for part in kept]
        return Group(sign, tuple(chain.from_iterable(same)))

    parsed = read(tree, False)
    # A digit in what cannot be read may be an AU (``4and7``): what is not named is then unknown and not absent.
    in_doubt = any(sign.isdigit() for word in junk for sign in word) or _BETWEEN.search(text)
    return parsed, tuple(junk), complete and not in_doubt
