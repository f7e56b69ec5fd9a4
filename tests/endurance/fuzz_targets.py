"""What is fuzzed: for each border of the library, spoiled inputs and what must hold of any of them.

A target passes where the library gives a sentence (``ValueError`` or ``FileNotFoundError``) or a result that keeps its
promises. Anything else, a ``TypeError`` among them, is a failure.
"""

from __future__ import annotations

import csv
import datetime
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import openpyxl
from hypothesis import strategies as st
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from PIL import Image
from tiny_clips import tiny_clips
from written_sets import written

import medn_lab.data
from medn_lab.data import FlowRecipe, au_table, parse_action_units, read_clip
from medn_lab.data.flow_pack import read_list
from medn_lab.data.frames import cv2, read_image
from medn_lab.model import MEDN, MEDNConfig, load_pretrained
from medn_lab.records import Clips, Predictions

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


def refused(call: Callable[[], object]) -> bool:
    """Whether a call says in a sentence that it cannot; other errors are failures and pass on."""
    said = None
    try:
        call()
    except SENTENCE as error:
        said = str(error)
    assert said is None or len(said) > 12, f"no sentence: {said!r}"
    return said is not None


# --- spoiling bytes -------------------------------------------------------------------------------------------------

_place = st.floats(0, 1, exclude_max=True)
spoiling = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), _place, st.integers(0, 7)),
        st.tuples(st.just("cut"), _place, st.none()),
        st.tuples(st.just("drop"), _place, st.integers(1, 64)),
        st.tuples(st.just("put"), _place, st.binary(min_size=1, max_size=16)),
        st.tuples(st.just("over"), _place, st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"-1"])),
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
        elif kind == "over":
            content = content[:place] + value + content[place + len(value) :]
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
    if sheet.suffix == ".csv":
        with open(sheet, encoding="utf-8-sig", newline="") as stream:
            cells = list(csv.reader(stream))
    else:
        book = openpyxl.load_workbook(sheet)
        cells = [["" if cell is None else cell for cell in row] for row in book.active.iter_rows(values_only=True)]
        book.close()
    return root, cells[:22]


odd_cells = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(), st.dates(datetime.date(1901, 1, 1)),
    st.datetimes(datetime.datetime(1901, 1, 1)), st.times(), st.text(max_size=12),
    st.sampled_from(
        ["=1+1", "=HYPERLINK(\"x\")", "#REF!", "#N/A", "nan", "1e400", "9" * 40, "9" * 5000, "-1", "0", "1.5", "٣",
         "１２", "../../etc/passwd", "/etc/passwd", "..\\x", "a\u202eb", "\ufeff1", "e\u0301", "\U0001f600",
         "<img src=x onerror=a>",
         "{0.__class__}", "{subject}", "%s", "a\nb", "sub01/../sub02", "\u00a0", "4-May", "12:30", "1,5", "'1", "inf"]
    ),
)  # fmt: skip
sheets = st.fixed_dictionaries(
    {
        "layout": st.sampled_from(LAYOUTS),
        "cells": st.lists(st.tuples(st.integers(0, 21), st.integers(0, 11), odd_cells), max_size=12),
        "merged": st.lists(
            st.tuples(st.integers(1, 20), st.integers(1, 8), st.integers(0, 5), st.integers(0, 3)), max_size=2
        ),
        "order": st.randoms(use_true_random=False),
        "shuffled": st.sampled_from(["no", "no", "rows", "columns"]),
        "blank": st.lists(st.integers(0, 20), max_size=2),
        "csv": st.booleans(),
        "bytes": st.one_of(st.none(), st.none(), st.none(), spoiling),
        "repair": st.booleans(),
    }
)  # fmt: skip


def check_sheet(told: dict, folder: Path) -> bool:
    root, original = data_set(told["layout"])
    cells = [list(row) for row in original]
    for row, column, value in told["cells"]:
        if row < len(cells) and column < len(cells[row]):
            cells[row][column] = value
    if told["shuffled"] == "rows":
        told["order"].shuffle(cells)
    elif told["shuffled"] == "columns":
        places = list(range(len(cells[0])))
        told["order"].shuffle(places)
        cells = [[row[place] for place in places if place < len(row)] for row in cells]
    for place in told["blank"]:
        cells.insert(place, [None] * len(cells[0]))
    path = _csv(cells, folder) if told["csv"] else _xlsx(cells, told["merged"], folder)
    if told["bytes"] is not None:
        path.write_bytes(spoiled(path.read_bytes(), told["bytes"]))
    read = []
    if refused(lambda: read.append(READ[told["layout"]](root, spreadsheet=path, repair=told["repair"]))):
        return True
    index = read[0]
    left_out = index.problems.loc[~index.problems["kept"].astype(bool), "clip_id"].nunique()
    assert len(index) + left_out == index.source["rows"], "a row of the sheet is neither a clip nor a problem"
    table = index.table
    assert (table["onset"] < table["offset"]).all()
    apex = table["apex"].astype(float)
    assert (apex.isna() | ((apex >= table["onset"]) & (apex <= table["offset"]))).all()
    assert np.isfinite(table["fps"]).all()
    assert (table["fps"] > 0).all()
    values = table[[name for name in table if name.startswith("AU") and name[2:].isdigit()]].to_numpy(float)
    assert np.isin(values[~np.isnan(values)], [0, 1]).all()
    inside = [Path(place).resolve().is_relative_to(root.resolve()) for place in table["frames_folder"]]
    assert all(inside), "a name in the sheet led out of the data set"
    assert index.problems["found"].str.len().notna().all()
    type(index).load(index.save(folder / "index"))
    return False


def _csv(cells: list[list], folder: Path) -> Path:
    path = folder / "coding.csv"
    with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="") as stream:
        csv.writer(stream).writerows([["" if cell is None else cell for cell in row] for row in cells])
    return path


def _xlsx(cells: list[list], merged: list[tuple], folder: Path) -> Path:
    book = openpyxl.Workbook()
    for row in cells:
        book.active.append([ILLEGAL_CHARACTERS_RE.sub("", c)[:32_000] if isinstance(c, str) else c for c in row])
    for row, column, down, right in merged:
        book.active.merge_cells(start_row=row, start_column=column, end_row=row + down, end_column=column + right)
    path = folder / "coding.xlsx"
    book.save(path)
    return path


# --- lists of flow packs --------------------------------------------------------------------------------------------

LIST = b"casme2,sub01,EP02_01f,1\ncasme2,sub01,EP03_02,0\nsmic,s1,s1_ne_01,0\nsamm,006,006_1_2,2\n"


def check_list(steps: list[tuple], folder: Path) -> bool:
    path = folder / "gt.csv"
    path.write_bytes(spoiled(LIST, steps))
    said = []
    if refused(lambda: said.append(read_list(path))):
        return True
    assert set(said[0][0]["label"]) <= {"negative", "positive", "surprise"}
    return False


# --- pictures and videos --------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def pictures() -> list[tuple[str, bytes]]:
    """One picture of each kind that a folder of frames may hold."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz_pictures_"))
    random = np.random.default_rng(0)
    rgb = cv2.resize(random.integers(0, 255, (6, 8, 3), dtype=np.uint8), (64, 48))
    picture = Image.fromarray(rgb)
    picture.save(folder / "a.png")
    picture.save(folder / "b.jpg", quality=80)
    picture.save(folder / "progressive.jpg", quality=80, progressive=True)
    picture.save(folder / "c.bmp")
    picture.save(folder / "d.tif", compression="tiff_lzw")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.convert("L").save(folder / "grey.png")
    picture.convert("P").save(folder / "palette.png")
    picture.save(folder / "moving.png", save_all=True, append_images=[picture.rotate(90)], duration=50)
    picture.save(folder / "pages.tif", save_all=True, append_images=[picture.rotate(90)])
    cv2.imwrite(str(folder / "deep.png"), rgb.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "deep.tif"), rgb.astype(np.uint16) * 257)
    made = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    shutil.rmtree(folder)
    return made


def check_picture(told: tuple[int, list[tuple]], folder: Path) -> bool:
    name, content = pictures()[told[0] % len(pictures())]
    path = folder / name
    path.write_bytes(spoiled(content, told[1]))
    read = []
    if refused(lambda: read.append(read_image(path))):
        return True
    image = read[0]
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.dtype == np.uint8
    return False


@lru_cache(maxsize=1)
def video() -> bytes:
    path = Path(tempfile.mkdtemp(prefix="fuzz_video_")) / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 64))
    random = np.random.default_rng(0)
    for _ in range(5):
        writer.write(cv2.resize(random.integers(0, 255, (8, 8, 3), dtype=np.uint8), (64, 64)))
    writer.release()
    content = path.read_bytes()
    shutil.rmtree(path.parent)
    return content


COARSE = FlowRecipe(name="coarse", size=16, compute_size=32, n_frames=2, register=False)


def check_video(steps: list[tuple], folder: Path) -> bool:
    path = folder / "v.avi"
    path.write_bytes(spoiled(video(), steps))
    made = []
    if refused(lambda: made.append(read_clip(path, recipe=COARSE, crop="none"))):
        return True
    assert np.isfinite(made[0].flow).all()
    row = made[0].table.iloc[0]
    assert row["onset"] < row["apex"] <= row["offset"]
    assert np.isfinite(row["fps"])
    assert row["fps"] > 0
    return False


# --- cards, models and records --------------------------------------------------------------------------------------

any_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@lru_cache(maxsize=1)
def model_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fuzz_model_")) / "model"
    MEDN(MEDNConfig(size=16, patch=8, dim=8, heads=1, n_frames=2, aus=("AU4",), classes=("a", "b"))).save_pretrained(
        folder
    )
    (folder / "figures.json").write_text(json.dumps({"accuracy": 0.5}))
    return folder


cards = st.tuples(
    st.sampled_from(["config.json", "figures.json", "model.safetensors", "model.sha256"]),
    st.one_of(
        st.tuples(st.just("field"), st.integers(0, 20), any_json), st.tuples(st.just("whole"), st.just(0), any_json),
        st.tuples(st.just("bytes"), st.just(0), spoiling),
    ),
)  # fmt: skip


def check_card(told: tuple, folder: Path) -> bool:
    shutil.copytree(model_folder(), folder / "model")
    name, (how, place, value) = told
    file = folder / "model" / name
    if how == "bytes" or not name.endswith(".json"):
        file.write_bytes(spoiled(file.read_bytes(), value if how == "bytes" else [("cut", 0.5, None)]))
    elif how == "whole":
        file.write_text(json.dumps(value))
    else:
        card = json.loads(file.read_text())
        card[list(card)[place % len(card)]] = value
        file.write_text(json.dumps(card))
    loaded = []
    if refused(lambda: loaded.append(load_pretrained(folder / "model"))):
        return True
    assert (folder / "model" / "model.safetensors").read_bytes() == (model_folder() / "model.safetensors").read_bytes()
    return False


def check_json(told: tuple[str, dict], folder: Path) -> bool:
    maker = {"recipe": FlowRecipe, "config": MEDNConfig}[told[0]]
    return refused(lambda: maker.from_json(json.dumps(told[1])))


fields = st.sampled_from(
    ["name", "method", "compute_size", "size", "n_frames", "coding", "outside", "blur", "register", "classes", "aus",
     "dim", "patch", "depth", "heads", "keep_rates", "branches", "fusion", "decoupling", "dropout"]
)  # fmt: skip


@lru_cache(maxsize=1)
def saved_records() -> tuple[Path, dict[str, str]]:
    """A prepared set and predictions on the disk, and what they hold."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz_records_"))
    clips = tiny_clips(n_subjects=1, clips_per_subject=2, size=16)
    clips.save(folder / "Clips")
    said = Predictions(
        np.ones((2, 2), np.float32), clips.table, ("a", "b"), fold=np.zeros(2, int), source={"name": "m"}
    )
    said.save(folder / "Predictions")
    return folder, {kind: _content(kind, folder / kind) for kind in ("Clips", "Predictions")}


def _content(kind: str, path: Path) -> str:
    record = {"Clips": Clips, "Predictions": Predictions}[kind].load(path)
    arrays = {"Clips": ("frames", "flow"), "Predictions": ("logits", "fold")}[kind]
    return record.table.to_csv() + "".join(str(np.asarray(getattr(record, name)).tobytes()) for name in arrays)


records = st.tuples(st.sampled_from(["Clips", "Predictions"]), st.integers(0, 20), spoiling)


def check_record(told: tuple[str, int, list[tuple]], folder: Path) -> bool:
    kind, place, steps = told
    source, whole = saved_records()
    shutil.copytree(source / kind, folder / "record")
    file = sorted((folder / "record").iterdir())[place % len(list((folder / "record").iterdir()))]
    file.write_bytes(spoiled(file.read_bytes(), steps))
    read = []
    if refused(lambda: read.append(_content(kind, folder / "record"))):
        return True
    assert read[0] == whole[kind], "a spoiled record loads as another one"
    return False


TARGETS = {
    "action_units": Target(au_texts, check_au, 200),
    "spreadsheets": Target(sheets, check_sheet, 40),
    "flow_pack_lists": Target(spoiling, check_list, 60),
    "pictures": Target(st.tuples(st.integers(0, 11), spoiling), check_picture, 200),
    "videos": Target(spoiling, check_video, 25),
    "model_folders": Target(cards, check_card, 40),
    "configurations": Target(
        st.tuples(st.sampled_from(["recipe", "config"]), st.dictionaries(fields, any_json, max_size=4) | any_json),
        check_json, 150,
    ),
    "records": Target(records, check_record, 60),
}  # fmt: skip


@cache
def warm_up() -> None:
    """Make everything that the targets start from."""
    for layout in LAYOUTS:
        data_set(layout)
    for make in (pictures, video, model_folder, saved_records):
        make()
