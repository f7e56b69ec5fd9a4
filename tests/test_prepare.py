"""Preparing and what follows: what comes out, what is reported, and what is left when disks fill and processes die."""

import errno
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses, mostly_slow
from joblib.externals.loky import get_reusable_executor
from tiny_clips import tiny_clips
from written_sets import drawn_clips, shared_set

import medn_lab as medn
from medn_lab.data import FlowRecipe, find_face, list_frames, prepare, read_casme2, read_image
from medn_lab.data.clip_input import input_of_clip
from medn_lab.records import ClipIndex, Clips

SMALL = FlowRecipe(name="small", size=32, compute_size=64, n_frames=4)


@pytest.fixture(scope="module")
def cropped(tmp_path_factory):
    return read_casme2(shutil.copytree(shared_set("casme2")[0], tmp_path_factory.mktemp("cropped") / "set"))


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

    monkeypatch.setattr("medn_lab.data.prepared_set.input_of_clip", counted)
    return done


def interrupted(monkeypatch, most: int, *arguments, **options) -> list[str]:
    """The ids of the clips that are prepared before the user interrupts."""
    done = computed(monkeypatch, most=most)
    with pytest.raises(KeyboardInterrupt):
        small(*arguments, **options)
    return done


@pytest.mark.slow
def test_prepared_flow_is_the_true_displacement_of_the_crop():
    root, wrote = shared_set("casme2", tree="raw", size=128, fps=15)  # frames with room around the face
    index, names = first(read_casme2(root), 9), wrote.set_index("written_as")["clip_id"]
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
    assert_refuses(small, index, out, recipe=FlowRecipe(size=16), match="recipe", error=FileExistsError)
    assert_refuses(small, first(index, 2), out, match="clips", error=FileExistsError)
    assert_refuses(small, index, out, crop="none", match="crop", error=FileExistsError)
    assert_refuses(small, index, tmp_path / "other", match="no prepared set", error=FileExistsError)
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
    # Another set, then the one that is resumed.
    interrupted(monkeypatch, 2, index, tmp_path / "set", recipe=FlowRecipe(size=16, compute_size=64, n_frames=4))
    done = interrupted(monkeypatch, 4, index, tmp_path / "set")
    assert not (tmp_path / "set").exists()
    assert_refuses(Clips.load, tmp_path / ".set.preparing", match="preparing", error=FileNotFoundError)
    rest = computed(monkeypatch)
    same(small(index, tmp_path / "set", n_jobs=n_jobs), whole)
    assert done + rest == index.table["clip_id"].tolist()[: 6 if n_jobs == 1 else 4]  # other processes are not counted


def test_a_viewing_copy_is_written_resumed_selected_and_checked(cropped, tmp_path, monkeypatch):
    index, out = first(cropped, 4), tmp_path / "set"
    folders = index.table["frames_folder"].where(index.table.index != 1, str(tmp_path / "gone"))
    index = ClipIndex(index.table.assign(frames_folder=folders), index.problems, index.source)  # row 1 is left out
    interrupted(monkeypatch, 2, index, out, viewing=64)
    computed(monkeypatch)
    clips = small(index, out, viewing=64)
    assert (len(clips), len(clips.viewing), clips.viewing.size) == (3, 3, 64)
    for row, frames in enumerate(clips.frames):
        shrunk = [cv2.resize(one, (32, 32), interpolation=cv2.INTER_AREA) for one in clips.viewing[row]]
        assert np.corrcoef(np.ravel(shrunk), frames.ravel())[0, 1] > 0.98
    np.testing.assert_array_equal(clips.select(clips.table["clip_id"].iloc[[2]]).viewing[0], clips.viewing[2])
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
    history = medn.fit(model, train, training=medn.train.TrainConfig(epochs=16, batch_size=8), progress=False)
    assert history.table["loss"].iloc[-1] < 0.9 * history.table["loss"].iloc[0]
    predictions = medn.predict(model, test)
    # The AUs of unseen persons are read from flow that was computed from files.
    shown = test.table[list(predictions.aus)].to_numpy() == 1
    assert predictions.au_logits[shown].mean() > predictions.au_logits[~shown].mean() + 1
    maps = medn.diagnose.umap(medn.extract_features(model, test), method="pca")
    explorer = medn.widgets.BranchExplorer(maps, clips=test, predictions=predictions)
    explorer.select(test.table["clip_id"][:3])
    assert explorer.selection["clip_id"].tolist() == test.table["clip_id"][:3].tolist()


@pytest.fixture(scope="module")
def faulty():
    """An index of four clips, of which the first cannot be read, and what is prepared of it undisturbed."""
    root, wrote = shared_set("casme2", faults=("frame_truncated",))
    assert wrote["fault"].iloc[0] == "frame_truncated"
    index = first(read_casme2(root), 4)
    return index, small(index)


@pytest.mark.parametrize("calls", mostly_slow([5, 0, *range(1, 5), *range(6, 10)]))
def test_a_disk_that_fills_up_keeps_the_finished_clips(faulty, tmp_path, monkeypatch, capsys, calls):
    (index, whole), out = faulty, tmp_path / "set"
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, "No space left on device")
        patch.setattr(os, "fsync", Mock(side_effect=itertools.chain([None] * calls, itertools.repeat(full))))
        with pytest.raises(OSError, match=r"the disk is full.* \d of 4 clips") as found:
            small(index, out)
    finished = int(re.search(r"(\d) of 4", str(found.value))[1])
    assert finished == min(4, calls)  # a file a clip
    assert not out.exists()
    same(small(index, out, progress=True), whole)
    assert int(re.search(r"\| (\d)/4", capsys.readouterr().err)[1]) == finished, "what was finished is not done again"


WAITING = f"""
import os, sys, time; from pathlib import Path
from medn_lab.records import ClipIndex; from medn_lab.data import FlowRecipe, prepare
real, go, waits = os.fsync, Path(sys.argv[2] + ".go"), Path(sys.argv[2] + ".waits")
def fsync(stream):
    waits.touch()
    while not go.exists(): time.sleep(0.02)
    real(stream)
os.fsync = fsync
prepare(ClipIndex.load(sys.argv[1]), sys.argv[2], progress=False, recipe=FlowRecipe(**{SMALL.to_dict()!r}))
"""


@pytest.mark.slow
def test_a_second_process_that_prepares_the_same_set_is_refused_and_later_opens_it(faulty, tmp_path):
    index, whole = faulty
    index.save(tmp_path / "index")
    process = subprocess.Popen([sys.executable, "-c", WAITING, str(tmp_path / "index"), str(tmp_path / "set")])
    while not (tmp_path / "set.waits").exists() and process.poll() is None:
        time.sleep(0.02)
    assert_refuses(small, index, tmp_path / "set", match="another process", error=FileExistsError)
    (tmp_path / "set.go").touch()
    assert process.wait() == 0
    same(small(index, tmp_path / "set"), whole)
    assert {path.name for path in tmp_path.iterdir()} == {"index", "set", "set.go", "set.waits"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="workers are found in /proc")
def test_a_worker_that_is_killed_costs_its_clips_alone(faulty, tmp_path):
    done = threading.Event()

    def kill_workers():
        while not done.wait(0.05):
            for children in Path("/proc/self/task").glob("*/children"):
                for child in children.read_text().split():
                    with suppress(OSError):  # it has ended meanwhile
                        if b"popen_loky" in Path("/proc", child, "cmdline").read_bytes():
                            os.kill(int(child), signal.SIGKILL)

    get_reusable_executor().shutdown(wait=True)  # workers that are there already may be faster than the killer
    killer = threading.Thread(target=kill_workers)
    killer.start()
    try:
        lost = {"match": r"worker process was killed.* kept", "error": RuntimeError}
        assert_refuses(small, faulty[0], tmp_path / "set", n_jobs=2, **lost)
    finally:
        done.set()
        killer.join()
    assert not (tmp_path / "set").exists()
    same(small(faulty[0], tmp_path / "set"), faulty[1])


@pytest.fixture
def closed():
    """A folder that holds clips and in which nobody may write; root is another user meanwhile."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root, "inside")
        tiny_clips(n_subjects=2).save(folder / "given")
        folder.chmod(0o555)
        Path(root).chmod(0o755)
        os.seteuid(user or 65534)
        yield folder
        os.seteuid(user)
        folder.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="rights are another thing there")
def test_a_read_only_folder_is_read_and_named_and_nothing_is_left_in_it(faulty, closed):
    clips = Clips.load(closed / "given")
    model = medn.model.MEDN(medn.model.MEDNConfig.for_clips(clips, dim=16, branches="motion"))
    refuses = partial(assert_refuses, match="cannot be written: .*inside is read-only", error=PermissionError)
    refuses(clips.save, closed / "record")
    refuses(small, faulty[0], closed / "set")
    refuses(medn.fit, model, clips, checkpoint=closed / "kept", progress=False)
    assert [path.name for path in closed.iterdir()] == ["given"]
