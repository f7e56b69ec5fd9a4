"""Flow packs: every list and spelling, codings joined by clip, and every row accounted for."""

import cv2
import numpy as np
import pandas as pd
import pytest
from refusals import assert_refuses
from written_sets import drawn_clips, shared_set

from medn_lab import view
from medn_lab.data import leave_one_subject_out, read_flow_pack, read_samm
from medn_lab.records import Clips
from medn_lab.synthme import write_flow_pack

HEADERS = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
"""Of CASME II's, SAMM's and MMEW's spreadsheets alike."""

EMOTIONS = {"positive": "happiness", "negative": "disgust", "surprise": "surprise"}


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """A pack that is only read, and what was written."""
    root = tmp_path_factory.mktemp("pack")
    return root, write_flow_pack(drawn_clips(), root, named=True)


@pytest.fixture
def three(tmp_path):
    """One clip of each data set as a picture, for lists that differ in form."""
    content = cv2.imencode(".png", np.arange(28 * 28 * 3, dtype=np.uint8).reshape(28, 28, 3))[1].tobytes()
    for name in ("sub01_EP02_01f .png", "006_006_1_2 .png", "s03_s03_ne_03 .png"):
        (tmp_path / name).write_bytes(content)
    return tmp_path


def packed(pack, **options) -> Clips:
    return read_flow_pack(pack[0], gt=pack[0] / "combined_3class_gt.csv", **options)


def sheet_of(wrote, path, *, changed="", dataset="casme2"):
    """A spreadsheet with a row for each clip of a pack, its emotion as the class has it but for the clip `changed`."""
    rows = []
    for number, (clip_id, label) in enumerate(zip(wrote["written_as"], wrote["label"], strict=True)):
        name, subject, filename = clip_id.split("/")
        if name == dataset:
            emotion = "others" if clip_id == changed else EMOTIONS[label]
            rows.append([f"sub{subject}", filename, 10 * number, 10 * number + 4, 10 * number + 9, "L12", emotion])
    pd.DataFrame(rows, columns=HEADERS).to_csv(path, index=False)
    return path


def test_every_picture_is_found_in_both_lists_and_motion_survives_up_to_its_scale(pack):
    root, wrote = pack
    assert_refuses(read_flow_pack, root, match=r"2 lists.*gt=")
    clips, named = packed(pack), read_flow_pack(root, gt=root / "all_442_list.csv")
    assert clips.frames is None
    assert clips.flow.shape == (len(wrote), 28, 28, 3)
    np.testing.assert_array_equal(clips.flow, named.flow)
    for one in (clips, named):
        assert one.table[["clip_id", "label"]].values.tolist() == wrote[["written_as", "label"]].values.tolist()
    assert len(clips.problems) == 0
    assert [fold.held_out for fold in leave_one_subject_out(clips.table)] == ["casme2/01", "samm/001", "smic/1"]
    flow = drawn_clips().select([wrote["clip_id"][0]]).flow[0].reshape(64, 64, 2)
    where = np.unravel_index(np.abs(flow[..., 1]).argmax(), (64, 64))
    assert np.sign(clips.flow[0][where[0] * 28 // 64, where[1] * 28 // 64, 1]) == np.sign(flow[where][1])
    ends = [[-1, -1, 0], [1, 1, 1]]  # of u, v and strain in each clip
    for low_high in zip(clips.flow.min(axis=(1, 2)), clips.flow.max(axis=(1, 2)), strict=True):
        np.testing.assert_array_equal(low_high, ends)


# --- lists ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Label;Clip;Subject;Data\n1;EP02_01F;sub1;CASME II\n0;6_1_2;6;SAMM\n2;s03_ne_03;S3;smic\n",
        ",dataset,sub,filename_o,label\n0,casme2,sub01,EP02_01f,1.0\n1,samm,006,006_1_2,0.0\n2,smic,s03,s03_s3_ne_03,2.0\n",
        "data，subject，clip，label\ncasme2，０１，EP02_01f，１\nsamm，006，006_1_2，negative\nsmic，s03，s3_ne_03，surprise\n",
        "casme2,sub01,EP02_01f,1\r\n\r\nsamm,006,006_1_2,0,,\r\nsmic,s03,s03_s3_ne_03,2\r\n",
    ],
)
def test_every_form_of_the_list_gives_the_readers_ids(three, text):
    (three / "list.csv").write_text(text, encoding="utf-8")
    clips = read_flow_pack(three)
    ids = ["casme2/01/EP02_01f", "samm/006/006_1_2", "smic/3/s3_ne_03"]
    assert clips.table["clip_id"].tolist() == ids
    assert clips.table["label"].tolist() == ["positive", "negative", "surprise"]
    assert len(clips.problems) == 0


def test_pictures_in_folders_of_their_subject_are_found_and_faulty_rows_are_problems(three):
    (three / "sub01").mkdir()
    (three / "sub01_EP02_01f .png").rename(three / "sub01" / "EP02_01f.png")
    rows = "casme2,01,EP02_01f,1 casme2,sub01,ep02_01f,0 samm,006,006_1_3,0 samm,006,006_1_2,7 smic,,s3_ne_03,2"
    (three / "list.csv").write_text("data,subject,clip,label\n" + rows.replace(" ", "\n"))
    clips = read_flow_pack(three)
    assert clips.table[["clip_id", "label"]].values.tolist() == [["casme2/01/EP02_01f", "positive"]]
    found = clips.problems[clips.problems["field"] != "gt"]
    assert found[["clip_id", "field"]].values.tolist()[:2] == [
        ["casme2/01/EP02_01f#2", "clip_id"], ["samm/006/006_1_2", "label"],
    ]  # fmt: skip
    assert found["field"].tolist()[2:] == ["row", "flow"]
    assert found["clip_id"].iloc[-1] == "samm/006/006_1_3"  # a like name is another clip
    assert all(fact in found["found"].iloc[0] for fact in ("row 2", "negative", "positive"))
    assert "006_006_1_2" in clips.problems.loc[clips.problems["field"] == "gt", "clip_id"].tolist()  # a surplus picture
    assert not clips.problems["kept"].any()


def test_a_list_that_cannot_be_used_is_named(three):
    for text, facts in {
        "casme2,sub01,EP02_01f,7\n": "list.csv.*0, 1 and 2.*'7'",
        "casme2,sub01,EP02_01f,2\nsamm,006,006_1_2,1\nsmic,s03,s3_ne_03,3\n": "from 1.*0, 1 and 2",
        "casme2,sub02,EP02_01f,1\n": r"of the list \(1\) .* 3 pictures",
        "a,b\n": "list.csv is no list",
    }.items():
        (three / "list.csv").write_text(text)
        assert_refuses(read_flow_pack, three, match=facts)


# --- codings --------------------------------------------------------------------------------------------------------


def test_codings_bring_aus_emotions_and_frames_without_any_frames(pack, tmp_path):
    wrote = pack[1]
    changed = next(name for name in wrote["written_as"] if name.startswith("casme2/"))
    clips = packed(pack, codings=sheet_of(wrote, tmp_path / "any name.csv", changed=changed))
    assert clips.table[["clip_id", "label"]].values.tolist() == wrote[["written_as", "label"]].values.tolist()
    of_casme2 = clips.table["dataset"] == "casme2"
    table, others = clips.table[of_casme2], clips.table[~of_casme2]
    assert (set(table["action_units"]), set(others["action_units"])) == ({"12"}, {""})
    assert (table["AU12"].eq(1).all(), others["AU12"].isna().all()) == (True, True)
    assert ((table["apex"] - table["onset"]) == 4).all()
    assert set(table["emotion"]) == {"others", *wrote.loc[of_casme2, "label"].map(EMOTIONS)[1:]}
    problems = clips.problems.set_index("clip_id")
    assert problems["kept"].all()
    assert sorted(problems.index[problems["field"] == "coding"]) == sorted(others["clip_id"])
    disagreed = problems[problems["field"] == "label"].reset_index()
    assert disagreed[["clip_id", "found", "done"]].values.tolist() == [
        [changed, "others, in no class", f"-> {clips.table['label'].iloc[0]}, as the list"]
    ]


def test_codings_of_several_data_sets_are_recognised_and_joined(pack, tmp_path):
    wrote = pack[1]
    casme2, samm = sheet_of(wrote, tmp_path / "1.csv"), sheet_of(wrote, tmp_path / "2.csv", dataset="samm")
    smic = pd.read_csv(sheet_of(wrote, tmp_path / "3.csv", dataset="smic"))
    smic["Emotion"] = smic["Estimated Emotion"].map({emotion: label for label, emotion in EMOTIONS.items()})
    smic = smic.rename(columns={"OnsetFrame": "OnsetF", "OffsetFrame": "OffsetF"})
    smic[["Subject", "Filename", "OnsetF", "OffsetF", "Emotion"]].to_csv(tmp_path / "3.csv", index=False)
    clips = packed(pack, codings=[samm, tmp_path / "3.csv", casme2])
    assert clips.table["onset"].notna().all()
    shown = clips.table["AU12"].groupby(clips.table["dataset"]).mean()
    assert shown.fillna(-1).to_dict() == {"casme2": 1, "samm": 1, "smic": -1}
    assert not clips.problems["field"].isin(["label", "coding"]).any()
    index = read_samm(shared_set("samm")[0])  # a reader names clips and people alike
    coded = packed(pack, codings=[index])
    shared = set(coded.table["clip_id"]) & set(index.table["clip_id"])
    assert len(shared) == wrote["written_as"].str.startswith("samm/").sum()
    assert_refuses(packed, pack, codings=[casme2, casme2], match="more than once")  # the user must choose


def test_a_coding_that_is_none_of_the_pack_is_named(pack, tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    sheet_of(pack[1].assign(written_as="casme2/77/" + pack[1]["clip_id"]), tmp_path / "strangers.csv")
    for name in ("nowhere.xlsx", "other.csv", "strangers.csv"):
        assert_refuses(packed, pack, codings=tmp_path / name, match=f"{name} is no spreadsheet")


def test_values_of_a_pack_are_nowhere_called_pixels(pack):
    clips = packed(pack)
    assert "not pixels" in repr(clips)
    notes = [str(note.text) for note in view.plot_flow(clips, clips.table["clip_id"][0]).layout.annotations]
    assert any("0 can be motion" in note for note in notes)
    assert not any("px" in note for note in notes[1:])
