"""Confusable pairs, as a diagnostic: which AU sets carry several emotions, how often, and why there may be none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from medn_lab.evaluate.pairs import aus_unknown, confusable_pairs
from medn_lab.records import au_doubt, au_set_text, au_sets, check_label, check_table, people

__all__ = ["ConfusableSets", "confusable_pairs", "confusable_sets"]

Subjects = Literal["all", "same", "different"]

SET_COLUMNS = ("action_units", "n_clips", "n_subjects", "n_emotions", "n_pairs", "n_opposite", "n_same_subject")
"""Columns of the table of AU sets before those of the emotions."""


@dataclass(frozen=True, eq=False, repr=False)
class ConfusableSets:
    """The AU sets that more than one emotion shares.

    Attributes
    ----------
    table : DataFrame
        One row an AU set, the one with most clips first: ``action_units, n_clips, n_subjects, n_emotions``; ``n_pairs``
        of clips with different emotions, ``n_opposite`` of them of opposite valence, ``n_same_subject`` of them of one
        person; then a column an emotion with its number of clips. ``table.attrs`` holds `rule` and `none` for pictures.
    rule : str
        What makes two AU sets the same: whether side and intensity count, and how many clips are left out because
        their AU set is disputed or incomplete.
    n_clips, n_sets : int
        All clips with a certain AU set of at least one AU and a label, and their AU sets, confusable or not.
    n_left_out : int
        All other clips.
    none : str
        Why there is no such set; empty where there is one.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "subject": list("112"), "label": list("xyx")})
    >>> table["action_units"] = ["4", "4", "12"]
    >>> confusable_sets(table)
    ConfusableSets: 1 of 2 AU sets have more than one emotion, 2 of 3 clips; 1 pairs, 0 of opposite valence, ...
    """

    table: pd.DataFrame
    rule: str
    n_clips: int
    n_sets: int
    n_left_out: int
    none: str = ""

    def __repr__(self) -> str:
        left_out = f"; {self.n_left_out} clips left out in all" if self.n_left_out else ""
        if self.none:
            return f"ConfusableSets: {self.none}; {self.rule}{left_out}"
        sums = self.table[["n_clips", "n_pairs", "n_opposite", "n_same_subject"]].sum()
        return (
            f"ConfusableSets: {len(self.table)} of {self.n_sets} AU sets have more than one emotion, {sums['n_clips']}"
            f" of {self.n_clips} clips; {sums['n_pairs']} pairs, {sums['n_opposite']} of opposite valence,"
            f" {sums['n_same_subject']} of one subject; {self.rule}{left_out}"
        )


def confusable_sets(table: pd.DataFrame, *, label: str = "label", keep_side: bool = False) -> ConfusableSets:
    """Which AU sets have clips of more than one emotion, and how many of each.

    What AUs alone can never decide. Read it before any figure on confusable pairs: a handful of AU sets, or of persons,
    may hold nearly all of them.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id, subject`` and ``action_units`` or AU columns; :func:`medn_lab.records.au_sets` says which AU
        sets are the same.
    label : str
        Column of the emotion.
    keep_side : bool
        Whether an AU on one side is another AU than on both. The intensity never counts.

    Returns
    -------
    ConfusableSets
        Where there are none, it says why.

    Raises
    ------
    ValueError
        If a column is missing, or a clip_id appears twice.

    See Also
    --------
    confusable_pairs, rank_pairs, medn_lab.view.plot_confusable_sets

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "subject": ["1", "1", "2"], "action_units": ["12", "12", "4"],
    ...                       "label": ["happiness", "repression", "others"]})
    >>> confusable_sets(table)
    ConfusableSets: 1 of 2 AU sets have more than one emotion, 2 of 3 clips; 1 pairs, 1 of opposite valence, 1 of one
    subject; AU sets without side and intensity
    """
    known = usable(table, label=label, keep_side=keep_side)
    pairs = mark_pairs(known, label=label, keep_side=keep_side)
    rule = rule_of(table, keep_side=keep_side)
    emotions = [str(name) for name in known[label].value_counts().index]
    rows = []
    for aus, mine in pairs.groupby("action_units", sort=False):
        group = known[known["_aus"] == aus]
        counts = group[label].astype(str).value_counts()
        rows.append(
            {
                "action_units": aus,
                "n_clips": len(group),
                "n_subjects": len(set(people(group))),
                "n_emotions": len(counts),
                "n_pairs": len(mine),
                "n_opposite": int(mine["opposite"].sum()),
                "n_same_subject": int(mine["same_subject"].sum()),
                **{name: int(counts.get(name, 0)) for name in emotions},
            }
        )
    there = [name for name in emotions if any(row[name] for row in rows)]
    found = pd.DataFrame(rows, columns=[*SET_COLUMNS, *there])
    found = found.sort_values(["n_clips", "n_pairs"], ascending=False, kind="stable", ignore_index=True)
    none = "" if len(found) else why_none(table, label=label, keep_side=keep_side)
    found.attrs = {"rule": rule, "none": none}
    return ConfusableSets(found, rule, len(known), known["_aus"].nunique(), len(table) - len(known), none)


def usable(table: pd.DataFrame, *, label: str, keep_side: bool) -> pd.DataFrame:
    """The clips with a certain AU set of at least one AU and an emotion, with their AU set as text in ``_aus``."""
    table = check_table(table, owner="confusable pairs", required=("clip_id", "subject", label))
    table[label] = check_label(table, label=label, complete=False)
    sets = [au_set_text(aus) if aus else None for aus in au_sets(table, keep_side=keep_side)]
    table = table.assign(_aus=pd.Series(sets, dtype=object))
    return table[table["_aus"].notna() & table[label].notna()].reset_index(drop=True)


def mark_pairs(known: pd.DataFrame, *, label: str, keep_side: bool) -> pd.DataFrame:
    """The confusable pairs of :func:`usable` clips with ``opposite`` and ``same_subject``, both bool."""
    pairs = confusable_pairs(known, label=label, keep_side=keep_side)
    who = people(known).set_axis(known["clip_id"])
    named = pd.MultiIndex.from_arrays([pairs["label_a"], pairs["label_b"]])
    return pairs.assign(
        opposite=named.isin(_opposite_labels(known[label])),
        same_subject=who.reindex(pairs["clip_a"]).to_numpy() == who.reindex(pairs["clip_b"]).to_numpy(),
    )


def same_set_pairs(known: pd.DataFrame, *, label: str, keep_side: bool) -> pd.DataFrame:
    """All pairs of clips of one AU set: whether their emotions ``differ``, whether they are of the ``same_subject``."""
    # Where every clip is a class of its own, every pair of an AU set is confusable.
    pairs = confusable_pairs(known.assign(_each=range(len(known))), label="_each", keep_side=keep_side)
    emotion = known.set_index("clip_id")[label]
    who = people(known).set_axis(known["clip_id"])
    of = {column: pairs[column].to_numpy(dtype=object) for column in ("clip_a", "clip_b")}
    return pairs.assign(
        differ=emotion.reindex(of["clip_a"]).to_numpy() != emotion.reindex(of["clip_b"]).to_numpy(),
        same_subject=who.reindex(of["clip_a"]).to_numpy() == who.reindex(of["clip_b"]).to_numpy(),
    )


def _opposite_labels(labels: pd.Series) -> list[tuple[object, object]]:
    """Which emotions are opposite, in both orders, asked of :func:`confusable_pairs` by one clip of each."""
    names = list(labels.unique())
    one_each = pd.DataFrame({"clip_id": range(len(names)), "action_units": "1", "label": names})
    found = confusable_pairs(one_each, opposite=True)[["label_a", "label_b"]].itertuples(index=False, name=None)
    return [pair for a, b in found for pair in ((a, b), (b, a))]


def of_subjects(pairs: pd.DataFrame, subjects: Subjects) -> pd.DataFrame:
    """The pairs of one person, of two, or all; ValueError for another word."""
    if subjects not in ("all", "same", "different"):
        raise ValueError(f"no choice of subjects {subjects!r}; there are all, same, different")
    if subjects == "all":
        return pairs
    return pairs[pairs["same_subject"].to_numpy(dtype=bool) == (subjects == "same")].reset_index(drop=True)


def rule_of(table: pd.DataFrame, *, keep_side: bool, subjects: Subjects = "all") -> str:
    """What makes a pair, in words, and how many clips are left out because their AUs are in doubt."""
    sides = "AU sets with side, without intensity" if keep_side else "AU sets without side and intensity"
    n_doubtful = int((au_doubt(table, keep_side=keep_side) != "").sum())
    doubt = f"; {n_doubtful} clips with AUs in doubt left out" if n_doubtful else ""
    return (
        sides + {"all": "", "same": "; pairs of one subject", "different": "; pairs of two subjects"}[subjects] + doubt
    )


def why_none(table: pd.DataFrame, *, label: str, keep_side: bool, subjects: Subjects = "all") -> str:
    """The sentence for a table without confusable pairs."""
    if not len(table):
        return "none here, because there are no clips"
    if unknown := aus_unknown(table, keep_side=keep_side):
        return f"none here, because {unknown}"
    if check_label(table, label=label, complete=False).isna().all():
        return f"none here, because no clip has a {label}"
    known = usable(table, label=label, keep_side=keep_side)
    if not len(known):
        return "none here, because no clip has both known AUs and an emotion"
    if len(set(known[label])) == 1:
        return f"none here, because all {len(known)} clips are labelled {str(known[label].iloc[0])!r}"
    pairs = mark_pairs(known, label=label, keep_side=keep_side)
    if len(pairs):
        others = "two subjects" if subjects == "same" else "one subject"
        return f"none here, because all {len(pairs)} confusable pairs are of {others}"
    shared = int((known["_aus"].value_counts() > 1).sum())
    told = "none here, because no two clips share an AU set and differ in emotion"
    told += f" ({shared} AU sets have several clips, each set of one emotion)" if shared else ""
    if keep_side:
        without = len(confusable_pairs(known, label=label))
        told += f"; with the side dropped there would be {without}" if without else ""
    return told
