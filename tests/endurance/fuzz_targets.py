"""What is fuzzed: for each border of the library, spoiled inputs and what must hold of any of them.

A target passes where the library gives a sentence (``ValueError`` or ``FileNotFoundError``) or a result that keeps its
promises. Anything else, a ``TypeError`` among them, is a failure.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from PIL import Image
from tiny_clips import tiny_clips
from written_sets import is_accounted_for, written

import medn_lab.data
from medn_lab.data import au_table, parse_action_units
from medn_lab.data.flow_pack import read_list
from medn_lab.data.frames import cv2, read_image
from medn_lab.records import Clips

SENTENCE = (ValueError, FileNotFoundError)


@dataclass(frozen=True)
class Target:
    """One border.

    Attributes
    ----------
    inputs : SearchStrategy
    check : callable
        One input and an empty folder; raises where the library breaks a promise. Returns whether the input was refused.
    in_suite : int
        Inputs that the suite tries.
    """

    inputs: st.SearchStrategy
    check: Callable[[object, Path], bool]
    in_suite: int


def attempt(call: Callable[[], object]) -> object:
    """What a call returns, None where it says in a sentence that it cannot; other errors are failures and pass on."""
    try:
        return call()
    except SENTENCE as error:
        if len(str(error)) <= 12:
            raise AssertionError("no sentence") from error
        return None


# --- spoiling bytes -------------------------------------------------------------------------------------------------

_place = st.floats(0, 1, exclude_max=True)
spoiling = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), _place, st.integers(0, 7)),
        st.tuples(st.just("cut"), _place, st.none()),
        st.tuples(st.just("drop"), _place, st.integers(1, 64)),
        st.tuples(st.just("put"), _place, st.binary(min_size=1, max_size=16)),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


def spoiled(content: bytes, steps: list[tuple]) -> bytes:
    for kind, where, value in steps:
        place = int(where * len(content))
        if kind == "flip" and content:
            content = content[:place] + bytes([content[place] ^ (1 << value)]) + content[place + 1 :]
        elif kind == "cut":
            content = content[:place]
        elif kind == "drop":
            content = content[:place] + content[place + value :]
        elif kind == "put":
            content = content[:place] + value + content[place:]
    return content


# --- Action Units ---------------------------------------------------------------------------------------------------

au_texts = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="0123456789LRTBAUECDorefk+/(), ?-.x:;&=#\n", max_size=60),
    st.lists(st.sampled_from(["4", "L12", "or", "ref(", ")", "(", "?", "/", "+", "AU", "12A", "B28"]), max_size=20)
    .map("".join), st.dates().map(str), st.datetimes().map(str), st.floats().map(str), st.floats(), st.integers(),
    st.none(), st.booleans(),
)  # fmt: skip


def check_au(text: object, folder: Path) -> bool:
    for rule in ("first", "all", "common"):
        read = parse_action_units(text, alternatives=rule, side="keep")
        assert read.known or not read.units
        assert set(read.numbers) <= {unit.number for unit in read.mentions()}
        assert all(1 <= number <= 46 for number in read.numbers)
    values = au_table([text], aus=range(1, 47)).to_numpy()
    assert np.isin(values[~np.isnan(values)], [0, 1]).all()
    assert read.known or np.isnan(values).all()
    return not read.known


# --- spreadsheets ---------------------------------------------------------------------------------------------------

LAYOUTS = ("casme2", "samm", "smic", "casme3", "mmew", "4dme", "casme", "dfme")
READ = {name: getattr(medn_lab.data, f"read_{name}") for name in LAYOUTS}


@cache
def data_set(layout: str) -> tuple[Path, list[list[str]]]:
    """A small data set on the disk, and the cells of its spreadsheet."""
    root = Path(tempfile.mkdtemp(prefix=f"fuzz_{layout}_"))
    written(root, layout, size=64, fps=15)
    sheet = next(path for path in sorted(root.rglob("*")) if path.suffix in (".xlsx", ".csv"))
    read = pd.read_csv if sheet.suffix == ".csv" else pd.read_excel
    return root, read(sheet, header=None, dtype=str, keep_default_na=False).values.tolist()[:22]


odd_cells = st.one_of(
    st.none(), st.integers(-(10**12), 10**12), st.floats(), st.text(max_size=12),
    st.sampled_from(
        ["=1+1", "#REF!", "nan", "1e400", "9" * 40, "-1", "0", "1.5", "٣", "１２", "../../etc/passwd", "a\u202eb",
         "{0.__class__}", "{subject}", "%s", "a\nb", "sub01/../sub02", "\u00a0", "4-May", "12:30", "1,5", "inf"]
    ),
)  # fmt: skip
sheets = st.fixed_dictionaries(
    {
        "layout": st.sampled_from(LAYOUTS),
        "cells": st.lists(st.tuples(st.integers(0, 21), st.integers(0, 11), odd_cells), max_size=12),
        "order": st.permutations(range(22)) | st.just(range(22)),
        "bytes": st.one_of(st.none(), st.none(), st.none(), spoiling),
        "repair": st.booleans(),
    }
)


def check_sheet(given: dict, folder: Path) -> bool:
    root, original = data_set(given["layout"])
    cells = [list(original[place]) for place in given["order"] if place < len(original)]
    for row, column, value in given["cells"]:
        if row < len(cells) and column < len(cells[row]):
            cells[row][column] = value
    path = folder / "coding.csv"
    with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="") as stream:
        csv.writer(stream).writerows([["" if cell is None else cell for cell in row] for row in cells])
    if given["bytes"] is not None:
        path.write_bytes(spoiled(path.read_bytes(), given["bytes"]))
    index = attempt(lambda: READ[given["layout"]](root, spreadsheet=path, repair=given["repair"]))
    if index is None:
        return True
    assert is_accounted_for(index), "a row of the sheet is neither a clip nor a problem"
    table = index.table
    assert (table["onset"] < table["offset"]).all()
    apex = table["apex"].astype(float)
    assert (apex.isna() | ((apex >= table["onset"]) & (apex <= table["offset"]))).all()
    assert ((table["fps"] > 0) & np.isfinite(table["fps"])).all()
    values = table[[name for name in table if name.startswith("AU") and name[2:].isdigit()]].to_numpy(float)
    assert np.isin(values[~np.isnan(values)], [0, 1]).all()
    inside = [Path(place).resolve().is_relative_to(root.resolve()) for place in table["frames_folder"]]
    assert all(inside), "a name in the sheet led out of the data set"
    type(index).load(index.save(folder / "index"))
    return False


# --- lists of flow packs --------------------------------------------------------------------------------------------

LIST = b"casme2,sub01,EP02_01f,1\ncasme2,sub01,EP03_02,0\nsmic,s1,s1_ne_01,0\nsamm,006,006_1_2,2\n"


def check_list(steps: list[tuple], folder: Path) -> bool:
    path = folder / "gt.csv"
    path.write_bytes(spoiled(LIST, steps))
    read = attempt(lambda: read_list(path))
    assert read is None or set(read[0]["label"]) <= {"negative", "positive", "surprise"}
    return read is None


# --- pictures and videos --------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def pictures() -> list[tuple[str, bytes]]:
    """One picture of each kind that a folder of frames may hold."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz_pictures_"))
    random = np.random.default_rng(0)
    rgb = cv2.resize(random.integers(0, 255, (6, 8, 3), dtype=np.uint8), (64, 48))
    picture = Image.fromarray(rgb)
    picture.save(folder / "a.png")
    picture.save(folder / "progressive.jpg", quality=80, progressive=True)
    picture.save(folder / "c.bmp")
    picture.save(folder / "pages.tif", save_all=True, append_images=[picture.rotate(90)])
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.convert("P").save(folder / "palette.png")
    cv2.imwrite(str(folder / "deep.png"), rgb.astype(np.uint16) * 257)
    made = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    shutil.rmtree(folder)
    return made


def check_picture(given: tuple[int, list[tuple]], folder: Path) -> bool:
    name, content = pictures()[given[0] % len(pictures())]
    path = folder / name
    path.write_bytes(spoiled(content, given[1]))
    image = attempt(lambda: read_image(path))
    assert image is None or (image.ndim, image.shape[2], image.dtype) == (3, 3, np.uint8)
    return image is None


# --- records --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def saved_clips() -> tuple[Path, str]:
    """A prepared set on the disk, and what it holds."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz_records_")) / "Clips"
    tiny_clips(n_subjects=1, clips_per_subject=2, size=16).save(folder)
    return folder, _content(folder)


def _content(folder: Path) -> str:
    clips = Clips.load(folder)
    return clips.table.to_csv() + str(np.asarray(clips.frames).tobytes()) + str(np.asarray(clips.flow).tobytes())


def check_record(given: tuple[int, list[tuple]], folder: Path) -> bool:
    source, whole = saved_clips()
    shutil.copytree(source, folder / "record")
    files = sorted((folder / "record").iterdir())
    file = files[given[0] % len(files)]
    file.write_bytes(spoiled(file.read_bytes(), given[1]))
    read = attempt(lambda: _content(folder / "record"))
    assert read in (None, whole), "a spoiled record loads as another one"
    return read is None


TARGETS = {
    "action_units": Target(au_texts, check_au, 60),
    "spreadsheets": Target(sheets, check_sheet, 25),
    "flow_pack_lists": Target(spoiling, check_list, 40),
    "pictures": Target(st.tuples(st.integers(0, 11), spoiling), check_picture, 100),
    "records": Target(st.tuples(st.integers(0, 20), spoiling), check_record, 40),
}
