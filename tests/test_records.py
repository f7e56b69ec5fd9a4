"""The records: what is saved comes back whole or not at all, rows follow their clip_id, and what is wrong is named."""

import dataclasses
import errno
import json
import os
import zipfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses
from hypothesis import given, settings
from hypothesis import strategies as st

from medn_lab import records as r
from medn_lab.records import Clips, Predictions, atomic_write, frame_numbers, storage

TEXTS = st.text(st.characters(exclude_categories=["C"]), max_size=8)
WRITTEN_BY_0_1_0 = Path(__file__).with_name("written_by_0_1_0") / "records.zip"


def a_table() -> pd.DataFrame:
    """Three clips of two subjects with every trap of a spreadsheet: 01, an empty text, NA as a word, an unknown AU."""
    columns = {
        "clip_id": ["c0", "c1", "c2"], "dataset": "casme2", "subject": ["01", "01", "02"], "onset": [10, 20, 30],
        "apex": [15.0, np.nan, 35.0], "fps": 200.0, "emotion": ["surprise", "", "NA"],
        "action_units": ["4", "L4+R10", "?"], "AU4": [1.0, np.nan, 0.0], "score": [0.1, 1 / 3, 2.0**-40],
        "take": ["007", "1e5", "010"],
    }  # fmt: skip
    return pd.DataFrame(columns)


def a_truth() -> r.Truth:
    random = np.random.default_rng(0)
    displacement = random.normal(size=(3, 4, 5, 2)).astype(np.float16)
    masks, cue_mask = random.random((2, 2, 4, 5)) > 0.5, random.random((2, 4, 5)) > 0.5
    course, table = random.normal(size=(3, 6)).astype(np.float32), a_table()[["clip_id", "subject"]]
    return r.Truth(table, displacement, masks, cue_mask, course, subjects=("01", "02"), aus=("AU4", "AU12"))


def some_clips(**changes: object) -> Clips:
    random = np.random.default_rng(1)
    frames = random.integers(0, 256, (3, 6, 4, 5, 3), dtype=np.uint8)
    flow = random.normal(size=(3, 4, 5, 2)).astype(np.float32)
    problems = {"clip_id": ["c1", "gone"], "field": "apex", "found": ["/", "0"], "done": "none", "kept": [True, False]}
    recipe = {"flow": "dis", "size": 64, "mask": True}
    return dataclasses.replace(Clips(frames, flow, a_table(), recipe, problems=pd.DataFrame(problems)), **changes)


def records() -> dict[str, object]:
    random = np.random.default_rng(2)
    logits, au_logits = (random.normal(size=(3, width)).astype(np.float32) for width in (2, 1))
    fold, plane = np.array([0, 0, 1]), np.random.default_rng(3).normal(size=(3, 2)).astype(np.float32)
    report = {"measure": ["linear_cka"], "value": [0.1], "null_mean": [np.nan], "p": [1 / 3], "direction": ["lower"]}
    epochs = pd.DataFrame({"epoch": [1, 2], "seconds": 0.5, "loss": [1.5, 1 / 3], "accuracy": [0.5, 0.75]})
    figures = {"method": "umap", "seed": 0}, {"motion": 0.9}, {"motion": 0.8}
    masks = np.random.default_rng(4).random((3, 2, 4, 4)) > 0.5
    rates = {"keep_rates": (0.5, 0.25), "kept_shares": (0.5, 0.25)}
    own, flow = ("own", {"name": "tiny"}), np.ones((3, 4, 5, 2), np.float32)
    return {
        "index": r.ClipIndex(a_table(), some_clips().problems, {"root": "casme2", "coding": "2019"}),
        "clips": some_clips(),
        "synthetic": some_clips(truth=a_truth()),
        "flow": some_clips(frames=None),
        "frames": some_clips(flow=None),
        "predictions": Predictions(logits, a_table(), ("surprise", "others"), au_logits, ("AU4",), fold, *own),
        "logits": Predictions(plane, a_table(), ("a", "b")),
        "features": r.BranchFeatures(plane, None, plane + 1, a_table(), source={"name": "tiny", "weights": "ab12"}),
        "embedding": r.Embedding(plane, plane * 2, None, a_table(), *figures, layers={"gate": plane + 2}),
        "attribution": r.Attribution(None, flow, a_table(), "surprise", "motion", "occlusion", {"mass": 0.5}),
        "kept": r.KeptTokens(masks, plane[:, :1, None] * np.ones((4, 4), np.float32), plane, a_table(), **rates),
        "report": r.DecouplingReport(pd.DataFrame(report), {"name": "tiny"}),
        "history": r.History(epochs, {"seed": 0, "size": [4, 5]}, "stopped"),
    }


def assert_same(one: object, other: object) -> None:
    """Equal in type and content, arrays bit by bit, tables with their types."""
    assert type(one) is type(other)
    for name in (field.name for field in dataclasses.fields(one)):
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, pd.DataFrame):
            pd.testing.assert_frame_equal(a, b, check_dtype=False, check_exact=True)
        elif dataclasses.is_dataclass(a):
            assert_same(a, b)
        else:
            np.testing.assert_equal(dict(a) if name == "layers" else a, dict(b) if name == "layers" else b)
            assert getattr(a, "dtype", None) == getattr(b, "dtype", None)


@pytest.mark.parametrize(("name", "record"), records().items(), ids=records())
def test_every_record_is_frozen_comes_back_also_from_0_1_0_and_replaces_only_its_own_kind(name, record, tmp_path):
    kind, place = type(record).__name__, tmp_path / "deep" / "record"
    for _ in range(2):
        assert_same(record, type(record).load(record.save(place)))
    assert [path.name for path in place.parent.iterdir()] == ["record"]
    assert_refuses(storage.read_parts, place, "Other", match=rf"holds a {kind}, not a Other; load it with {kind}\.load")
    assert_refuses(storage.write_parts, place, "Other", {}, match="nothing was written", error=FileExistsError)
    assert_refuses(setattr, record, "table", None, match="table", error=dataclasses.FrozenInstanceError)
    assert repr(record).startswith(kind)
    assert str(len(record.table)) in repr(record)
    with zipfile.ZipFile(WRITTEN_BY_0_1_0) as archive:
        archive.extractall(tmp_path / "old")
    assert_same(record, type(record).load(tmp_path / "old" / name))


def test_ids_become_text_the_callers_table_is_not_touched_and_faulty_tables_are_named():
    mine = pd.DataFrame({"clip_id": [7, 8], "subject": [1, 2], "emotion": "fear"}, index=[5, 6])
    table = r.ClipIndex(mine.assign(AU4=pd.array([1, None], "Int64"))).table
    np.testing.assert_array_equal(table["AU4"], [1.0, np.nan])
    assert table[["clip_id", "subject"]].to_numpy().tolist() == [["7", "1"], ["8", "2"]]
    table.loc[0, "emotion"] = "changed"
    assert (list(mine.index), list(table.index), mine["emotion"].iloc[0]) == ([5, 6], [0, 1], "fear")
    for wrong, facts in (
        ({"clip_id": ["a", "b", "a"], "subject": "1"}, "1 clip_ids more than once, such as 'a'"),
        ({"clip_id": ["a", "  "], "subject": "1"}, "clip_id"),
        ({"clip_id": ["a"], "fps": [200]}, "lacks subject; it has clip_id, fps"),
        ({"clip_id": ["a"], "subject": "1", "AU12": ["yes"]}, "AU12 .*'yes'"),
    ):
        assert_refuses(r.ClipIndex, pd.DataFrame(wrong), match=facts)


@settings(max_examples=30)
@given(st.lists(st.tuples(TEXTS, st.floats(allow_infinity=False)), min_size=1, max_size=5))
def test_any_text_and_any_number_survive_the_csv(tmp_path_factory, rows):
    table = pd.DataFrame(rows, columns=["emotion", "value"])
    folder = storage.write_parts(tmp_path_factory.mktemp("csv") / "rows", "Rows", {"tables": {"rows": table}})
    again = storage.read_parts(folder, "Rows")["tables"]["rows"]
    assert list(again["emotion"]) == [text for text, _ in rows]
    np.testing.assert_array_equal(again["value"].to_numpy(float), [number for _, number in rows])


def test_full_width_and_typographic_signs_become_plain_ones():
    for written, plain in {
        "４，７、８": "4,7,8", "（6／12）？": "(6/12)?", "\ufeffOn\u200bset\u3000Frame\u00a0": "Onset Frame",
        "2–3": "2-3", "a\r\n b": "a b", 4: "4", None: "", np.float32("nan"): "", pd.NA: "",
    }.items():  # fmt: skip
        assert r.normalise_text(written) == r.normalise_text(plain) == plain


def test_rows_of_clips_and_truth_follow_the_ids_in_the_order_named():
    truth, order = a_truth(), [2, 0, 1]
    rows = {"displacement": truth.displacement[order], "cue_course": truth.cue_course[order]}
    clips = some_clips(truth=dataclasses.replace(truth, table=truth.table.iloc[order], **rows))
    chosen = clips.select(["c2", "c0"])
    assert list(chosen.table["clip_id"]) == list(chosen.truth.table["clip_id"]) == ["c2", "c0"]
    np.testing.assert_array_equal(chosen.frames, clips.frames[[2, 0]])
    np.testing.assert_array_equal(chosen.truth.displacement, truth.displacement[[2, 0]])
    np.testing.assert_array_equal(chosen.truth.cue_course, truth.cue_course[[2, 0]])
    np.testing.assert_array_equal(chosen.truth.au_mask("c2", "AU12"), truth.au_masks[1, 1])
    np.testing.assert_array_equal(chosen.truth.cue_region("c2"), truth.cue_mask[1, 0])
    assert len(clips.select("c1")) == 1, "one id is one clip, not its letters"
    assert list(clips.select(["c1", "c2"]).problems["clip_id"]) == ["c1"], "problems of other clips stay behind"
    relabelled = clips.with_table(clips.table.iloc[[2, 1]].assign(label=["x", "y"]))
    np.testing.assert_array_equal(relabelled.flow, clips.flow[[2, 1]])
    assert list(relabelled.table["label"]) == ["x", "y"]
    assert list(clips.where(subject=["01", "02"], emotion="NA").table["clip_id"]) == ["c2"]
    assert_refuses(clips.select, [], match="selection is empty.* 3")
    assert_refuses(clips.where, emotion="fear", match="none of 3 clips has emotion='fear'")
    assert_refuses(clips.select, ["c0", "x"], match="1 of 2 clips are not in this Clips.*'x'.*'c0'")
    assert_refuses(clips.select, ["c0", "c0"], match="more than once, such as 'c0'")
    for name in ("predictions", "features", "embedding", "attribution", "kept"):
        record = records()[name]
        chosen = record.select(["c2", "c1"])
        for field in (field.name for field in dataclasses.fields(record)):
            whole, part = (getattr(one, field) for one in (record, chosen))
            if isinstance(whole, np.ndarray):
                np.testing.assert_array_equal(part, whole[[2, 1]])
        if name == "embedding":
            np.testing.assert_array_equal(chosen.maps["gate"], record.maps["gate"][[2, 1]])


def test_what_does_not_fit_together_is_refused():
    every = records()
    change, predictions, embedding = dataclasses.replace, every["predictions"], every["embedding"]
    assert_refuses(some_clips, frames=np.zeros((3, 6, 4, 5, 3)), match="uint8.* float64")
    assert_refuses(change, predictions, classes=("a",), match=r"logits are \(3, 2\) but there are 1 classes")
    assert_refuses(change, predictions, logits=np.array([[0.0, 1], [2, 3], [4, np.nan]]), match="1 of 3 .*'c2'")
    assert_refuses(change, embedding, layers={"gate": np.zeros((2, 2))}, match=r"gate map is \(2, 2\).*3 clips")


def test_probabilities_are_the_softmax_and_those_of_aus_the_logistic_function():
    logits = np.log(np.array([[1.0, 3.0], [1.0, 1.0], [9.0, 1.0]]))
    predictions = Predictions(logits, a_table(), ("a", "b"), au_logits=logits, aus=("AU1", "AU2"))
    np.testing.assert_allclose(predictions.probabilities, [[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]])
    np.testing.assert_allclose(predictions.au_probabilities, [[0.5, 0.75], [0.5, 0.5], [0.9, 0.5]])
    assert list(predictions.predicted) == ["b", "a", "a"], "on a tie the earlier class"
    far = np.array([[1e4, -1e4]] * 3, dtype=np.float32)  # neither overflows nor warns
    predictions = Predictions(far, a_table(), ("a", "b"), au_logits=far, aus=("AU1", "AU2"))
    np.testing.assert_array_equal([predictions.probabilities[0], predictions.au_probabilities[0]], [[1, 0]] * 2)


def test_clips_of_other_classes_are_neither_right_nor_wrong():
    shares = {"0.667 of them right": ["a", "b", "a"], "1.000 of the 1 of these": ["a", "contempt", None]}
    for shown, labels in shares.items():
        assert shown in repr(Predictions(np.eye(2)[[0, 0, 0]], a_table().assign(label=labels), ("a", "b")))
    assert "right" not in repr(Predictions(np.eye(2)[[0, 0, 0]], a_table().assign(label="fear"), ("a", "b")))


@settings(max_examples=40)
@given(st.integers(0, 3000), st.integers(0, 400), st.integers(0, 400), st.integers(2, 40))
def test_frames_run_from_onset_to_offset_evenly_without_stepping_back_and_meet_the_apex(onset, rise, fall, n):
    apex, offset = onset + rise, onset + rise + fall
    numbers = frame_numbers(onset, apex, offset, n)
    assert (len(numbers), numbers[0], numbers[-1]) == (n, onset, offset)
    assert (np.diff(numbers) >= 0).all()
    assert n == 2 or apex in numbers
    assert (np.abs(numbers - np.linspace(onset, offset, n)) > 0.5).sum() <= 1, "only the one at the apex is moved"
    for wrong, facts in (((0, 1, 2, 1), r"2 frames.* 1$"), ((10, 30, 20, 8), r"10.*30.*20")):
        assert_refuses(frame_numbers, *wrong, match=facts)


@pytest.fixture
def folder(tmp_path):
    return some_clips().save(tmp_path / "set")


def names(path):
    return sorted(one.name for one in path.iterdir())


def test_loaded_clips_stay_on_the_disk_read_only_and_can_be_saved_over_themselves(folder):
    clips = Clips.load(folder)
    assert isinstance(clips.frames, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        clips.frames[0] = 0
    clips.select(["c2"]).save(folder)
    np.testing.assert_array_equal(clips.frames, some_clips().frames, "who has opened the old set keeps it")
    np.testing.assert_array_equal(Clips.load(folder).frames, some_clips().frames[[2]])
    assert names(folder.parent) == ["set"]


def test_a_failed_save_leaves_the_old_folder_whole_and_what_is_no_record_is_not_replaced(folder, monkeypatch):
    mine = folder.parent / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    assert_refuses(some_clips().save, mine, match="nothing was written", error=FileExistsError)
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert_refuses(some_clips(recipe={"model": object()}).save, folder, match="object", error=TypeError)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(OSError, match=f"disk is full.*{folder}") as found:
            some_clips().save(folder)
    assert found.value.errno == errno.ENOSPC
    assert_same(Clips.load(folder), some_clips())
    clips = some_clips(recipe={"size": np.int64(64), "sigma": np.float32(0.5), "mean": np.arange(2)})
    assert Clips.load(clips.save(folder)).recipe == {"size": 64, "sigma": 0.5, "mean": [0, 1]}
    assert names(folder.parent) == ["mine", "set"]


def test_a_bit_that_flips_anywhere_in_a_set_is_found_and_so_is_a_missing_file_or_part(folder):
    files = sorted(folder.iterdir())
    assert len(files) == 6
    for file in files:
        whole = file.read_bytes()
        for place in (len(whole) // 2, len(whole) - 2):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert_refuses(Clips.load, folder, match=file.name if file.name != "record.json" else "record|holds a")
        file.write_bytes(whole)
        file.rename(folder.parent / "away")
        assert_refuses(Clips.load, folder, match=file.name, error=(ValueError, FileNotFoundError))
        (folder.parent / "away").rename(file)
    assert len(Clips.load(folder)) == 3
    np.save(folder / "flow.npy", some_clips().flow + 1)
    np.testing.assert_array_equal(Clips.load(folder, check=False).flow, some_clips().flow + 1)


def test_a_head_of_a_newer_format_or_that_does_not_describe_its_folder_is_refused(folder):
    head = json.loads((folder / "record.json").read_text())
    del head["sha256_of_this"]
    for changes, facts in (({"format": 99}, "format 99.* up to 1; upgrade"), ({"tables": ["clips"]}, "problems")):
        (folder / "record.json").write_text(json.dumps({**head, **changes}))
        assert_refuses(Clips.load, folder, match=facts)


def test_two_saves_at_once_both_succeed_also_where_the_system_cannot_swap_in_one_step(tmp_path, monkeypatch):
    with atomic_write(tmp_path / "set") as running:
        some_clips().save(tmp_path / "set")
        assert set(names(tmp_path)) == {"set", running.name}
    monkeypatch.setattr(storage.ctypes, "CDLL", lambda _: None)
    with atomic_write(tmp_path / "fold") as mine, atomic_write(tmp_path / "fold") as others:
        for draft, text in ((mine, "first"), (others, "second")):
            (draft / "holds").write_text(text)
    assert (tmp_path / "fold" / "holds").read_text() == "first"  # its block ends last
    assert names(tmp_path) == ["fold", "set"]
