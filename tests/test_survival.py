"""What happens to folders and processes: read-only, shared, from another time, half gone, or flipped in one bit."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_clips import tiny_clips
from written_sets import written

from medn_lab.data import FlowRecipe, prepare, prepared_set, read_casme2
from medn_lab.evaluate import evaluate_loso, predict
from medn_lab.model import MEDN, MEDNConfig, load_pretrained, weights_sha256
from medn_lab.records import ClipIndex, Clips, History, Predictions, atomic_write, read_parts, write_parts
from medn_lab.records.exchange import atomic_swap as change_places
from medn_lab.train import TrainConfig, fit

SMALL = FlowRecipe(name="small", size=16, compute_size=32, n_frames=2)
QUICK = TrainConfig(epochs=2, batch_size=8, seed=3)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    root = tmp_path_factory.mktemp("originals")
    written(root, "casme2", size=64, fps=15)
    index = read_casme2(root)
    return ClipIndex(index.table.iloc[:6], index.problems, index.source)


@pytest.fixture(scope="module")
def clips():
    return tiny_clips(n_subjects=2)


@pytest.fixture
def untouchable():
    """A folder in which nothing may be written, for root neither: root is another user meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="read_only_"))
    (folder / "inside").mkdir()
    (folder / "inside").chmod(0o555)
    folder.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield folder / "inside"
    finally:
        if user == 0:
            os.seteuid(0)
        (folder / "inside").chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.skipif(os.name != "posix", reason="rights are another thing there")
def test_a_read_only_folder_gets_a_sentence_and_stays_as_it_is(untouchable, index, clips):
    # Prepared in memory as whoever may read the originals; written as somebody who may not write here.
    with pytest.raises(PermissionError, match=r"set cannot be written: .*inside is read-only or not yours; choose"):
        prepare(index, untouchable / "set", recipe=SMALL, progress=False)
    with pytest.raises(PermissionError, match=r"record cannot be written: .*inside is read-only or not yours; choose"):
        clips.save(untouchable / "record")
    model = MEDN(MEDNConfig.for_clips(clips, dim=16, branches="motion"))
    with pytest.raises(PermissionError, match=r"kept cannot be written: .*inside is read-only or not yours; choose"):
        fit(model, clips, training=QUICK, checkpoint=untouchable / "kept", progress=False)
    assert list(untouchable.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="rights are another thing there")
def test_a_set_is_read_from_a_folder_that_is_read_only(clips):
    folder = Path(tempfile.mkdtemp(prefix="read_only_"))
    clips.save(folder / "set")
    for path in (folder / "set", folder):
        path.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        np.testing.assert_array_equal(Clips.load(folder / "set").flow, clips.flow)
    finally:
        if user == 0:
            os.seteuid(0)
        for path in (folder, folder / "set"):
            path.chmod(0o755)
        shutil.rmtree(folder)


def test_a_second_process_that_prepares_the_same_set_is_told_and_later_opens_it(index, tmp_path):
    index.save(tmp_path / "index")
    code = (
        "import sys, time; from pathlib import Path\n"
        "from medn_lab.records import ClipIndex; from medn_lab.data import FlowRecipe, prepare\n"
        "import medn_lab.data.prepared_set as p; real, made = p.input_of_clip, []\n"
        "def held(row, **o):\n"
        "    while len(made) == 1 and not Path(sys.argv[2] + '.go').exists(): time.sleep(0.02)\n"
        "    made.append(row)\n"
        "    return real(row, **o)\n"
        "p.input_of_clip = held\n"
        f"small = FlowRecipe.from_json({SMALL.to_json()!r})\n"
        "prepare(ClipIndex.load(sys.argv[1]), sys.argv[2], progress=False, recipe=small)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "index"), str(tmp_path / "set")])
    journal = tmp_path / ".set.preparing" / "journal.jsonl"
    while not (journal.is_file() and journal.read_text()) and process.poll() is None:
        time.sleep(0.02)
    with pytest.raises(FileExistsError, match=r"set is being prepared by another process right now; call again when"):
        prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    (tmp_path / "set.go").touch()
    assert process.wait() == 0
    (tmp_path / "set.go").unlink()
    opened = prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    np.testing.assert_array_equal(opened.flow, prepare(index, recipe=SMALL, progress=False).flow)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "set"]


def test_who_reads_a_set_keeps_it_when_it_is_written_anew(clips, tmp_path):
    opened = Clips.load(clips.save(tmp_path / "set"))
    other = replace(clips, flow=clips.flow + 1)
    other.save(tmp_path / "set")
    np.testing.assert_array_equal(opened.flow, clips.flow)
    np.testing.assert_array_equal(Clips.load(tmp_path / "set").flow, other.flow)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def dies(*job, **options):
    """Stands in for the work on a clip in a worker process: the system kills it, as it does for want of memory."""
    if job[0] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return prepared_set._made(*job, **options)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
def test_a_worker_that_is_killed_costs_its_clips_alone(index, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(prepared_set, "_made", dies)
        with pytest.raises(RuntimeError, match=r"a worker process was killed, mostly for want of memory .* is kept"):
            prepare(index, tmp_path / "set", recipe=SMALL, n_jobs=2, progress=False)
    assert not (tmp_path / "set").exists()
    made = prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    np.testing.assert_array_equal(made.flow, prepare(index, recipe=SMALL, progress=False).flow)


@pytest.mark.parametrize("year", [0, 4_102_444_800], ids=["1970", "2100"])
def test_a_clock_that_jumps_changes_nothing(index, clips, tmp_path, monkeypatch, year):
    def interrupted(row, **options):
        if (tmp_path / ".set.preparing" / "journal.jsonl").stat().st_size:
            raise KeyboardInterrupt
        return real(row, **options)

    real = prepared_set.input_of_clip
    with monkeypatch.context() as patch:
        patch.setattr(prepared_set, "input_of_clip", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    for path in [*Path(index.source["root"]).rglob("*.jpg"), *(tmp_path / ".set.preparing").iterdir()]:
        os.utime(path, (year, year))
    monkeypatch.setattr(time, "time", iter(range(year, -(10**9), -60)).__next__)  # it runs backwards, too
    made = prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    np.testing.assert_array_equal(made.flow, prepare(index, recipe=SMALL, progress=False).flow)
    model = MEDN(MEDNConfig.for_clips(clips, dim=16, branches="motion"))
    history = fit(model, clips, training=QUICK, checkpoint=tmp_path / "kept", progress=False)
    assert (history.table["seconds"] >= 0).all()


def test_a_bit_that_flips_anywhere_in_a_set_is_found(clips, tmp_path):
    clips.save(tmp_path / "set")
    files = sorted((tmp_path / "set").iterdir())
    assert len(files) == 6
    for file in files:
        whole = file.read_bytes()
        for place in {0, len(whole) // 3, len(whole) // 2, len(whole) - 2}:
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(ValueError, match=r"sha256 differs|cannot be read|holds a"):
                Clips.load(tmp_path / "set")
        file.write_bytes(whole)
        file.rename(tmp_path / "away")
        with pytest.raises((ValueError, FileNotFoundError), match=r"lacks|has no record.json"):
            Clips.load(tmp_path / "set")
        (tmp_path / "away").rename(file)
    assert len(Clips.load(tmp_path / "set")) == len(clips)


def test_a_set_can_be_opened_without_its_check(clips, tmp_path):
    clips.save(tmp_path / "set")
    flow = np.load(tmp_path / "set" / "flow.npy")
    np.save(tmp_path / "set" / "flow.npy", flow + 1)
    with pytest.raises(ValueError, match=r"flow.npy is not the file that was written .* make the record again"):
        Clips.load(tmp_path / "set")
    np.testing.assert_array_equal(Clips.load(tmp_path / "set", check=False).flow, clips.flow + 1)


def test_spoiled_checkpoints_and_folds_are_named(clips, tmp_path):
    config = MEDNConfig.for_clips(clips, dim=16, branches="motion")
    fit(MEDN(config), clips, training=QUICK, checkpoint=tmp_path / "kept", progress=False)
    state = tmp_path / "kept" / "state.safetensors"
    whole = state.read_bytes()
    state.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"state.safetensors is not the file that was written .* remove the folder"):
        fit(MEDN(config), clips, training=QUICK, checkpoint=tmp_path / "kept", progress=False)
    (tmp_path / "kept" / "state.sha256").unlink()
    state.write_bytes(whole[:100])
    with pytest.raises(ValueError, match=r"state.safetensors holds no safetensors .* train from the start"):
        fit(MEDN(config), clips, training=QUICK, checkpoint=tmp_path / "kept", progress=False)
    evaluate_loso(config, clips, training=QUICK, n_jobs=1, folder=tmp_path / "run", progress=False)
    logits = tmp_path / "run" / "fold_001" / "last_epoch" / "logits.npy"
    np.save(logits, np.load(logits) + 1)
    with pytest.raises(
        ValueError, match=r"fold_001 cannot be read .*sha256 differs.*remove that folder and call again"
    ):
        evaluate_loso(config, clips, training=QUICK, n_jobs=1, folder=tmp_path / "run", progress=False)


def test_a_checkpoint_takes_the_place_of_nothing_else(clips, tmp_path):
    model = MEDN(MEDNConfig.for_clips(clips, dim=16, branches="motion"))
    (tmp_path / "weights.pt").write_bytes(b"mine")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("1")
    for name in ("weights.pt", "thesis"):
        with pytest.raises(FileExistsError, match=r"exists and is no checkpoint .* nothing was written"):
            fit(model, clips, training=QUICK, checkpoint=tmp_path / name, progress=False)
    assert (tmp_path / "weights.pt").read_bytes() == b"mine"
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "1"
    (tmp_path / "empty").mkdir()
    fit(model, clips, training=QUICK, checkpoint=tmp_path / "empty", progress=False)
    assert len(History.load(tmp_path / "empty" / "history")) == 2


@pytest.mark.parametrize("in_one_step", [True, False])
def test_two_folders_change_places(tmp_path, monkeypatch, in_one_step):
    if not in_one_step:
        monkeypatch.setattr(sys.modules["medn_lab.records.exchange"], "_in_one_step", lambda *_: False)
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "says").write_text(name)
    change_places(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "says").read_text() == "new"
    assert (tmp_path / "new" / "says").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]


def test_what_a_killed_process_left_goes_with_the_next_save(clips, tmp_path):
    from medn_lab.records.whole_folder import _mark

    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for number in (dead.pid, os.getpid()):
        left = tmp_path / f"{_mark(tmp_path / 'set')}{number}.x"
        left.mkdir()
        (left / "flow.npy").write_bytes(b"half")
    clips.save(tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir() if path.name != "set"] == [left.name]  # of a process that lives


def test_saved_weights_are_checked_by_their_sum(clips, tmp_path):
    model = MEDN(MEDNConfig.for_clips(clips, dim=16, branches="motion"), seed=5)
    model.save_pretrained(tmp_path / "m")
    assert weights_sha256(load_pretrained(tmp_path / "m")) == weights_sha256(model)
    np.testing.assert_array_equal(predict(load_pretrained(tmp_path / "m"), clips).logits, predict(model, clips).logits)
    weights = (tmp_path / "m" / "model.safetensors").read_bytes()
    (tmp_path / "m" / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"the weights in .* have sha256"):
        load_pretrained(tmp_path / "m")
    with pytest.raises(ValueError, match=r"is not the file that was written"):
        MEDN.from_pretrained(tmp_path / "m")


def test_a_record_of_before_there_were_sums_still_loads(clips, tmp_path):
    import json

    clips.save(tmp_path / "set")
    head = json.loads((tmp_path / "set" / "record.json").read_text())
    old = {name: value for name, value in head.items() if "sha256" not in name}
    (tmp_path / "set" / "record.json").write_text(json.dumps(old))
    assert len(Clips.load(tmp_path / "set")) == len(clips)
    said = Predictions(np.ones((12, 2), np.float32), clips.table, ("a", "b"))
    parts = read_parts(said.save(tmp_path / "said"), "Predictions")
    assert write_parts(tmp_path / "again", "Predictions", parts).is_dir()


def test_two_processes_that_finish_the_same_folder_at_once_both_succeed(tmp_path):
    with atomic_write(tmp_path / "fold") as mine:
        (mine / "says").write_text("the same")
        with atomic_write(tmp_path / "fold") as others:
            (others / "says").write_text("the same")
    assert (tmp_path / "fold" / "says").read_text() == "the same"
    assert [path.name for path in tmp_path.iterdir()] == ["fold"]
