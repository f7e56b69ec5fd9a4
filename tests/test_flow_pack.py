"""Flow packs: every list and spelling, codings joined by clip, and every row accounted for."""

import numpy as np
import pandas as pd
import pytest
from written_sets import drawn_clips, shared_set

from medn_lab import view
from medn_lab.data import leave_one_subject_out, read_flow_pack, read_samm
from medn_lab.data.frames import cv2
from medn_lab.evaluate import predict, uf1
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import Clips
from medn_lab.synthme import synthetic_clips, write_flow_pack
from medn_lab.train import TrainConfig, fit
from medn_lab.widgets import ClipPlayer

HEADERS = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
"""Of CASME II's, SAMM's and MMEW's spreadsheets alike."""

EMOTIONS = {"positive": "happiness", "negative": "disgust", "surprise": "surprise"}


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """A pack that is only read, and what was written."""
    root = tmp_path_factory.mktemp("pack")
    return root, write_flow_pack(drawn_clips(), root, listing="both")


@pytest.fixture
def three(tmp_path):
    """One clip of each data set as a picture, for lists that differ in form."""
    content = cv2.imencode(".png", np.arange(28 * 28 * 3, dtype=np.uint8).reshape(28, 28, 3))[1].tobytes()
    for name in ("sub01_EP02_01f .png", "006_006_1_2 .png", "s03_s03_ne_03 .png"):
        (tmp_path / name).write_bytes(content)
    return tmp_path


def packed(pack, **options) -> Clips:
    return read_flow_pack(pack[0], gt=pack[0] / "combined_3class_gt.csv", **options)


def sheet_of(wrote, path, *, changed=(), dataset="casme2"):
    """A spreadsheet with a row for each clip of a pack, its emotion as the class has it but for those `changed`."""
    rows = []
    for number, (clip_id, label) in enumerate(zip(wrote["written_as"], wrote["label"], strict=True)):
        name, subject, filename = clip_id.split("/")
        if name == dataset:
            emotion = dict(changed).get(clip_id, EMOTIONS[label])
            rows.append([f"sub{subject}", filename, 10 * number, 10 * number + 4, 10 * number + 9, "L12", emotion])
    pd.DataFrame(rows, columns=HEADERS).to_csv(path, index=False)
    return path


def test_every_picture_is_found_and_both_lists_are_the_same(pack):
    root, wrote = pack
    with pytest.raises(ValueError, match=r"2 lists.*gt="):
        read_flow_pack(root)
    clips, named = packed(pack), read_flow_pack(root, gt=root / "all_442_list.csv")
    assert clips.frames is None
    assert clips.flow.shape == (len(wrote), 28, 28, 3)
    np.testing.assert_array_equal(clips.flow, named.flow)
    for one in (clips, named):
        assert one.table[["clip_id", "label"]].values.tolist() == wrote[["written_as", "label"]].values.tolist()
    assert len(clips.problems) == 0
    assert [fold.held_out for fold in leave_one_subject_out(clips.table)] == ["casme2/01", "samm/001", "smic/1"]


def test_motion_survives_up_to_its_scale(pack):
    wrote, clips, source = pack[1], packed(pack), drawn_clips()
    for place in range(0, len(wrote), 5):
        flow = source.select([wrote["clip_id"][place]]).flow[0].reshape(64, 64, 2)
        where = np.unravel_index(np.abs(flow[..., 1]).argmax(), (64, 64))
        assert np.sign(clips.flow[place][where[0] * 28 // 64, where[1] * 28 // 64, 1]) == np.sign(flow[where][1])
    ends = [[-1, -1, 0], [1, 1, 1]]  # of u, v and strain in each clip
    for low_high in zip(clips.flow.min(axis=(1, 2)), clips.flow.max(axis=(1, 2)), strict=True):
        np.testing.assert_array_equal(low_high, ends)


def test_missing_and_surplus_pictures_are_problems(tmp_path):
    wrote = write_flow_pack(drawn_clips(), tmp_path, listing="official")
    pictures = sorted(tmp_path.glob("*.png"))
    pictures[0].unlink()
    pictures[1].write_bytes(pictures[1].read_bytes()[:40])
    (tmp_path / "sub99_EP01_01 .png").write_bytes(pictures[2].read_bytes())
    clips = read_flow_pack(tmp_path)
    assert len(clips) == len(wrote) - 2
    lost = set(clips.problems.loc[clips.problems["field"] == "flow", "clip_id"])
    assert lost == set(wrote["written_as"]) - set(clips.table["clip_id"])
    assert "sub99_EP01_01" in clips.problems.loc[clips.problems["field"] == "gt", "clip_id"].tolist()
    assert not clips.problems["kept"].any()


# --- lists ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Label;Clip;Subject;Data\n1;EP02_01F;sub1;CASME II\n0;6_1_2;6;SAMM\n2;s03_ne_03;S3;smic\n",
        ",dataset,sub,filename_o,label\n0,casme2,sub01,EP02_01f,1.0\n1,samm,006,006_1_2,0.0\n2,smic,s03,s03_s3_ne_03,2.0\n",
        "\ufeffDATASET\tSubject\tFilename\tClass\ncasme2\tS01\tsub01_ep02_01f\thappiness\nsamm\t006\t006_1_2\tnegative\n"
        "smic\ts3\ts03_s03_ne_03\tsur\n",
        "data，subject，clip，label\ncasme2，０１，EP02_01f，１\nsamm，006，006_1_2，0\nsmic，s03，s3_ne_03，surprise\n",
        "casme2,sub01,EP02_01f,1\r\n\r\nsamm,006,006_1_2,0,,\r\nsmic,s03,s03_s3_ne_03,2\r\n",
        "casme2;1;sub01_EP02_01f .png;1\nsamm;006;006_006_1_2;0\nsmic;s3;s03_s03_ne_03 .png;2\n",
    ],
)
def test_every_form_of_the_list_gives_the_readers_ids(three, text):
    (three / "list.csv").write_text(text, encoding="utf-8")
    clips = read_flow_pack(three)
    assert clips.table[["clip_id", "subject", "label"]].values.tolist() == [
        ["casme2/01/EP02_01f", "01", "positive"],
        ["samm/006/006_1_2", "006", "negative"],
        ["smic/3/s3_ne_03", "3", "surprise"],
    ]
    assert len(clips.problems) == 0


def test_pictures_in_folders_of_their_subject_are_found_and_faulty_rows_are_problems(three):
    (three / "sub01").mkdir()
    (three / "sub01_EP02_01f .png").rename(three / "sub01" / "EP02_01f.png")
    rows = "casme2,01,EP02_01f,1 casme2,sub01,ep02_01f,0 samm,006,006_1_3,0 samm,006,006_1_2,7 smic,,s3_ne_03,2"
    (three / "list.csv").write_text("data,subject,clip,label\n" + rows.replace(" ", "\n"))
    clips = read_flow_pack(three)
    assert clips.table[["clip_id", "label"]].values.tolist() == [["casme2/01/EP02_01f", "positive"]]
    found = clips.problems[clips.problems["field"] != "gt"].set_index("clip_id")
    assert found["field"].tolist() == ["clip_id", "label", "row", "flow"]
    again = found.loc["casme2/01/EP02_01f#2", "found"]
    assert all(fact in again for fact in ("row 2", "negative", "positive"))
    assert "'7'" in found.loc["samm/006/006_1_2", "found"]
    assert found.index[-1] == "samm/006/006_1_3"  # a like name is another clip
    assert not clips.problems["kept"].any()


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (None, r"no list.*\.csv"),
        ("casme2,sub01,EP02_01f,7\n", "list.csv.*0, 1 and 2.*'7'"),
        ("casme2,sub01,EP02_01f,2\nsamm,006,006_1_2,1\nsmic,s03,s3_ne_03,3\n", "from 1.*0, 1 and 2"),
        ("casme2,sub02,EP02_01f,1\n", "1 listed clips .* 3 pictures"),
        ("a,b\n", "list.csv is no list"),
    ],
)
def test_a_list_that_cannot_be_used_is_named(three, text, facts):
    if text is not None:
        (three / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=facts):
        read_flow_pack(three)


# --- codings --------------------------------------------------------------------------------------------------------


def test_codings_bring_aus_emotions_and_frames_without_any_frames(pack, tmp_path):
    wrote = pack[1]
    changed = wrote.loc[wrote["written_as"].str.startswith("casme2/"), "written_as"].iloc[0]
    clips = packed(pack, codings=sheet_of(wrote, tmp_path / "any name.csv", changed=[(changed, "others")]))
    assert clips.table[["clip_id", "label"]].values.tolist() == wrote[["written_as", "label"]].values.tolist()
    of_casme2 = clips.table["dataset"] == "casme2"
    table, others = clips.table[of_casme2], clips.table[~of_casme2]
    assert set(table["action_units"]) == {"12"}
    assert (table["AU12"] == 1).all()
    assert ((table["apex"] - table["onset"]) == 4).all()
    assert set(table["emotion"]) == {"others", *wrote.loc[of_casme2, "label"].map(EMOTIONS)[1:]}
    assert others["AU12"].isna().all()
    assert set(others["action_units"]) == {""}
    problems = clips.problems.set_index("clip_id")
    assert problems["kept"].all()
    assert sorted(problems.index[problems["field"] == "coding"]) == sorted(others["clip_id"])
    (disagreed,) = problems[problems["field"] == "label"].itertuples()
    assert disagreed.Index == changed
    assert "others" in disagreed.found
    assert wrote.loc[wrote["written_as"] == changed, "label"].iloc[0] in disagreed.done


def test_codings_of_several_data_sets_are_recognised_and_joined(pack, tmp_path):
    wrote = pack[1]
    casme2, samm = sheet_of(wrote, tmp_path / "1.csv"), sheet_of(wrote, tmp_path / "2.csv", dataset="samm")
    smic = pd.read_csv(sheet_of(wrote, tmp_path / "3.csv", dataset="smic"))
    smic["Emotion"] = smic["Estimated Emotion"].map({emotion: label for label, emotion in EMOTIONS.items()})
    smic = smic.rename(columns={"OnsetFrame": "OnsetF", "OffsetFrame": "OffsetF"})
    smic[["Subject", "Filename", "OnsetF", "OffsetF", "Emotion"]].to_csv(tmp_path / "3.csv", index=False)
    clips = packed(pack, codings=[samm, tmp_path / "3.csv", casme2])
    assert clips.table["onset"].notna().all()
    shown = (clips.table["AU12"] == 1).groupby(clips.table["dataset"]).mean()
    assert shown.to_dict() == {"casme2": 1, "samm": 1, "smic": 0}
    assert clips.table.loc[clips.table["dataset"] == "smic", "AU12"].isna().all()
    assert not clips.problems["field"].isin(["label", "coding"]).any()
    row = clips.table.iloc[0]
    texts = [note.text for note in view.plot_clip(clips, row["clip_id"]).layout.annotations]
    assert any("apex" in text and f"frame {row['apex']:.0f}" in text for text in texts)
    with pytest.raises(ValueError, match="more than once"):  # which of two codings is meant is the user's choice
        packed(pack, codings=[casme2, casme2])


def test_a_reader_and_a_pack_name_clips_and_people_alike(pack):
    index = read_samm(shared_set("samm")[0])
    clips = packed(pack, codings=[index])
    shared = set(clips.table["clip_id"]) & set(index.table["clip_id"])
    assert len(shared) == pack[1]["written_as"].str.startswith("samm/").sum()
    people = [{fold.held_out for fold in leave_one_subject_out(one.table)} for one in (index, clips)]
    assert people[0] & people[1] == {"samm/001"}
    assert "frames_folder" not in clips.table


def test_a_coding_that_is_none_of_the_pack_is_named(pack, tmp_path):
    wrote = pack[1]
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for name in ("nowhere.xlsx", "other.csv"):
        with pytest.raises(ValueError, match=f"{name} is no spreadsheet"):
            packed(pack, codings=tmp_path / name)
    sheet = sheet_of(wrote.assign(written_as="casme2/77/" + wrote["clip_id"]), tmp_path / "strangers.csv")
    with pytest.raises(ValueError, match=rf"0 of the pack's clips in {len(wrote)} rows"):
        packed(pack, codings=sheet)


# --- what others make of a pack -------------------------------------------------------------------------------------


def test_values_of_a_pack_are_nowhere_called_pixels(pack, tmp_path):
    clips = packed(pack)
    assert "not pixels" in repr(clips)
    clip_id = clips.table["clip_id"].iloc[0]
    old = Clips(None, clips.flow, clips.table, recipe={"name": "flow pack", "coding": "uv_strain", "pixels": 1.0})
    for one in (clips, Clips.load(old.save(tmp_path / "old"))):  # 0.1.0 wrote such recipes
        drawn = view.plot_clip(one, clip_id), view.plot_flow(one, clip_id)
        for figure in drawn:
            assert any("0 can be motion" in str(note.text) for note in figure.layout.annotations)
        heat = next(trace for trace in drawn[0].data if trace.type == "heatmap")
        assert "px" not in heat.hovertemplate
        assert not any("px" in str(note.text) for note in drawn[1].layout.annotations[1:])
        player = ClipPlayer(one, clip_id=clip_id)
        player.view.overlay = "arrows"
        assert "0 can be motion" in player.view.faces[0]["texts"]["arrows"]


@pytest.mark.slow
def test_motion_alone_learns_from_a_pack_and_is_tested_on_persons_unseen(tmp_path):
    write_flow_pack(synthetic_clips(n_subjects=10, clips_per_subject=12, n_frames=2, seed=0, n_jobs=1), tmp_path)
    clips = read_flow_pack(tmp_path)
    folds, predicted = leave_one_subject_out(clips.table), {}
    for held_out in (folds[:5], folds[5:]):
        test = clips.select([name for fold in held_out for name in fold.test])
        train = clips.select([name for name in clips.table["clip_id"] if name not in set(test.table["clip_id"])])
        model = MEDN(MEDNConfig.for_clips(train), seed=0)
        assert (model.config.branches, model.config.flow_channels, model.config.size) == ("motion", 3, 28)
        fit(model, train, training=TrainConfig(epochs=20, batch_size=16), progress=False)
        predicted |= dict(zip(test.table["clip_id"], predict(model, test).predicted, strict=True))
    true, found = clips.table["label"].to_numpy(), clips.table["clip_id"].map(predicted).to_numpy()
    assert (found == true).mean() > max((true == name).mean() for name in set(true))
    assert uf1(true, found) > 0.4  # a guess of the largest class has .2
