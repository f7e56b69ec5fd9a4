"""Preparing: what comes out, what is told, and what happens when it is cut short."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from written_sets import drawn_clips, written

from medn_lab.data import FlowRecipe, find_face, flow_colours, optical_strain, prepare, read_casme2, read_clip
from medn_lab.data.frames import cv2, frame_number, list_frames, nearest, read_image
from medn_lab.records import ClipIndex, Clips

SMALL = FlowRecipe(name="small", size=32, compute_size=64, n_frames=4)


@pytest.fixture(scope="module")
def cropped(tmp_path_factory):
    root = tmp_path_factory.mktemp("cropped")
    told = written(root, "casme2", fps=15)
    return read_casme2(root), told


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw")
    told = written(root, "casme2", tree="raw", size=128, fps=15)
    return read_casme2(root), told


def first(index: ClipIndex, count: int) -> ClipIndex:
    return ClipIndex(index.table.iloc[:count], index.problems, index.source)


def test_prepared_flow_is_the_true_displacement_of_the_crop(raw):
    index, told = first(raw[0], 9), raw[1]
    prepared = prepare(index, recipe=FlowRecipe(size=64, compute_size=128, n_frames=2), progress=False)
    truth = drawn_clips().truth
    names = dict(zip(told["written_as"], told["clip_id"], strict=True))
    likeness = []
    for place, row in enumerate(index.table.to_dict("records")):
        box = find_face(read_image(list_frames(row["frames_folder"])[row["onset"]]))
        field = truth._take([names[row["clip_id"]]]).displacement[0].astype(np.float32)
        x, y, side = (round(value / 2) for value in (box.x, box.y, box.side))  # the truth is at 64 px, frames at 128
        true = cv2.resize(
            np.pad(field, ((32, 32), (32, 32), (0, 0)))[32 + y : 32 + y + side, 32 + x : 32 + x + side], (64, 64)
        )
        flow = prepared.flow[place]
        likeness.append((flow * true).sum() / np.sqrt((flow**2).sum() * (true**2).sum()))
    assert np.median(likeness) > 0.7


def test_a_prepared_set_loads_memory_mapped_with_its_recipe(cropped, tmp_path):
    index, _ = cropped
    prepared = prepare(first(index, 5), tmp_path / "set", recipe=SMALL, progress=False)
    assert isinstance(prepared.frames, np.memmap)
    assert prepared.frames.shape == (5, 4, 32, 32, 3)
    assert prepared.flow.shape == (5, 32, 32, 2)
    assert not prepared.frames.flags.writeable
    assert FlowRecipe.from_dict(prepared.recipe) == SMALL
    assert prepared.table["clip_id"].tolist() == index.table["clip_id"].tolist()[:5]
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "clips.csv", "flow.npy", "frames.npy", "problems.csv", "recipe.json", "record.json",
    ]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_disk_memory_and_several_processes_give_the_same_bytes(cropped, tmp_path):
    index = first(cropped[0], 4)
    memory = prepare(index, recipe=SMALL, progress=False)
    disk = prepare(index, tmp_path / "one", recipe=SMALL, progress=False)
    parallel = prepare(index, tmp_path / "two", recipe=SMALL, n_jobs=2, progress=False)
    for other in (disk, parallel):
        np.testing.assert_array_equal(memory.flow, other.flow)
        np.testing.assert_array_equal(memory.frames, other.frames)
        pd.testing.assert_frame_equal(memory.table, other.table, check_dtype=False)


def test_a_set_that_is_there_is_opened_and_not_made_again(cropped, tmp_path, monkeypatch):
    index = first(cropped[0], 3)
    made = prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    monkeypatch.setattr("medn_lab.data.prepared_set.input_of_clip", lambda *_, **__: pytest.fail("computed again"))
    np.testing.assert_array_equal(prepare(index, tmp_path / "set", recipe=SMALL, progress=False).flow, made.flow)
    with pytest.raises(FileExistsError, match="was prepared with another recipe"):
        prepare(index, tmp_path / "set", recipe=FlowRecipe(size=16), progress=False)
    with pytest.raises(FileExistsError, match="was prepared with other clips"):
        prepare(first(index, 2), tmp_path / "set", recipe=SMALL, progress=False)
    (tmp_path / "other").mkdir()
    with pytest.raises(FileExistsError, match="exists and is no prepared set"):
        prepare(index, tmp_path / "other", recipe=SMALL, progress=False)


def test_what_is_finished_is_not_made_again_after_an_interruption(cropped, tmp_path, monkeypatch):
    index, done = first(cropped[0], 6), []
    from medn_lab.data.clip_input import input_of_clip

    def interrupted(row, **options):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(row["clip_id"])
        return input_of_clip(row, **options)

    monkeypatch.setattr("medn_lab.data.prepared_set.input_of_clip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    assert not (tmp_path / "set").exists()
    with pytest.raises(FileNotFoundError):
        Clips.load(tmp_path / ".set.preparing")
    rest = []

    def counted(row, **options):
        rest.append(row["clip_id"])
        return input_of_clip(row, **options)

    monkeypatch.setattr("medn_lab.data.prepared_set.input_of_clip", counted)
    prepared = prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    assert done + rest == index.table["clip_id"].tolist()
    monkeypatch.undo()
    np.testing.assert_array_equal(prepared.flow, prepare(index, recipe=SMALL, progress=False).flow)


def test_a_killed_process_leaves_no_set_and_its_work(cropped, tmp_path):
    index = first(cropped[0], 8)
    index.save(tmp_path / "index")
    code = (
        "import sys, time; from pathlib import Path\n"
        "from medn_lab.records import ClipIndex; from medn_lab.data import FlowRecipe, prepare\n"
        "import medn_lab.data.prepared_set as p; real, made = p.input_of_clip, []\n"
        "def held(row, **o):\n"
        "    while len(made) == 2 and not Path(sys.argv[2] + '.go').exists(): time.sleep(0.02)\n"
        "    made.append(row)\n"
        "    return real(row, **o)\n"
        "p.input_of_clip = held\n"
        f"small = FlowRecipe.from_json({SMALL.to_json()!r})\n"
        "prepare(ClipIndex.load(sys.argv[1]), sys.argv[2], progress=False, recipe=small)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "index"), str(tmp_path / "set")])
    journal = tmp_path / ".set.preparing" / "journal.jsonl"
    while not (journal.is_file() and len(journal.read_text().splitlines()) >= 2) and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "set").exists()
    with open(journal, "a") as stream:
        stream.write('{"row": 5, "ap')  # a line that the kill cut off
    index = ClipIndex.load(tmp_path / "index")
    prepared = prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    np.testing.assert_array_equal(prepared.flow, prepare(index, recipe=SMALL, progress=False).flow)


def test_unreadable_clips_become_problems_and_their_rows_go(tmp_path):
    faults = ["", "frame_truncated", "", "frame_resized", "apex_slash", "frames_missing", ""]
    told = written(tmp_path / "data", "casme2", faults=[name for name in faults if name], size=64, fps=15)
    index = first(read_casme2(tmp_path / "data"), 6)
    prepared = prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    fault = told.set_index("written_as")["fault"]
    gone = [name for name in index.table["clip_id"] if fault[name] in ("frame_truncated", "frame_resized")]
    assert prepared.table["clip_id"].tolist() == [name for name in index.table["clip_id"] if name not in gone]
    left_out = prepared.problems[~prepared.problems["kept"]]
    assert left_out["clip_id"].tolist() == gone
    assert left_out["found"].str.contains("truncated after|differ in size").all()
    assert len(prepared) + len(gone) == len(index)
    spotted = fault[fault == "apex_slash"].index[0]
    assert prepared.problems.loc[prepared.problems["clip_id"] == spotted, "done"].str.contains("spotted at").sum() == 1
    memory = prepare(index, recipe=SMALL, progress=False)
    np.testing.assert_array_equal(memory.flow, prepared.flow)
    assert prepared.table["apex"].between(prepared.table["onset"], prepared.table["offset"]).all()


def test_originals_are_only_read_and_nothing_is_written_beside_them(cropped, tmp_path):
    index, _ = cropped
    root = index.source["root"]
    before = {path: path.stat().st_mtime_ns for path in Path(root).rglob("*")}
    prepare(first(index, 3), tmp_path / "set", recipe=SMALL, progress=False)
    assert {path: path.stat().st_mtime_ns for path in Path(root).rglob("*")} == before


def test_no_face_is_told_and_own_landmarks_help(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(1, 6):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 255, (80, 80), dtype=np.uint8))
    row = {"clip_id": "a", "subject": "1", "onset": 1, "apex": 3, "offset": 5, "frames_folder": str(folder)}
    index = ClipIndex(pd.DataFrame([row]))
    with pytest.raises(ValueError, match=r"none of 1 clips could be prepared; the first, a: no face was found"):
        prepare(index, tmp_path / "set", recipe=SMALL, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]
    pd.DataFrame({"clip_id": "a", "x": [20, 60, 40], "y": [20, 20, 70]}).to_csv(tmp_path / "landmarks.csv", index=False)
    prepared = prepare(index, recipe=SMALL, landmarks=tmp_path / "landmarks.csv", progress=False)
    assert len(prepared) == 1
    (tmp_path / "wrong.csv").write_text("id,x,y\na,1,2\n")
    with pytest.raises(ValueError, match="lacks clip_id"):
        prepare(index, recipe=SMALL, landmarks=tmp_path / "wrong.csv", progress=False)


@pytest.mark.parametrize("name", ["uv_strain_28", "uv_strain_48"])
def test_a_recipe_of_the_field_gives_its_channels(cropped, name):
    recipe = FlowRecipe.named(name)
    prepared = prepare(first(cropped[0], 2), recipe=recipe, progress=False)
    assert prepared.flow.shape == (2, recipe.size, recipe.size, 3)
    np.testing.assert_allclose(prepared.flow[0, ..., 2], optical_strain(prepared.flow[0, ..., :2]), atol=1e-6)


def test_the_colour_recipe_is_a_picture(cropped):
    named = FlowRecipe.named("hsv_tvl1")
    assert (named.method, named.compute_size, named.size, named.coding) == ("tvl1", 256, 128, "hsv")
    recipe = FlowRecipe(method="dis", size=48, compute_size=96, coding="hsv", outside=1 / 3)
    flow = prepare(first(cropped[0], 2), recipe=recipe, progress=False).flow
    assert flow.shape == (2, 48, 48, 3)
    assert 0 <= flow.min() < flow.max() <= 1


def test_colours_say_the_direction():
    field = np.zeros((1, 3, 2), np.float32)
    field[0, 0, 0], field[0, 1, 0] = 2, -1
    right, left, still = flow_colours(field)[0]
    np.testing.assert_allclose(right, [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(left, [0, 0.5, 0.5], atol=1e-2)
    np.testing.assert_allclose(still, 0)
    assert flow_colours(np.zeros((2, 2, 2), np.float32)).max() == 0


def test_strain_is_zero_for_a_shift_and_the_stretch_for_a_stretch():
    y, x = np.mgrid[:8, :8].astype(np.float32)
    np.testing.assert_allclose(optical_strain(np.stack([np.full_like(x, 3), np.full_like(x, -1)], -1)), 0)
    np.testing.assert_allclose(optical_strain(np.stack([0.2 * x, 0.1 * y], -1)), np.hypot(0.2, 0.1), rtol=1e-5)
    np.testing.assert_allclose(optical_strain(np.stack([-0.1 * y, 0.1 * x], -1)), 0, atol=1e-6)


def test_recipes_survive_json_and_refuse_nonsense():
    for name in ("default", "hsv_tvl1", "uv_strain_28", "uv_strain_48"):
        recipe = FlowRecipe.named(name)
        assert FlowRecipe.from_json(json.dumps(json.loads(recipe.to_json()))) == recipe
    with pytest.raises(ValueError, match="no recipe 'best'; there are default"):
        FlowRecipe.named("best")
    with pytest.raises(ValueError, match="a FlowRecipe has no colour"):
        FlowRecipe.from_dict({"colour": "red"})
    for wrong in ({"size": 4}, {"size": 300}, {"n_frames": 1}, {"outside": 2.0}, {"blur": -1.0}, {"method": "x"}):
        with pytest.raises(ValueError, match=r"size|n_frames|outside|blur|method must be"):
            FlowRecipe(**wrong)


def test_own_clips_are_read_from_a_folder_and_from_a_video(raw, tmp_path):
    index, _ = raw
    row = index.table.iloc[1]
    folder = read_clip(row["frames_folder"], apex=int(row["apex"]), recipe=SMALL)
    assert len(folder) == 1
    assert folder.table["apex_confidence"].iloc[0] == 1
    prepared = prepare(ClipIndex(index.table.iloc[[1]]), recipe=SMALL, progress=False)
    np.testing.assert_array_equal(folder.flow, prepared.flow)
    video = cv2.VideoWriter(str(tmp_path / "me.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (128, 128))
    for path in list_frames(row["frames_folder"]).values():
        video.write(read_image(path)[..., ::-1])
    video.release()
    spotted = read_clip(tmp_path / "me.avi", recipe=SMALL)
    assert spotted.table[["clip_id", "onset", "fps"]].values.tolist() == [["me", 0, 25.0]]
    assert 0 < spotted.table["apex_confidence"].iloc[0] <= 1
    assert spotted.problems["field"].tolist() == ["apex"]
    assert abs(spotted.table["apex"].iloc[0] - (row["apex"] - row["onset"])) <= 3


def test_bad_own_clips_get_a_sentence(raw, tmp_path):
    folder = raw[0].table["frames_folder"].iloc[0]
    onset = int(raw[0].table["onset"].iloc[0])
    with pytest.raises(FileNotFoundError, match=r"nothing at .*; give a video file or a folder of frames"):
        read_clip(tmp_path / "none.avi")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"notes.txt is no video"):
        read_clip(tmp_path / "notes.txt")
    (tmp_path / "broken.avi").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"broken.avi has 0 readable frames"):
        read_clip(tmp_path / "broken.avi")
    with pytest.raises(ValueError, match="must come after the onset"):
        read_clip(folder, apex=onset)
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"grey{number}.png"), np.full((90, 90), 100, np.uint8))
    with pytest.raises(ValueError, match="no face was found"):
        read_clip(tmp_path)


def test_frames_are_sorted_by_number_and_gaps_filled_by_the_nearest(tmp_path):
    for name in ("img9.png", "img46.png", "img100.png", ".img5.png", "Thumbs.db", "cover.png"):
        (tmp_path / name).touch()
    assert list(list_frames(tmp_path)) == [9, 46, 100]
    assert frame_number("036_7_5_s.jpeg") == 5
    assert nearest(np.array([4]), np.array([1, 4, 9])).tolist() == [4, 4, 4]


def test_an_empty_index_is_refused():
    empty = ClipIndex(pd.DataFrame({"clip_id": [], "subject": []}))
    with pytest.raises(ValueError, match="the index is empty"):
        prepare(empty)


def test_other_landmarks_make_another_set(cropped, tmp_path):
    index = first(cropped[0], 1)
    clip_id = index.table["clip_id"].iloc[0]
    corners = np.array([[10.0, 10.0], [40.0, 10.0], [25.0, 45.0]])
    prepare(index, tmp_path / "set", recipe=SMALL, landmarks={clip_id: corners}, progress=False)
    with pytest.raises(FileExistsError, match="was prepared with another crop or other landmarks"):
        prepare(index, tmp_path / "set", recipe=SMALL, landmarks={clip_id: corners + 1}, progress=False)
