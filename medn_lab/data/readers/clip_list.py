"""Lists of clips with a class each, as they go with the MEGC 2019 challenge and with flow packs."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pandas as pd

from medn_lab.data.layout import FIELD_NAMES, header_key
from medn_lab.data.layouts import LAYOUTS
from medn_lab.data.protocols import PROTOCOLS, ProtocolName, canonical_emotion
from medn_lab.data.readers.folders import name_key
from medn_lab.data.readers.index import subject_name
from medn_lab.records import PROBLEM_COLUMNS, ClipIndex, normalise_text

PROTOCOL: ProtocolName = "megc2019"
CLASSES = PROTOCOLS[PROTOCOL].classes

MOST_BYTES = 10_000_000
"""The longest list has under ten thousand rows."""

_HEADERS: dict[str, tuple[str, ...]] = {
    "dataset": ("dataset", "datasetname", "data", "database", "db", "corpus"),
    "subject": (*FIELD_NAMES["subject"], "person", "participant"),
    "filename": (*FIELD_NAMES["filename"], "clipname", "videoname", "name"),
    "label": ("label", "labels", "class", "gt", "groundtruth", "target", "emotionlabel", "emotion"),
    "image": ("imagename", "image", "picture", "png"),
}
"""Field to the headers that stand for it, the first that is there, without blanks, case and punctuation."""

_FIELDS = ("dataset", "subject", "filename", "label")
_DATASETS = {"casmeii": "casme2", "smichs": "smic", "smichse": "smic", "casmeiii": "casme3"}


def reader_id(dataset: str, subject: str, filename: str) -> str:
    """The id that the data set's reader gives a clip, from any of the spellings in use.

    Parameters
    ----------
    dataset, subject, filename : str
        As a list, a folder or a picture names them; the subject may stand before the file name once or twice.

    Returns
    -------
    str
        ``dataset/subject/filename``.

    Examples
    --------
    >>> reader_id("CASME II", "sub01", "sub01_EP02_01f .png"), reader_id("smic", "s03", "s03_s3_ne_03")
    ('casme2/01/EP02_01f', 'smic/3/s3_ne_03')
    """
    dataset, subject, filename = (normalise_text(text) for text in (dataset, subject, filename))
    key = header_key(dataset)
    dataset = _DATASETS.get(key, key if key in LAYOUTS else dataset.lower())
    layout = LAYOUTS.get(dataset)
    person = subject if layout is None else subject_name(layout, subject)
    number = re.sub(r"\D", "", person).lstrip("0")
    parts = re.sub(r"\.(png|jpe?g|bmp|avi|mp4)$", "", filename, flags=re.IGNORECASE).strip().split("_")
    while len(parts) > 2 and number and re.fullmatch(rf"(?:sub|s)?0*{number}", parts[0], re.IGNORECASE):
        parts = parts[1:]
    if dataset == "casme2" and parts[0].lower().startswith("ep"):
        name = "_".join(parts).lower().replace("ep", "EP", 1)
    elif dataset == "samm" and len(parts) == 2:
        name = f"{person}_{'_'.join(parts)}"
    elif dataset == "smic" and len(parts) == 2:
        name = f"s{person}_{'_'.join(parts)}".lower()
    else:
        name = "_".join(parts)
    return f"{dataset}/{person}/{name}"


def clip_key(dataset: str, subject: str, filename: str) -> str:
    """What all spellings of one clip have in common: its id without case and leading zeros.

    Examples
    --------
    >>> clip_key("smic", "s01", "s01_s1_ne_01") == clip_key("SMIC", "1", "s1_ne_1")
    True
    """
    return name_key(reader_id(dataset, subject, filename))


def keys_of(table: pd.DataFrame) -> pd.Series:
    """The :func:`clip_key` of each row of a table with ``dataset, subject, filename``."""
    missing = [name for name in ("dataset", "subject", "filename") if name not in table]
    if missing:
        raise ValueError(f"clips are matched by dataset, subject and filename; the table lacks {', '.join(missing)}")
    rows = table[["dataset", "subject", "filename"]].astype(str).itertuples(index=False)
    return pd.Series([clip_key(*row) for row in rows], index=table.index, dtype=object)


def read_list(path: str | os.PathLike[str]) -> ClipIndex:
    """The clips of a list that goes with flow packs or with the challenge.

    Parameters
    ----------
    path : path-like
        ``combined_3class_gt.csv`` (no header: ``casme2,sub01,EP02_01f,1``), or a list with a header such as
        ``dataset,sub,filename_o,label,apex,imagename,sub_filename`` or ``data,subject,clip,label``, in any order, with
        other columns among them, separated by comma, semicolon or tab. Classes are 0, 1 and 2 or words.

    Returns
    -------
    ClipIndex
        Its table has ``clip_id, dataset, subject, filename`` (all as the readers spell them), ``label`` (the class's
        name), ``image`` (``""`` where the list has none). Rows without a clip or a class, and clips that are there
        again, are in ``problems``.

    Raises
    ------
    ValueError
        If it is no such list, no row has a clip and a class, or classes are numbered from 1.
    """
    path = Path(path)
    cells = _cells(path)
    fields = _columns(cells[0]) if cells else {}
    if set(_FIELDS) <= set(fields):
        cells = cells[1:]
    elif cells and all(len(row) >= 4 and not any(row[4:]) for row in cells):
        fields = {name: place for place, name in enumerate(_FIELDS)}
    else:
        raise ValueError(
            f"{path.name} is no list of a flow pack: it has neither four columns (dataset, subject, clip, class) nor a "
            "header with a data set, a subject, a clip and a label"
        )
    given = {re.sub(r"\.0*$", "", row[fields["label"]]) for row in cells if len(row) > fields["label"]}
    if "3" in given and "0" not in given:
        raise ValueError(f"{path.name} numbers its classes from 1; number them 0, 1 and 2 ({', '.join(CLASSES)})")
    rows: dict[str, dict[str, str]] = {}
    problems = []
    wrong = ""
    for number, row in enumerate(cells, 1):
        said = {name: row[place] if place < len(row) else "" for name, place in fields.items()}
        clip_id = reader_id(said["dataset"], said["subject"], said["filename"])
        label = _class_of(said["label"], clip_id.partition("/")[0])
        if not all(said[name] for name in _FIELDS[:3]):
            clip_id = f"list/({' '.join(row)[:40]})"
            problems.append((clip_id, "row", "no data set, subject or clip", "left out"))
        elif not label:
            wrong = wrong or said["label"]
            problems.append((clip_id, "label", f"class {said['label']!r} in {path.name}", "left out"))
        elif clip_id in rows:
            before = rows[clip_id]["label"]
            differs = "" if before == label else f", as {label} and before as {before}"
            problems.append((f"{clip_id}#{number}", "clip_id", f"again in row {number}{differs}", "left out"))
        else:
            dataset, subject, filename = clip_id.split("/", 2)
            rows[clip_id] = {
                "clip_id": clip_id, "dataset": dataset, "subject": subject, "filename": filename, "label": label,
                "image": said.get("image", ""),
            }  # fmt: skip
    if not rows:
        raise ValueError(
            f"{path.name} has a class {wrong!r}; classes are 0, 1 and 2 ({', '.join(CLASSES)})"
            if wrong
            else f"{path.name} is no list of a flow pack: no row names a clip"
        )
    return ClipIndex(pd.DataFrame(list(rows.values())), problem_table(problems), {"list": path.name})


def problem_table(problems: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    """Rows of ``clip_id, field, found, done``; one whose `done` begins with "left out" is not kept."""
    table = pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS[:4]), dtype=object)
    return table.assign(kept=~table["done"].astype(str).str.startswith("left out")).astype({"kept": bool})


def _class_of(text: str, dataset: str) -> str:
    """The class that a number or a word stands for, ``""`` for none."""
    number = re.fullmatch(r"([012])(?:\.0*)?", text)
    if number:
        return CLASSES[int(number[1])]
    word = canonical_emotion(text)
    short = [name for name in CLASSES if len(word) > 1 and name.startswith(word)]
    return short[0] if short else PROTOCOLS[PROTOCOL].rules.get(dataset, {}).get(word, "")


def _columns(header: list[str]) -> dict[str, int]:
    keys = [header_key(cell) for cell in header]
    found = {field: next((name for name in names if name in keys), None) for field, names in _HEADERS.items()}
    return {field: keys.index(name) for field, name in found.items() if name is not None}


def _cells(path: Path) -> list[list[str]]:
    """The rows of a text table, cells in plain signs; rows without any text are left out."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path.name} is no list of a flow pack: it has {path.stat().st_size:,} bytes")
    content = path.read_bytes()
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    lines = content.decode("utf-16" if wide else "utf-8-sig", errors="replace").replace("，", ",").splitlines()
    first = next((line for line in lines if line.strip()), "")
    try:
        rows = list(csv.reader(lines, delimiter=max(",;\t|", key=first.count)))
    except csv.Error as error:
        raise ValueError(f"{path.name} is no list of a flow pack: it cannot be read ({error})") from error
    return [cells for row in rows for cells in [[normalise_text(cell) for cell in row]] if any(cells)]
