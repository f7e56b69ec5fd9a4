"""Flow packs: every list and spelling, codings joined by clip, and every row accounted for."""

import numpy as np
import pandas as pd
import pytest
from written_sets import drawn_clips

from medn_lab import view
from medn_lab.data import leave_one_subject_out, read_flow_pack, read_samm
from medn_lab.data.opencv import cv2
from medn_lab.data.readers.clip_list import clip_key, read_list
from medn_lab.evaluate import predict, uf1
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import ClipIndex, Clips
from medn_lab.synthme import synthetic_clips, write_dataset, write_flow_pack
from medn_lab.train import TrainConfig, fit
from medn_lab.widgets import ClipPlayer


@pytest.fixture
def pack(tmp_path):
    return tmp_path, write_flow_pack(drawn_clips(), tmp_path, listing="official")


def test_every_picture_is_found_by_the_official_list(pack):
    root, told = pack
    clips = read_flow_pack(root)
    assert clips.frames is None
    assert clips.flow.shape == (len(told), 28, 28, 3)
    assert clips.table["clip_id"].tolist() == told["written_as"].tolist()
    assert clips.table["label"].tolist() == told["label"].tolist()
    assert len(clips.problems) == 0
    assert read_flow_pack(root, size=32).flow.shape == (len(told), 32, 32, 3)


def test_motion_survives_up_to_its_scale(pack):
    root, told = pack
    clips, source = read_flow_pack(root), drawn_clips()
    for place in range(0, len(told), 5):
        flow = source.select([told["clip_id"][place]]).flow[0]
        small = flow.reshape(64, 64, 2)
        where = np.unravel_index(np.abs(small[..., 1]).argmax(), (64, 64))
        packed = clips.flow[place][where[0] * 28 // 64, where[1] * 28 // 64, 1]
        assert np.sign(packed) == np.sign(small[where][1])
    assert -1 <= clips.flow[..., :2].min() < 0 < clips.flow[..., :2].max() <= 1
    assert 0 <= clips.flow[..., 2].min() < clips.flow[..., 2].max() <= 1
    np.testing.assert_allclose(read_flow_pack(root, pixels=2.0).flow[..., 0], 2 * clips.flow[..., 0])


def test_both_lists_say_the_same(tmp_path):
    write_flow_pack(drawn_clips(), tmp_path, listing="both")
    with pytest.raises(ValueError, match=r"2 lists fit: .*; say which with gt="):
        read_flow_pack(tmp_path)
    official = read_flow_pack(tmp_path, gt=tmp_path / "combined_3class_gt.csv")
    named = read_flow_pack(tmp_path, gt=tmp_path / "all_442_list.csv")
    np.testing.assert_array_equal(official.flow, named.flow)
    assert official.table["clip_id"].tolist() == named.table["clip_id"].tolist()


def test_people_of_three_data_sets_stay_apart(pack):
    root, _ = pack
    folds = leave_one_subject_out(read_flow_pack(root).table)
    assert [fold.held_out for fold in folds] == ["casme2/01", "samm/001", "smic/1"]


def test_missing_and_surplus_pictures_are_told(pack):
    root, told = pack
    pictures = sorted(root.glob("*.png"))
    pictures[0].unlink()
    pictures[1].write_bytes(pictures[1].read_bytes()[:40])
    (root / "sub99_EP01_01 .png").write_bytes(pictures[2].read_bytes())
    clips = read_flow_pack(root)
    assert len(clips) == len(told) - 2
    assert clips.problems["found"].str.contains("no picture|truncated|not in the list").all()
    assert (clips.problems["found"] == "no picture").sum() == 1


def test_names_agree_despite_zeros_and_doubled_subjects():
    assert clip_key("smic", "s01", "s01_s1_ne_01") == clip_key("smic", "s1", "s01_s01_ne_01 .png")
    assert clip_key("casme2", "sub01", "EP02_01f") == clip_key("casme2", "1", "sub01_EP02_01f")
    assert clip_key("samm", "006", "006_1_2") == clip_key("samm", "006", "006_006_1_2")
    assert clip_key("samm", "006", "006_1_2") != clip_key("samm", "006", "006_1_3")
    assert clip_key("samm", "006", "x") != clip_key("casme2", "06", "x")


def test_bad_packs_get_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*; give the folder in which the flow pack was unpacked"):
        read_flow_pack(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no list of clips below .*there is no .csv"):
        read_flow_pack(tmp_path)
    (tmp_path / "list.csv").write_text("casme2,sub01,EP02_01f,7\n")
    with pytest.raises(ValueError, match="has a class '7'; classes are 0, 1 and 2"):
        read_list(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_text("casme2,sub01,EP02_01f,2\nsamm,006,006_1_2,1\nsmic,s03,s3_ne_03,3\n")
    with pytest.raises(ValueError, match="numbers its classes from 1; number them 0, 1 and 2"):
        read_list(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_text("casme2,sub01,EP02_01f,1\n")
    for wrong in ({"size": 0}, {"pixels": 0.0}, {"pixels": float("nan")}):
        with pytest.raises(ValueError, match="pixels must be above 0 and size at least 1"):
            read_flow_pack(tmp_path, **wrong)
    with pytest.raises(ValueError, match="none of 1 listed clips has one of the 0 pictures"):
        read_flow_pack(tmp_path)
    (tmp_path / "list.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match="is no list of a flow pack"):
        read_list(tmp_path / "list.csv")


HEADERS = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
"""Of CASME II's and MMEW's spreadsheets alike."""

EMOTIONS = {"positive": "happiness", "negative": "disgust", "surprise": "surprise"}


def coding_of(told, dataset, path, *, changed=(), headers=HEADERS):
    """A spreadsheet with a row for each clip of a pack, its emotion as the class has it but for those `changed`."""
    rows = []
    for number, (clip_id, label) in enumerate(zip(told["written_as"], told["label"], strict=True)):
        name, subject, filename = clip_id.split("/")
        if name == dataset:
            emotion = dict(changed).get(clip_id, EMOTIONS[label])
            rows.append([f"sub{subject}", filename, 10 * number, 10 * number + 4, 10 * number + 9, "L12", emotion])
    pd.DataFrame(rows, columns=headers).to_csv(path, index=False)
    return path


@pytest.fixture
def three_lists(tmp_path):
    """One clip of each data set as a picture, for lists that differ in form."""
    for name in ("sub01_EP02_01f .png", "006_006_1_2 .png", "s03_s03_ne_03 .png"):
        (tmp_path / name).write_bytes(
            cv2.imencode(".png", np.arange(28 * 28 * 3, dtype=np.uint8).reshape(28, 28, 3))[1]
        )
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "data,subject,clip,label\nCASME II,01,EP02_01f,1\nsamm,6,6_1_2,0\nSMIC,3,s3_ne_03,2\n",
        "Label;Clip;Subject;Data\n1;EP02_01F;sub1;casme2\n0;006_1_2;006;SAMM\n2;s03_ne_03;S3;smic\n",
        ",dataset,sub,filename_o,label\n0,casme2,sub01,EP02_01f,1.0\n1,samm,006,006_1_2,0.0\n2,smic,s03,s03_s3_ne_03,2.0\n",
        "\ufeffDATASET\tSubject\tFilename\tClass\ncasme2\tS01\tsub01_ep02_01f\thappiness\nsamm\t006\t006_1_2\tnegative\n"
        "smic\ts3\ts03_s03_ne_03\tsur\n",
        "data，subject，clip，label\ncasme2，０１，EP02_01f，１\nsamm，006，006_1_2，0\nsmic，s03，s3_ne_03，surprise\n",
        "casme2,sub01,EP02_01f,1\r\n\r\nsamm,006,006_1_2,0\r\nsmic,s03,s03_s3_ne_03,2\r\n",
        "casme2,sub01,EP02_01f,1,,\nsamm,006,006_1_2,0,\nsmic,s03,s03_s3_ne_03,2,\n",
    ],
)
def test_every_form_of_the_list_gives_the_readers_ids(three_lists, text):
    (three_lists / "list.csv").write_text(text, encoding="utf-8")
    clips = read_flow_pack(three_lists)
    assert clips.table["clip_id"].tolist() == ["casme2/01/EP02_01f", "samm/006/006_1_2", "smic/3/s3_ne_03"]
    assert clips.table["subject"].tolist() == ["01", "006", "3"]
    assert clips.table["label"].tolist() == ["positive", "negative", "surprise"]
    assert len(clips.problems) == 0


def test_pictures_in_folders_of_their_subject_are_found(three_lists):
    (three_lists / "sub01").mkdir()
    (three_lists / "sub01_EP02_01f .png").rename(three_lists / "sub01" / "EP02_01f.png")
    (three_lists / "list.csv").write_text("data,subject,clip,label\ncasme2,sub01,EP02_01f,1\n")
    assert read_flow_pack(three_lists).table["clip_id"].tolist() == ["casme2/01/EP02_01f"]


def test_rows_of_a_list_that_name_no_class_or_a_clip_again_are_problems(three_lists):
    (three_lists / "list.csv").write_text(
        "data,subject,clip,label\ncasme2,01,EP02_01f,1\ncasme2,sub01,ep02_01f,0\nsamm,006,006_1_2,7\nsmic,,s3_ne_03,2\n"
    )
    clips = read_flow_pack(three_lists)
    assert clips.table["label"].tolist() == ["positive"]
    found = clips.problems[clips.problems["field"] != "gt"].set_index("clip_id")
    assert found.loc["casme2/01/EP02_01f#2", "found"] == "again in row 2, as negative and before as positive"
    assert found.loc["samm/006/006_1_2", "found"] == "class '7' in list.csv"
    assert found["field"].tolist() == ["clip_id", "label", "row"]
    assert not clips.problems["kept"].any()


def test_codings_bring_aus_emotions_and_frames_without_any_frames(pack):
    root, told = pack
    changed = told.loc[told["written_as"].str.startswith("casme2/"), "written_as"].iloc[0]
    sheet = coding_of(told, "casme2", root / "any name.csv", changed=[(changed, "others")])
    clips = read_flow_pack(root, gt=root / "combined_3class_gt.csv", codings=sheet)
    of_casme2 = clips.table["dataset"] == "casme2"
    table = clips.table[of_casme2]
    assert clips.table["clip_id"].tolist() == told["written_as"].tolist()
    assert set(table["action_units"]) == {"12"}
    assert (table["AU12"] == 1).all()
    assert ((table["apex"] - table["onset"]) == 4).all()
    assert set(table["emotion"]) == set(told.loc[of_casme2, "label"].map(EMOTIONS)[1:]) | {"others"}
    assert clips.table["label"].tolist() == told["label"].tolist()  # the list's class counts
    others = clips.table[~of_casme2]
    assert others["AU12"].isna().all()
    assert set(others["action_units"]) == {""}
    missing = clips.problems[clips.problems["field"] == "coding"]
    assert sorted(missing["clip_id"]) == sorted(others["clip_id"])
    disagreed = clips.problems[clips.problems["field"] == "label"]
    assert disagreed["clip_id"].tolist() == [changed]
    assert "others" in disagreed["found"].iloc[0]
    assert told.loc[told["written_as"] == changed, "label"].iloc[0] in disagreed["done"].iloc[0]
    assert clips.problems["kept"].all()


def test_codings_of_several_data_sets_are_recognised_and_joined(pack, tmp_path):
    root, told = pack
    listed = root / "combined_3class_gt.csv"
    samm_headers = [name.replace("Frame", " Frame") for name in HEADERS]
    casme2 = coding_of(told, "casme2", root / "one.csv")
    samm = coding_of(told, "samm", root / "two.csv", headers=samm_headers)
    smic = pd.read_csv(coding_of(told, "smic", root / "three.csv"))[
        ["Subject", "Filename", "OnsetFrame", "OffsetFrame", "Estimated Emotion"]
    ]
    smic["Estimated Emotion"] = smic["Estimated Emotion"].map({v: k for k, v in EMOTIONS.items()})
    smic.columns = ["Subject", "Filename", "OnsetF", "OffsetF", "Emotion"]
    smic.to_csv(root / "three.csv", index=False)
    clips = read_flow_pack(root, gt=listed, codings=[samm, root / "three.csv", casme2])
    assert clips.table["onset"].notna().all()
    coded = clips.table["dataset"] != "smic"
    assert (clips.table.loc[coded, "AU12"] == 1).all()
    assert clips.table.loc[~coded, "AU12"].isna().all()
    assert not clips.problems["field"].isin(["label", "coding"]).any()
    again = Clips.load(clips.save(tmp_path / "set"))
    assert again.table["action_units"].fillna("").tolist() == clips.table["action_units"].tolist()
    row = clips.table.iloc[0]
    drawn = view.plot_clip(clips, row["clip_id"])
    assert f"apex <span style='font-size:11px'>frame {row['apex']:.0f}" in drawn.layout.annotations[1].text


def test_the_first_of_two_codings_counts_and_what_the_second_says_is_a_problem(pack):
    root, told = pack
    clip_id = told.loc[told["written_as"].str.startswith("casme2/"), "written_as"].iloc[0]
    first = coding_of(told, "casme2", root / "first.csv")
    table = pd.read_csv(coding_of(told, "casme2", root / "second.csv"), dtype=str)
    table.loc[0, "Action Units"] = "4"
    table.to_csv(root / "second.csv", index=False)
    clips = read_flow_pack(root, gt=root / "combined_3class_gt.csv", codings=[first, root / "second.csv"])
    assert clips.table.loc[clips.table["clip_id"] == clip_id, "action_units"].tolist() == ["12"]
    found = clips.problems[clips.problems["field"] == "action_units"]
    assert found["clip_id"].tolist() == [clip_id]
    assert found["found"].tolist() == ["4 in second.csv, 12 in first.csv"]


def test_a_reader_and_a_pack_name_clips_and_people_alike(tmp_path):
    told = write_flow_pack(drawn_clips(), tmp_path / "pack")
    write_dataset(drawn_clips(), tmp_path / "samm", layout="samm", fps=15, size=64)
    index = read_samm(tmp_path / "samm")
    clips = read_flow_pack(tmp_path / "pack", codings=[index])
    shared = set(clips.table["clip_id"]) & set(index.table["clip_id"])
    assert len(shared) == told["written_as"].str.startswith("samm/").sum()
    people = {fold.held_out for fold in leave_one_subject_out(index.table)}
    assert {fold.held_out for fold in leave_one_subject_out(clips.table)} & people == {"samm/001"}
    assert "frames_folder" not in clips.table
    table = read_flow_pack(tmp_path / "pack", codings=index.table)
    pd.testing.assert_frame_equal(table.table, clips.table)


def test_a_coding_that_is_none_of_the_pack_gets_a_sentence(pack):
    root, told = pack
    listed = root / "combined_3class_gt.csv"
    with pytest.raises(FileNotFoundError, match=r"no spreadsheet at .*nowhere\.xlsx"):
        read_flow_pack(root, gt=listed, codings=root / "nowhere.xlsx")
    (root / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"other.csv is no spreadsheet"):
        read_flow_pack(root, gt=listed, codings=root / "other.csv")
    sheet = coding_of(told.assign(written_as="casme2/77/" + told["clip_id"]), "casme2", root / "strangers.csv")
    with pytest.raises(ValueError, match=rf"0 of the pack's clips in {len(told)} rows"):
        read_flow_pack(root, gt=listed, codings=sheet)
    with pytest.raises(ValueError, match="lacks emotion"):
        read_flow_pack(root, gt=listed, codings=ClipIndex(pd.DataFrame({"clip_id": ["a"], "subject": "1"})))


def texts_of(widget):
    """Every text in a widget and in what it contains."""
    own = [widget.value] if isinstance(getattr(widget, "value", None), str) else []
    return own + [text for child in getattr(widget, "children", ()) for text in texts_of(child)]


def test_values_of_a_pack_are_nowhere_called_pixels(pack, tmp_path):
    root, _ = pack
    clips = read_flow_pack(root)
    for channel in range(3):
        values = clips.flow[..., channel].reshape(len(clips), -1)
        assert set(values.max(axis=1)) == {1.0}
        assert set(values.min(axis=1)) == {-1.0 if channel < 2 else 0.0}
    assert "clip by clip" in repr(clips)
    assert "pixels 1" not in repr(clips)
    clip_id = clips.table["clip_id"].iloc[0]
    old = Clips(None, clips.flow, clips.table, recipe={"name": "flow pack", "coding": "uv_strain", "pixels": 1.0})
    for one in (clips, Clips.load(old.save(tmp_path / "old"))):  # 0.1.0 wrote such recipes
        drawn = view.plot_clip(one, clip_id), view.plot_flow(one, clip_id)
        for figure in drawn:
            assert any("0 is not no motion" in str(note.text) for note in figure.layout.annotations)
        heat = next(trace for trace in drawn[0].data if trace.type == "heatmap")
        assert "px" not in heat.colorbar.title.text
        assert "px" not in heat.hovertemplate.split("motion")[1]
        assert not any("px" in str(note.text) for note in drawn[1].layout.annotations[1:])
        player = ClipPlayer(one, clip_id=clip_id)
        for overlay in ("arrows", "magnitude"):
            player.overlay = overlay
            assert any("0 is not no motion" in text for text in texts_of(player))


def test_ids_of_earlier_versions_still_load(pack, tmp_path):
    root, _ = pack
    clips = read_flow_pack(root)
    old = clips.table.assign(clip_id="casme2/sub01/" + clips.table["filename"], subject="sub01")
    saved = Clips(None, clips.flow, old, recipe={"name": "flow pack"}).save(tmp_path / "old")
    assert Clips.load(saved).table["clip_id"].tolist() == old["clip_id"].tolist()


@pytest.mark.slow
def test_motion_alone_learns_from_a_pack_and_is_tested_on_each_person_unseen(tmp_path):
    write_flow_pack(synthetic_clips(n_subjects=10, clips_per_subject=12, n_frames=2, seed=0, n_jobs=1), tmp_path)
    clips = read_flow_pack(tmp_path)
    said = {}
    for fold in leave_one_subject_out(clips.table):
        train, test = clips.select(fold.train), clips.select(fold.test)
        model = MEDN(MEDNConfig.for_clips(train), seed=0)
        assert (model.config.branches, model.config.flow_channels, model.config.size) == ("motion", 3, 28)
        fit(model, train, training=TrainConfig(epochs=20, batch_size=16), progress=False)
        said |= dict(zip(fold.test, predict(model, test).predicted, strict=True))
    assert sorted(said) == sorted(clips.table["clip_id"])
    true = clips.table["label"].to_numpy()
    predicted = clips.table["clip_id"].map(said).to_numpy()
    majority = max((true == name).mean() for name in set(true))
    assert (predicted == true).mean() > majority
    assert uf1(true, predicted) > 0.4  # a guess of the largest class has .2
