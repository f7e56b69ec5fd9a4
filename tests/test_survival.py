"""Long work and what it left: read-only, shared, from another time, full, half gone, or changed in one bit."""

import errno
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from read_only import needs_rights, read_only
from slow_cases import mostly_slow
from tiny_clips import tiny_clips
from written_sets import shared_set

from medn_lab.data import FlowRecipe, prepare, read_casme2
from medn_lab.model import MEDN, MEDNConfig, load_pretrained
from medn_lab.records import ClipIndex, Clips
from medn_lab.train import TrainConfig, fit

SMALL = FlowRecipe(name="small", size=16, compute_size=32, n_frames=2)
QUICK = {"training": TrainConfig(epochs=2, batch_size=8, seed=3), "progress": False}


@pytest.fixture(scope="module")
def index():
    """Four clips, of which the first cannot be read."""
    root, faults = shared_set("casme2", faults=("frame_truncated",))
    assert faults["fault"].iloc[0] == "frame_truncated"
    index = read_casme2(root)
    return ClipIndex(index.table.iloc[:4], index.problems, index.source)


@pytest.fixture(scope="module")
def check(index):
    """Prepare into a folder and compare with a set that was never disturbed."""
    wanted = prepare(index, recipe=SMALL, progress=False)

    def compare(out: Path, **options) -> None:
        clips = prepare(index, out, recipe=SMALL, **{"progress": False, **options})
        for name in ("flow", "frames"):
            np.testing.assert_array_equal(getattr(clips, name), getattr(wanted, name))
        assert clips.table["clip_id"].tolist() == wanted.table["clip_id"].tolist()

    return compare


def network(clips):
    return MEDN(MEDNConfig.for_clips(clips, dim=16, branches="motion"), seed=5)


def fails_after(calls: int, error: BaseException):
    """A call to the disk that works so many times and then fails."""
    real, count = os.fsync, itertools.count()

    def fsync(stream):
        if next(count) >= calls:
            raise error
        real(stream)

    return fsync


@pytest.mark.parametrize("calls", mostly_slow([5, 0, *range(1, 5), *range(6, 10)]))
def test_a_disk_that_fills_up_keeps_the_finished_clips(check, tmp_path, monkeypatch, capsys, calls):
    out = tmp_path / "set"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails_after(calls, OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(OSError, match=r"the disk is full.* \d of 4 clips") as found:
            check(out)
    finished = int(re.search(r"(\d) of 4", str(found.value))[1])
    assert finished == min(4, calls)  # a file a clip
    assert not out.exists()
    check(out, progress=True)
    begun = int(re.search(r"\| (\d)/4", capsys.readouterr().err)[1])
    assert begun == finished, "what was finished is not done again"


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
def test_a_second_process_that_prepares_the_same_set_is_refused_and_later_opens_it(index, check, tmp_path):
    index.save(tmp_path / "index")
    process = subprocess.Popen([sys.executable, "-c", WAITING, str(tmp_path / "index"), str(tmp_path / "set")])
    while not (tmp_path / "set.waits").exists() and process.poll() is None:
        time.sleep(0.02)
    with pytest.raises(FileExistsError, match="another process"):
        check(tmp_path / "set")
    (tmp_path / "set.go").touch()
    assert process.wait() == 0
    check(tmp_path / "set")
    assert {path.name for path in tmp_path.iterdir()} == {"index", "set", "set.go", "set.waits"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="workers are found in /proc")
def test_a_worker_that_is_killed_costs_its_clips_alone(check, tmp_path):
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
        with pytest.raises(RuntimeError, match=r"worker process was killed.* kept"):
            check(tmp_path / "set", n_jobs=2)
    finally:
        done.set()
        killer.join()
    assert not (tmp_path / "set").exists()
    check(tmp_path / "set")


@needs_rights
def test_a_read_only_folder_is_read_and_named_and_nothing_is_left_in_it(index):
    clips = tiny_clips(n_subjects=2)
    with read_only(lambda folder: clips.save(folder / "given")) as folder:
        assert len(Clips.load(folder / "given")) == len(clips)
        with pytest.raises(PermissionError, match=r"record cannot be written: .*inside is read-only"):
            clips.save(folder / "record")
        with pytest.raises(PermissionError, match=r"set cannot be written: .*inside is read-only"):
            prepare(index, folder / "set", recipe=SMALL, progress=False)
        with pytest.raises(PermissionError, match=r"kept cannot be written: .*inside is read-only"):
            fit(network(clips), clips, checkpoint=folder / "kept", **QUICK)
        assert [path.name for path in folder.iterdir()] == ["given"]


def test_spoiled_checkpoints_and_weights_are_named_and_a_checkpoint_takes_the_place_of_nothing_else(tmp_path):
    clips = tiny_clips(n_subjects=2)
    model = network(clips)
    fit(model, clips, checkpoint=tmp_path / "kept", **QUICK)
    model.save_pretrained(tmp_path / "m")
    state = tmp_path / "kept" / "state.safetensors"
    for file in (state, tmp_path / "m" / "model.safetensors"):
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    for load in (load_pretrained, MEDN.from_pretrained):
        with pytest.raises(ValueError, match=r"is not the file that was written"):
            load(tmp_path / "m")
    for _ in range(2):  # one bit differs, then most is missing and no sum says so
        with pytest.raises(ValueError, match=r"state\.safetensors"):
            fit(model, clips, checkpoint=tmp_path / "kept", **QUICK)
        state.with_suffix(".sha256").unlink(missing_ok=True)
        state.write_bytes(state.read_bytes()[:100])
    (tmp_path / "thesis").mkdir()
    for place, mine in (("weights.pt", "weights.pt"), ("thesis", "thesis/chapter.txt")):
        (tmp_path / mine).write_text("mine")
        with pytest.raises(FileExistsError, match="nothing was written"):
            fit(model, clips, checkpoint=tmp_path / place, **QUICK)
        assert (tmp_path / mine).read_text() == "mine"
