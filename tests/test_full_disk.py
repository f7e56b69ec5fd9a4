"""A disk that fills up while preparing, wherever it does: a sentence, no set that loads, and nothing done twice."""

import errno
import itertools
from pathlib import Path

import numpy as np
import pytest
from written_sets import written

from medn_lab.data import FlowRecipe, prepare, prepared_set, read_casme2
from medn_lab.records import ClipIndex, Clips

SMALL = FlowRecipe(name="small", size=16, compute_size=32, n_frames=2)
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    root = tmp_path_factory.mktemp("casme2")
    told = written(root, "casme2", size=64, fps=15, faults=["frame_truncated"])
    index = read_casme2(root)
    assert told["fault"].iloc[0] == "frame_truncated"  # one row is left out, so arrays are shortened at the end
    return ClipIndex(index.table.iloc[:4], index.problems, index.source)


@pytest.fixture(scope="module")
def whole(index):
    return prepare(index, recipe=SMALL, progress=False)


def fails_after(monkeypatch, name: str, calls: int, owner: object = prepared_set) -> None:
    """Let a function work so many times and then find the disk full."""
    real, count = getattr(owner, name), itertools.count()

    def until_full(*arguments, **options):
        if next(count) >= calls:
            raise FULL
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, until_full)


def never_loads(out: Path) -> None:
    assert not out.exists()
    for folder in out.parent.iterdir():
        with pytest.raises(FileNotFoundError, match="no saved Clips"):
            Clips.load(folder)


@pytest.mark.parametrize("calls", range(10))
def test_a_disk_that_fills_up_among_the_clips_keeps_what_is_done(index, whole, tmp_path, monkeypatch, calls):
    out, made = tmp_path / "set", []
    with monkeypatch.context() as patch:
        fails_after(patch, "_write", calls)  # three writes a clip (frames, flow, journal), one where there is none
        with pytest.raises(OSError, match=r"the disk is full after \d of 4 clips; the whole set needs 1 MB. Make room"):
            prepare(index, out, recipe=SMALL, progress=False)
    never_loads(out)
    real = prepared_set.input_of_clip
    monkeypatch.setattr(prepared_set, "input_of_clip", lambda row, **told: (made.append(row), real(row, **told))[1])
    again = prepare(index, out, recipe=SMALL, progress=False)
    finished = 0 if not calls else 1 + (calls - 1) // 3
    assert len(made) == 4 - finished
    np.testing.assert_array_equal(again.flow, whole.flow)
    np.testing.assert_array_equal(again.frames, whole.frames)
    assert again.table["clip_id"].tolist() == whole.table["clip_id"].tolist()


@pytest.mark.parametrize("name", ["write_parts", "_keep_rows"])
def test_a_disk_that_fills_up_at_the_very_end_leaves_all_clips_done(index, whole, tmp_path, monkeypatch, name):
    out = tmp_path / "set"
    with monkeypatch.context() as patch:
        fails_after(patch, name, 0)
        with pytest.raises(OSError, match="the disk is full after 4 of 4 clips"):
            prepare(index, out, recipe=SMALL, progress=False)
    never_loads(out)
    monkeypatch.setattr("medn_lab.data.prepared_set.input_of_clip", lambda *_, **__: pytest.fail("computed again"))
    np.testing.assert_array_equal(prepare(index, out, recipe=SMALL, progress=False).flow, whole.flow)


@pytest.mark.parametrize("note", ["", '{"pipel'], ids=["empty", "cut off"])
def test_a_disk_that_is_full_from_the_start_is_begun_anew(index, whole, tmp_path, monkeypatch, note):
    out, real = tmp_path / "set", Path.write_text

    def cut_off(path, text, *arguments, **options):
        real(path, note)
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", cut_off)
        with pytest.raises(OSError, match="the disk is full after 0 of 4 clips"):
            prepare(index, out, recipe=SMALL, progress=False)
    assert (tmp_path / ".set.preparing" / "state.json").read_text() == note
    never_loads(out)
    np.testing.assert_array_equal(prepare(index, out, recipe=SMALL, progress=False).flow, whole.flow)


def test_another_fault_of_the_disk_is_not_called_full(index, tmp_path, monkeypatch):
    monkeypatch.setattr(prepared_set, "_write", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    with pytest.raises(OSError, match="I/O error"):
        prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
