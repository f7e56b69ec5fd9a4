"""Where two codings of one data set differ."""

from __future__ import annotations

import pandas as pd

from medn_lab.records import ClipIndex, parse_action_units
from medn_lab.records.action_unit_grammar import Expression, Unit, bare

COMPARED = ("action_units", "action_units_sided", "action_units_doubt", "emotion", "onset", "apex", "offset")


def compare_codings(a: ClipIndex, b: ClipIndex) -> pd.DataFrame:
    """The clips whose AUs, labels or frames differ between two codings.

    Parameters
    ----------
    a, b : ClipIndex
        Two codings of one data set, read with ``spreadsheet=``.

    Returns
    -------
    DataFrame
        One row a difference: ``clip_id, field, a, b``. ``field`` is ``clip`` where only one of the two has it,
        otherwise ``action_units``; ``action_units_sided`` or ``action_units_doubt``, where only sides or doubt differ;
        ``emotion, onset, apex`` or ``offset``. AU sets are compared, not their spelling, and a disputed set differs
        from a certain one.
        ``.attrs`` names the codings.

    Raises
    ------
    ValueError
        If the two have no clip in common.

    See Also
    --------
    read_casme2 : two codings of CASME II circulate.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b"], "subject": "01", "emotion": "fear", "action_units": ["4", "4+7"]})
    >>> one = ClipIndex(table.assign(coding="first"))
    >>> other = ClipIndex(table.assign(coding="second", action_units=["4", "4"]))
    >>> compare_codings(one, other)
      clip_id         field    a  b
    0       b  action_units  4+7  4
    """
    left, right = a.table.set_index("clip_id"), b.table.set_index("clip_id")
    common = left.index.intersection(right.index)
    if not len(common):
        raise ValueError(
            f"the two codings have no clip in common: {left.index[0]!r} is of one and {right.index[0]!r} of the other"
        )
    rows = []
    for clip_id in left.index.union(right.index, sort=False):
        if clip_id not in common:
            here = clip_id in left.index
            rows.append((clip_id, "clip", "there" if here else "not there", "not there" if here else "there"))
            continue
        one, other = left.loc[clip_id], right.loc[clip_id]
        found = [name for name in COMPARED if name in left and name in right and _differ(name, one[name], other[name])]
        if "action_units" in found:  # the others tell more of the same difference
            found = [name for name in found if name not in ("action_units_sided", "action_units_doubt")]
        rows += [(clip_id, name, _told(one[name]), _told(other[name])) for name in found]
    table = pd.DataFrame(rows, columns=["clip_id", "field", "a", "b"])
    table.attrs = {"a": a.source.get("coding", ""), "b": b.source.get("coding", ""), "clips": len(common)}
    return table


def _differ(field: str, one: object, other: object) -> bool:
    if pd.isna(one) or pd.isna(other):
        return bool(pd.isna(one)) != bool(pd.isna(other))
    if field in ("action_units", "action_units_sided"):
        return _meaning(one) != _meaning(other)
    return one != other


def _meaning(text: object) -> object:
    """What is compared of an AU text: the set where it is certain, otherwise the expression in any order."""
    read = parse_action_units(text, side="keep")
    if read.certain or read.said is None:
        return frozenset(read.units), read.known
    return _unordered(bare(read.said, "keep")), read.complete


def _unordered(said: Expression) -> object:
    return said if isinstance(said, Unit) else (type(said), frozenset(map(_unordered, said.parts)))


def _told(value: object) -> str:
    if pd.isna(value):
        return "not coded"
    return f"{value:g}" if isinstance(value, float) else str(value)
