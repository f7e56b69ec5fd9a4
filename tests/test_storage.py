"""A record's folder on the disk: whole or not there, checked when read, and safe from kills and full disks."""

import errno
import json
import os

import numpy as np
import pytest
from read_only import needs_rights, read_only
from test_records import assert_same, some_clips

from medn_lab.records import Clips, atomic_write, storage


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
    with pytest.raises(FileExistsError, match="nothing was written"):
        some_clips().save(mine)
    assert (mine / "thesis.txt").read_text() == "years of work"
    with pytest.raises(TypeError, match="object"):
        some_clips(recipe={"model": object()}).save(folder)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=f"disk is full.*{folder}") as found:
            some_clips().save(folder)
    assert found.value.errno == errno.ENOSPC
    assert_same(Clips.load(folder), some_clips())
    clips = some_clips(recipe={"size": np.int64(64), "sigma": np.float32(0.5), "mean": np.arange(2)})
    assert Clips.load(clips.save(folder)).recipe == {"size": 64, "sigma": 0.5, "mean": [0, 1]}
    assert names(folder.parent) == ["mine", "set"]


@needs_rights
def test_a_folder_that_is_read_only_is_read_and_not_written():
    with read_only(lambda folder: some_clips().save(folder / "set")) as folder:
        with pytest.raises(PermissionError, match=r"record cannot be written: .*inside is read-only"):
            some_clips().save(folder / "record")
        assert_same(Clips.load(folder / "set"), some_clips())
        assert names(folder) == ["set"]


def test_a_bit_that_flips_anywhere_in_a_set_is_found_and_so_is_a_missing_file_or_part(folder):
    files = sorted(folder.iterdir())
    assert len(files) == 6
    for file in files:
        whole = file.read_bytes()
        for place in (len(whole) // 2, len(whole) - 2):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(ValueError, match=file.name if file.name != "record.json" else "record|holds a"):
                Clips.load(folder)
        file.write_bytes(whole)
        file.rename(folder.parent / "away")
        with pytest.raises((ValueError, FileNotFoundError), match=file.name):
            Clips.load(folder)
        (folder.parent / "away").rename(file)
    assert len(Clips.load(folder)) == 3
    np.save(folder / "flow.npy", some_clips().flow + 1)
    np.testing.assert_array_equal(Clips.load(folder, check=False).flow, some_clips().flow + 1)


def test_a_head_of_a_newer_format_or_that_does_not_describe_its_folder_is_refused(folder):
    head = json.loads((folder / "record.json").read_text())
    del head["sha256_of_this"]
    for changes, facts in (({"format": 99}, "format 99.* up to 1; upgrade"), ({"tables": ["clips"]}, "problems")):
        (folder / "record.json").write_text(json.dumps({**head, **changes}))
        with pytest.raises(ValueError, match=facts):
            Clips.load(folder)


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
