"""One reader for each data set, which is ``read_dataset`` with a layout; joining and comparing of indexes."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pandas as pd

from medn_lab.data.index import problem_table, read_dataset
from medn_lab.data.layouts import AnyPath, name_key
from medn_lab.records import CODING_COLUMNS, ClipIndex, au_columns, parse_action_units
from medn_lab.records.action_unit_grammar import Expression, Unit, bare


def read_casme2(root: AnyPath, **options: Any) -> ClipIndex:
    """The clips of CASME II as distributed: 255 clips of 26 subjects, 200 frames a second.

    Two codings circulate (2014 and 2019) and differ in the AUs of about a fifth of the clips; which one was read is in
    the column ``coding``. The one row without an apex, and the one whose apex is its onset, get theirs spotted when
    they are prepared. The id of a clip is ``casme2/01/EP02_01f``. Yan et al., CASME II: An Improved Spontaneous
    Micro-Expression Database. PLoS ONE 9(1), 2014.

    See Also
    --------
    read_dataset : the parameters, and what is returned.
    compare_codings : where two codings differ.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="casme2", fps=15, size=64)
    ...     index = read_casme2(root)
    >>> index
    ClipIndex: 1 clip of 1 subject (casme2 1); 0 problems, 0 rows left out
    """
    return read_dataset(root, layout="casme2", **options)


def read_samm(root: AnyPath, **options: Any) -> ClipIndex:
    """The clips of SAMM as distributed: 159 clips of 29 subjects, 200 frames a second, grey.

    The spreadsheet has 13 rows of preamble. Its AU notation knows sides, asymmetry, intensities, alternatives and
    references; :func:`parse_action_units` reads them. Two rows have an apex outside onset to offset: it is spotted when
    the clip is prepared. The id of a clip is ``samm/006/006_1_2``. Davison et al., SAMM: A Spontaneous Micro-Facial
    Movement Dataset. IEEE TAFFC 9(1), 2018.

    See Also
    --------
    read_dataset : the parameters, and what is returned.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="samm", fps=15, size=64)
    ...     index = read_samm(root)
    >>> index
    ClipIndex: 1 clip of 1 subject (samm 1); 0 problems, 0 rows left out
    """
    return read_dataset(root, layout="samm", **options)


def read_casme3(root: AnyPath, **options: Any) -> ClipIndex:
    """The clips of CAS(ME)^3 part A as distributed: 860 rows of 94 subjects, 30 frames a second.

    A folder holds a whole recording and ``(Subject, Filename)`` is not unique, so the onset is part of the clip's id,
    ``casme3/spNO.1/b/166``. Some clips are longer than two seconds; they are kept and listed in ``problems``. Li et
    al., CAS(ME)3: A Third Generation Facial Spontaneous Micro-Expression Database. IEEE TPAMI 45(3), 2023.

    See Also
    --------
    read_dataset : the parameters, and what is returned.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="casme3", fps=15, size=64)
    ...     index = read_casme3(root)
    >>> index
    ClipIndex: 1 clip of 1 subject (casme3 1); 0 problems, 0 rows left out
    """
    return read_dataset(root, layout="casme3", **options)


def read_mmew(root: AnyPath, **options: Any) -> ClipIndex:
    """The clips of MMEW as distributed: 300 clips of 30 subjects, 90 frames a second.

    The id of a clip is ``mmew/01/S01-01-001``. Ben et al., Video-Based Facial Micro-Expression Analysis. IEEE TPAMI
    44(9), 2022.

    See Also
    --------
    read_dataset : the parameters, and what is returned.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="mmew", fps=15, size=64)
    ...     index = read_mmew(root)
    >>> index
    ClipIndex: 1 clip of 1 subject (mmew 1); 0 problems, 0 rows left out
    """
    return read_dataset(root, layout="mmew", **options)


def read_4dme(root: AnyPath, **options: Any) -> ClipIndex:
    """The clips of 4DME (grey video) as distributed: micro-expressions at 60 frames a second.

    The id of a clip is ``4dme/1/1_01``. Li et al., 4DME: A Spontaneous 4D Micro-Expression Dataset With
    Multimodalities. IEEE TAFFC 14(4), 2023.

    See Also
    --------
    read_dataset : the parameters, and what is returned.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="4dme", fps=15, size=64)
    ...     index = read_4dme(root)
    >>> index
    ClipIndex: 1 clip of 1 subject (4dme 1); 0 problems, 0 rows left out
    """
    return read_dataset(root, layout="4dme", **options)


def read_casme(root: AnyPath, **options: Any) -> ClipIndex:
    """The clips of CASME as distributed: 195 clips of 19 subjects, 60 frames a second.

    Where two apexes are coded the first is taken. The id of a clip is ``casme/01/EP01_01``. Yan et al., CASME Database:
    A Dataset of Spontaneous Micro-Expressions. FG 2013.

    See Also
    --------
    read_dataset : the parameters, and what is returned.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="casme", fps=15, size=64)
    ...     index = read_casme(root)
    >>> index
    ClipIndex: 1 clip of 1 subject (casme 1); 0 problems, 0 rows left out
    """
    return read_dataset(root, layout="casme", **options)


def read_dfme(root: AnyPath, **options: Any) -> ClipIndex:
    """The clips of DFME as distributed: frames a second differ by part and are in the list.

    The spreadsheet is a ``.csv`` list. The id of a clip is ``dfme/sub0001/a_1``. Zhao et al., DFME: A New Benchmark for
    Dynamic Facial Micro-Expression Recognition. IEEE TAFFC 15(3), 2024.

    See Also
    --------
    read_dataset : the parameters, and what is returned.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="dfme", fps=15, size=64)
    ...     index = read_dfme(root)
    >>> index
    ClipIndex: 1 clip of 1 subject (dfme 1); 0 problems, 0 rows left out
    """
    return read_dataset(root, layout="dfme", **options)


def read_smic(root: AnyPath, **options: Any) -> ClipIndex:
    """The clips of SMIC as distributed: 164 clips of 16 subjects by the fast camera, 71 each by the two others.

    SMIC has neither AUs nor apexes: the table has no AU columns, and the apex is spotted when a clip is prepared.
    Emotions are negative, positive, surprise. The id of a clip is ``smic/3/s3_ne_03``. A second and a third expression
    in a row are clips too, ``smic/3/s3_ne_03/2`` and ``/3``, with a row of ``problems`` that names them. The frame rate
    is that of the fast camera, 100. Where the folders of all three are there, choose one: ``spreadsheet=`` its list,
    ``frames="HS"`` its folder. Li et al., A Spontaneous Micro-Expression Database. FG 2013.

    See Also
    --------
    read_dataset : the parameters, and what is returned.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from medn_lab.synthme import synthetic_clips, write_dataset
    >>> drawn = synthetic_clips(n_subjects=1, clips_per_subject=1, seed=22)
    >>> with TemporaryDirectory() as root:
    ...     _ = write_dataset(drawn, root, layout="smic", fps=15, size=64)
    ...     index = read_smic(root)
    >>> index
    ClipIndex: 1 clip of 1 subject (smic 1); 1 problem, 1 row left out
    """
    return read_dataset(root, layout="smic", **options)


_GIVEN = inspect.signature(read_dataset, eval_str=True).parameters.values()
_SHOWN = [value for value in _GIVEN if value.name != "layout"]
for _reader in (read_casme2, read_samm, read_casme3, read_mmew, read_4dme, read_casme, read_dfme, read_smic):
    # What help and completion show: the parameters that a reader hands on.
    vars(_reader)["__signature__"] = inspect.Signature(_SHOWN, return_annotation="ClipIndex")
    _reader.__annotations__ = {value.name: value.annotation for value in _SHOWN} | {"return": "ClipIndex"}


def join_indexes(indexes: list[ClipIndex]) -> ClipIndex:
    """Several data sets as one index; AUs that a data set does not code are unknown in its rows.

    Parameters
    ----------
    indexes : list of ClipIndex
        One or more, without a clip in common.

    Returns
    -------
    ClipIndex

    Raises
    ------
    ValueError
        If a clip is in two of them.

    Examples
    --------
    >>> one = pd.DataFrame({"clip_id": ["casme2/a"], "dataset": "casme2", "subject": "01", "AU4": 1.0})
    >>> one["action_units"] = "4"
    >>> other = pd.DataFrame({"clip_id": ["smic/a"], "dataset": "smic", "subject": "01", "action_units": "?"})
    >>> joined = join_indexes([ClipIndex(one), ClipIndex(other)])
    >>> joined
    ClipIndex: 2 clips of 2 subjects (casme2 1, smic 1); 0 problems, 0 rows left out
    >>> joined.table["AU4"].tolist()
    [1.0, nan]
    """
    parts = [index.table.rename(columns=lambda name: re.sub(r"^AU0+(?=\d+$)", "AU", str(name))) for index in indexes]
    table = pd.concat(parts, ignore_index=True)
    units = sorted(au_columns(table), key=lambda name: int(name[2:]))
    texts = [name for name in CODING_COLUMNS if name in table]
    table[texts] = table[texts].astype(object).fillna("")  # a data set without AUs has none of these
    last = [name for name in ("objective_class", "label", "coding", "cropped", "frames_folder") if name in table]
    doubt = table.get("action_units_doubt", pd.Series("", index=table.index))
    for part in parts:
        # An AU that a data set codes and no clip of it shows is absent there, not unknown, but where it is in doubt.
        own = au_columns(part)
        coded = part.loc[part[own].notna().any(axis=1), "clip_id"]
        for name in set(units) - set(own):
            in_doubt = doubt.str.contains(rf"\b{name[2:]}\b|may be more")
            table.loc[table["clip_id"].isin(coded) & ~in_doubt, name] = 0.0
    first = [name for name in table if name not in units and name not in last]
    problems = problem_table([], *(index.problems for index in indexes))
    return ClipIndex(table[first + units + last], problems, {"joined": [dict(index.source) for index in indexes]})


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
        from a certain one. Ids that differ in case or leading zeros alone (``EP08_1``, ``EP08_01``) are one clip.
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
    left, names = a.table.set_index("clip_id"), b.table["clip_id"]
    others = {name_key(one): one for one in left.index.difference(names)}
    right = b.table.set_index(names.where(names.isin(left.index), names.map(name_key).map(others)).fillna(names))
    common = left.index.intersection(right.index)
    if not len(common):
        ids = f"{left.index[0]!r} is of one and {right.index[0]!r} of the other"
        raise ValueError(f"the two codings have no clip in common: {ids}")
    fields = ("action_units", "action_units_sided", "action_units_doubt", "emotion", "onset", "apex", "offset")
    shared = [name for name in fields if name in left and name in right]
    rows = []
    for clip_id in left.index.union(right.index, sort=False):
        if clip_id not in common:
            rows.append((clip_id, "clip", *(("not there", "there")[clip_id in side.index] for side in (left, right))))
            continue
        one, other = left.loc[clip_id], right.loc[clip_id]
        found = [name for name in shared if _meaning(name, one[name]) != _meaning(name, other[name])]
        if "action_units" in found:  # sides and doubt say more of the same difference
            found = [name for name in found if name not in ("action_units_sided", "action_units_doubt")]
        for name in found:
            rows.append((clip_id, name, *("not coded" if pd.isna(side[name]) else side[name] for side in (one, other))))
    table = pd.DataFrame(rows, columns=["clip_id", "field", "a", "b"])
    table.attrs = {"a": a.source.get("coding", ""), "b": b.source.get("coding", ""), "clips": len(common)}
    return table


def _meaning(field: str, value: object) -> object:
    """What is compared of a cell: of AUs the set, or the alternatives where it is in doubt, in any order."""
    if pd.isna(value) or field not in ("action_units", "action_units_sided"):
        return None if pd.isna(value) else value
    read = parse_action_units(value, side="keep")
    disputed = None if read.certain or read.parsed is None else _unordered(bare(read.parsed, keep_side=True))
    return disputed or frozenset(read.units), read.known, read.complete


def _unordered(part: Expression) -> object:
    """An expression whose parts have no order."""
    return part if isinstance(part, Unit) else (part.sign, frozenset(map(_unordered, part.parts)))
