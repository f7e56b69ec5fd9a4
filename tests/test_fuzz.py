"""Spoiled inputs give a sentence or a result that keeps its promises: the same inputs in every run of the suite.

A target passes where the library raises ``ValueError`` or ``FileNotFoundError``, or returns something that holds; any
other error is a failure. ``make fuzz`` tries FUZZ_TIMES as many, other ones in each run.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_clips import tiny_clips
from written_sets import is_accounted_for, shared_set

from medn_lab.data import au_table, parse_action_units, read_dataset, read_image
from medn_lab.data.flow_pack import read_list
from medn_lab.data.frames import cv2
from medn_lab.records import Clips


def attempt(call):
    """What a call returns, None where it says in a sentence that it cannot."""
    try:
        return call()
    except (ValueError, FileNotFoundError) as error:
        if len(str(error)) <= 12:
            raise AssertionError("no sentence") from error
        return None


_place = st.floats(0, 1, exclude_max=True)
spoiling = st.lists(st.tuples(_place, st.integers(0, 64), st.binary(max_size=8)), min_size=1, max_size=4)


def spoiled(content: bytes, steps: list[tuple]) -> bytes:
    """The content with some bytes after a place replaced by others; 64 is all of them."""
    for where, count, put in steps:
        place = int(where * len(content))
        content = content[:place] + put + (content[place + count :] if count < 64 else b"")
    return content


au_texts = st.one_of(
    st.text(max_size=40), st.text(alphabet="0123456789LRTBAUECDorefk+/(), ?-.x:;&=#\n", max_size=60),
    st.lists(st.sampled_from(["4", "L12", "or", "ref(", ")", "(", "?", "/", "+", "AU", "12A", "B28"])).map("".join),
    st.dates().map(str), st.floats(), st.integers(), st.none(), st.booleans(),
)  # fmt: skip


def check_au(text: object, folder: Path) -> bool:
    for rule in ("first", "all", "common"):
        read = parse_action_units(text, alternatives=rule, side="keep")
        assert read.known or not read.units
        assert set(read.numbers) <= {unit.number for unit in read.mentions} & set(range(1, 47))
    values = au_table([text], aus=range(1, 47)).to_numpy()
    assert np.isin(values[~np.isnan(values)], [0, 1]).all()
    assert read.known or np.isnan(values).all()
    return not read.known


ODD = ["", "=1+1", "#REF!", "nan", "1e400", "9" * 40, "-1", "٣", "../../etc/passwd", "{0.__class__}", "1,5"]
odd_cells = st.integers(-(10**12), 10**12).map(str) | st.floats().map(str) | st.text(max_size=12) | st.sampled_from(ODD)
sheets = st.tuples(
    st.sampled_from(["casme2", "samm", "smic"]),
    st.lists(st.tuples(st.integers(0, 37), st.integers(0, 11), odd_cells), max_size=12),
    st.permutations(range(38)) | st.just(range(38)),
    st.none() | st.none() | spoiling,
    st.booleans(),
)


def check_sheet(drawn: tuple, folder: Path) -> bool:
    layout, cells, order, steps, repair = drawn
    root, path = shared_set(layout)[0], folder / "coding.csv"
    table = pd.read_excel(next(root.glob("*.xlsx")), header=None, dtype=str, keep_default_na=False)
    table = table.reindex([place for place in order if place < len(table)])
    for row, column, value in cells:
        if row < len(table) and column < table.shape[1]:
            table.iloc[row, column] = value.encode("utf-8", "ignore").decode()
    table.to_csv(path, header=False, index=False)
    if steps is not None:
        path.write_bytes(spoiled(path.read_bytes(), steps))
    index = attempt(lambda: read_dataset(root, layout=layout, spreadsheet=path, repair=repair))
    if index is None:
        return True
    assert is_accounted_for(index), "a row of the sheet is neither a clip nor a problem"
    table, apex = index.table, index.table["apex"].astype(float)
    assert (table["onset"] < table["offset"]).all()
    assert (apex.isna() | ((apex >= table["onset"]) & (apex <= table["offset"]))).all()
    values = table[[name for name in table if name.startswith("AU") and name[2:].isdigit()]].to_numpy(float)
    assert np.isin(values[~np.isnan(values)], [0, 1]).all()
    assert all(Path(place).resolve().is_relative_to(root.resolve()) for place in table["frames_folder"])
    type(index).load(index.save(folder / "index"))
    return False


def check_list(steps: list[tuple], folder: Path) -> bool:
    path, whole = folder / "gt.csv", b"casme2,sub01,EP02_01f,1\nsmic,s1,s1_ne_01,0\nsamm,006,006_1_2,2\n"
    path.write_bytes(spoiled(whole, steps))
    read = attempt(lambda: read_list(path))
    assert read is None or set(read[0]["label"]) <= {"negative", "positive", "surprise"}
    return read is None


def check_picture(drawn: tuple, folder: Path) -> bool:
    kind, steps = drawn
    rgb = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    content = cv2.imencode(kind, rgb.astype(np.uint16) * 257 if kind == ".tif" else rgb)[1].tobytes()
    (folder / f"a{kind}").write_bytes(spoiled(content, steps))
    image = attempt(lambda: read_image(folder / f"a{kind}"))
    assert image is None or (image.ndim, image.shape[2], image.dtype) == (3, 3, np.uint8)
    return image is None


def check_record(drawn: tuple, folder: Path) -> bool:
    def content() -> str:
        clips = Clips.load(folder / "record")
        return clips.table.to_csv() + str(np.asarray(clips.frames).tobytes()) + str(np.asarray(clips.flow).tobytes())

    tiny_clips(n_subjects=1, clips_per_subject=2, size=16).save(folder / "record")
    whole, files = content(), sorted((folder / "record").iterdir())
    file = files[drawn[0] % len(files)]
    file.write_bytes(spoiled(file.read_bytes(), drawn[1]))
    read = attempt(content)
    assert read in (None, whole), "a spoiled record loads as another one"
    return read is None


TARGETS = {
    "action_units": (au_texts, check_au, 60),
    "spreadsheets": (sheets, check_sheet, 25),
    "flow_pack_lists": (spoiling, check_list, 40),
    "pictures": (st.tuples(st.sampled_from([".png", ".jpg", ".bmp", ".tif"]), spoiling), check_picture, 60),
    "records": (st.tuples(st.integers(0, 20), spoiling), check_record, 30),
}
"""Inputs, what must hold of one (True where it was refused), and how many the suite tries."""

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # decoders warn of what they are given here
@pytest.mark.parametrize("name", list(TARGETS))
def test_spoiled_input_gives_a_sentence_or_a_result_that_keeps_its_promises(name):
    inputs, check, count = TARGETS[name]
    outcomes = []

    def one(value):
        with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
            outcomes.append(check(value, Path(folder)))

    untimed = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    settings(max_examples=TIMES * count, derandomize=TIMES == 1, **untimed)(given(inputs)(one))()
    assert 0 < sum(outcomes) < len(outcomes), "all inputs were refused, or none"
