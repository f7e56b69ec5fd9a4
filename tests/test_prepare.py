"""Preparing: what comes out, what is reported, what happens when it is cut short, and a training on what came out."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from refusals import assert_refuses
from slow_cases import mostly_slow
from written_sets import drawn_clips, shared_set

import medn_lab as medn
from medn_lab.data import FlowRecipe, find_face, list_frames, prepare, read_casme2, read_image
from medn_lab.data.clip_input import input_of_clip
from medn_lab.records import ClipIndex, Clips
from medn_lab.train import TrainConfig

SMALL = FlowRecipe(name="small", size=32, compute_size=64, n_frames=4)
INPUT = "medn_lab.data.prepared_set.input_of_clip"


@pytest.fixture(scope="module")
def cropped(tmp_path_factory):
    return read_casme2(shutil.copytree(shared_set("casme2")[0], tmp_path_factory.mktemp("cropped") / "set"))


@pytest.fixture(scope="module")
def raw():
    """An index of frames with room around the face, and the names of its clips in the drawn corpus."""
    root, table = shared_set("casme2", tree="raw", size=128, fps=15)
    return read_casme2(root), dict(zip(table["written_as"], table["clip_id"], strict=True))


def first(index: ClipIndex, count: int) -> ClipIndex:
    return ClipIndex(index.table.iloc[:count], index.problems, index.source)


def small(index: ClipIndex, out=None, **options) -> Clips:
    return prepare(index, out, **{"recipe": SMALL, "progress": False} | options)


def same(one: Clips, other: Clips) -> None:
    np.testing.assert_array_equal(one.flow, other.flow)
    np.testing.assert_array_equal(one.frames, other.frames)
    pd.testing.assert_frame_equal(one.table, other.table, check_dtype=False)


def computed(monkeypatch, *, most: int = 1000) -> list[str]:
    """The ids of the clips that are computed from here on; after so many the user interrupts."""
    done = []

    def counted(row, **options):
        if len(done) == most:
            raise KeyboardInterrupt
        done.append(row["clip_id"])
        return input_of_clip(row, **options)

    monkeypatch.setattr(INPUT, counted)
    return done


@pytest.mark.slow
def test_prepared_flow_is_the_true_displacement_of_the_crop(raw):
    index, names = first(raw[0], 9), raw[1]
    prepared = prepare(index, recipe=FlowRecipe(size=64, compute_size=128, n_frames=2), progress=False)
    truth = drawn_clips().truth
    likeness = []
    for flow, row in zip(prepared.flow, index.table.to_dict("records"), strict=True):
        box = find_face(read_image(list_frames(row["frames_folder"])[row["onset"]]))
        field = truth.displacement[truth.table["clip_id"].tolist().index(names[row["clip_id"]])].astype(np.float32)
        x, y, side = (round(value / 2) for value in (box.x, box.y, box.side))  # the truth is at 64 px, frames at 128
        padded = np.pad(field, ((32, 32), (32, 32), (0, 0)))
        true = cv2.resize(padded[32 + y : 32 + y + side, 32 + x : 32 + x + side], (64, 64))
        likeness.append((flow * true).sum() / np.sqrt((flow**2).sum() * (true**2).sum()))
    assert np.median(likeness) > 0.7


def test_disk_and_memory_give_the_same_and_only_read_originals(cropped, tmp_path):
    index = first(cropped, 4)
    originals = list(Path(index.source["root"]).rglob("*"))
    before = [path.stat().st_mtime_ns for path in originals]
    memory, disk = small(index), small(index, tmp_path / "set")
    same(disk, memory)
    assert (disk.frames.shape, disk.flow.shape) == ((4, 4, 32, 32, 3), (4, 32, 32, 2))
    assert FlowRecipe(**disk.recipe) == SMALL
    assert isinstance(disk.frames, np.memmap)
    assert not disk.frames.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert [path.stat().st_mtime_ns for path in originals] == before
    assert set(Path(index.source["root"]).rglob("*")) == set(originals)


def test_a_set_that_is_there_is_opened_and_another_is_not_taken_for_it(cropped, tmp_path, monkeypatch):
    index, out = first(cropped, 3), tmp_path / "set"
    made = small(index, out)
    done = computed(monkeypatch)
    same(small(index, out), made)
    (tmp_path / "other").mkdir()
    for path, one, options, fact in (
        (out, index, {"recipe": FlowRecipe(size=16)}, "recipe"),
        (out, first(index, 2), {}, "clips"),
        (out, index, {"crop": "none"}, "crop"),
        (tmp_path / "other", index, {}, "no prepared set"),
    ):
        assert_refuses(small, one, path, **options, match=fact, error=FileExistsError)
    head = json.loads((out / "record.json").read_text())
    del head["meta"]["prepared"]["detector"], head["sha256_of_this"]  # 0.1.0 found faces with another detector
    (out / "record.json").write_text(json.dumps(head))
    same(small(index, out), made)
    monkeypatch.setattr("medn_lab.data.prepared_set.PIPELINE", 99)
    assert_refuses(small, index, out, match="pipeline", error=FileExistsError)
    assert done == []


@pytest.mark.parametrize("n_jobs", mostly_slow([1, 2]))
def test_what_is_finished_is_not_made_again_after_an_interruption(cropped, tmp_path, monkeypatch, n_jobs):
    index, whole = first(cropped, 6), small(first(cropped, 6))
    computed(monkeypatch, most=2)
    with pytest.raises(KeyboardInterrupt):
        small(index, tmp_path / "set", recipe=FlowRecipe(size=16, compute_size=64, n_frames=4))  # another set
    done = computed(monkeypatch, most=4)
    with pytest.raises(KeyboardInterrupt):
        small(index, tmp_path / "set")
    assert not (tmp_path / "set").exists()
    with pytest.raises(FileNotFoundError):
        Clips.load(tmp_path / ".set.preparing")
    rest = computed(monkeypatch)
    same(small(index, tmp_path / "set", n_jobs=n_jobs), whole)
    assert done + rest == index.table["clip_id"].tolist()[: 6 if n_jobs == 1 else 4]  # other processes are not counted


def test_a_viewing_copy_is_written_resumed_selected_and_checked(cropped, tmp_path, monkeypatch):
    index, out = first(cropped, 4), tmp_path / "set"
    folders = index.table["frames_folder"].where(index.table.index != 1, str(tmp_path / "gone"))
    index = ClipIndex(index.table.assign(frames_folder=folders), index.problems, index.source)  # row 1 is left out
    computed(monkeypatch, most=2)
    with pytest.raises(KeyboardInterrupt):
        small(index, out, viewing=64)
    computed(monkeypatch)
    clips = small(index, out, viewing=64)
    assert (len(clips), len(clips.viewing), clips.viewing.size) == (3, 3, 64)
    for row, frames in enumerate(clips.frames):
        shrunk = [cv2.resize(one, (32, 32), interpolation=cv2.INTER_AREA) for one in clips.viewing[row]]
        assert np.corrcoef(np.ravel(shrunk), frames.ravel())[0, 1] > 0.98
    last = clips.select(clips.table["clip_id"].iloc[[2]])
    np.testing.assert_array_equal(last.viewing[0], clips.viewing[2])
    memory = small(index, viewing=64)
    same(memory, clips)
    np.testing.assert_array_equal(memory.viewing[1], clips.viewing[1])
    assert len(small(index, out).viewing) == 3  # a call without one opens the set
    assert_refuses(small, index, out, viewing=48, match="viewing", error=FileExistsError)
    assert_refuses(small, index, viewing=128, match=r"from 32 .* to 64 .* 128")
    (out / "viewing" / "000001.webp").write_bytes((out / "viewing" / "000000.webp").read_bytes())
    with pytest.raises(ValueError, match="sha256 differs"):
        clips.viewing[1]


@pytest.mark.slow
def test_a_model_trains_evaluates_and_is_explored_on_clips_from_the_disk(tmp_path):
    drawn = medn.synthetic_clips(n_subjects=5, clips_per_subject=10, noise=0.5)
    medn.synthme.write_dataset(drawn, tmp_path / "set", layout="casme2", fps=25.0)
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    clips = medn.data.prepare(medn.data.read_casme2(tmp_path / "set"), tmp_path / "prepared", progress=False)
    assert all(path.read_bytes() == found for path, found in written.items())
    kept, dropped = medn.data.to_classes(clips.table, "casme2_5class")
    assert (len(kept), len(dropped)) == (50, 0)
    clips = clips.with_table(kept)
    train, test = (clips.select(ids) for ids in medn.data.hold_out_subjects(clips.table, n=2, seed=0))
    assert not set(train.table["subject"]) & set(test.table["subject"])
    model = medn.model.MEDN(medn.model.MEDNConfig.for_clips(train, dim=32))
    history = medn.fit(model, train, training=TrainConfig(epochs=16, batch_size=8), progress=False)
    assert history.table["loss"].iloc[-1] < 0.9 * history.table["loss"].iloc[0]
    predictions = medn.predict(model, test)
    # The AUs of unseen persons are read from flow that was computed from files.
    shown = test.table[list(predictions.aus)].to_numpy() == 1
    assert predictions.au_logits[shown].mean() > predictions.au_logits[~shown].mean() + 1
    maps = medn.diagnose.umap(medn.extract_features(model, test), method="pca")
    explorer = medn.widgets.BranchExplorer(maps, clips=test, predictions=predictions)
    explorer.select(test.table["clip_id"][:3])
    assert explorer.selection["clip_id"].tolist() == test.table["clip_id"][:3].tolist()
