"""Each layout is written under its official names with the faults of the real files, and every row is accounted for."""

import numpy as np
import pandas as pd
import pytest
from refusals import assert_refuses
from slow_cases import mostly_slow
from written_sets import COARSE, TINY, drawn_clips, is_accounted_for, left_out, shared_set, written

from medn_lab import data
from medn_lab.data import PROTOCOLS, prepare, read_casme2, read_dataset, read_megc2019, read_samm, to_classes
from medn_lab.data.frames import list_frames, read_image
from medn_lab.data.layouts import LAYOUTS
from medn_lab.synthme import render_frames, synthetic_clips, write_dataset
from medn_lab.synthme.identity import read_table

LEFT_OUT_BY_READER = {"onset_missing", "folder_missing", "frames_mostly_missing"}
LEFT_OUT_BY_PREPARE = {"frame_truncated", "frame_resized"}
"""Planted faults that cannot be repaired; all others are."""

UNSEEN = {"", *LEFT_OUT_BY_PREPARE, "aus_differ", "emotion_spelled", "subject_unpadded"}
"""Faults of which the reader has nothing to say."""


@pytest.fixture
def casme2():
    return shared_set("casme2")


@pytest.mark.parametrize("layout", mostly_slow(sorted(data.LAYOUTS, key=lambda name: name != "smic"), quick=2))
def test_a_data_set_with_every_fault_is_read_and_each_row_accounted_for(layout):
    root, wrote = shared_set(layout, faults=True)
    index = read_dataset(root, layout=layout)
    assert is_accounted_for(index)
    twice, closing = (wrote["fault"] == "row_twice").sum(), int(layout == "smic")
    assert index.source["rows"] == len(wrote) + twice + closing
    strict = getattr(data, f"read_{layout}")(root, repair=False)
    assert is_accounted_for(strict)
    assert set(strict.table["clip_id"]) < set(index.table["clip_id"])

    problems = index.problems.assign(clip_id=index.problems["clip_id"].str.removesuffix("#2"))
    table = index.table.set_index("clip_id")
    aus = drawn_clips().table.set_index("clip_id")["action_units"]
    for row in wrote.to_dict("records"):
        fault, name = row["fault"], row["written_as"]
        kept = fault not in LEFT_OUT_BY_READER and fault != "row_twice"
        found = problems.loc[problems["clip_id"] == name, "kept"].tolist()
        assert found == ([] if fault in UNSEEN else [kept]), f"{fault} of {name}"
        if fault in ("", "frames_missing", "subject_unpadded"):  # read back as it was written
            clip = table.loc[name]
            assert (clip["onset"], clip["offset"]) == (row["onset"], row["offset"])
            assert np.isnan(clip["apex"]) if layout == "smic" else clip["apex"] == row["apex"]
            assert clip["action_units"] == ("" if layout == "smic" else aus[row["clip_id"]])
            there = [one[2:] for one in table if one.startswith("AU") and clip[one] == 1]
            assert "+".join(there) == clip["action_units"]

    assert (index.table["subject"].nunique(), set(index.table["dataset"])) == (3, {layout})


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["casme2", "smic", "casme3"])
def test_every_row_is_a_prepared_clip_or_left_out(layout):
    root, wrote = shared_set(layout, faults=True)
    index = read_dataset(root, layout=layout)
    prepared = prepare(index, recipe=TINY, crop="none", progress=False)
    lost = left_out(prepared)
    assert not lost & set(prepared.table["clip_id"])
    assert len(prepared) + len(lost) == index.source["rows"]
    gone = wrote.loc[wrote["fault"].isin(LEFT_OUT_BY_READER | LEFT_OUT_BY_PREPARE), "written_as"]
    assert set(gone) == {name for name in lost if "#2" not in name and "(" not in name}
    assert prepared.frames.reshape(len(prepared), -1).max(axis=1).min() > 0  # no row was left empty
    assert prepared.table["apex"].between(prepared.table["onset"], prepared.table["offset"]).all()


def test_a_data_set_is_added_by_its_layout_and_its_classes(monkeypatch, tmp_path):
    coding = data.Coding("mine_1", "mine.csv", "Person=subject, Clip, Onset, Apex, Offset, AU, Label, Remarks")
    tree = data.FrameTree("raw", "faces/{subject}/{filename}", "f{number:03d}.jpg", "faces")
    mine = data.Layout("mine", "My set", 50.0, (coding,), (tree,), subject="P{number:03d}", clip="clip{number}")
    monkeypatch.setitem(data.LAYOUTS, "mine", mine)
    rule = {"happiness": "happy", "disgust": "unhappy", "repression": "unhappy"}
    protocol = data.Protocol("mine_2class", ("happy", "unhappy"), {"mine": rule})
    monkeypatch.setitem(data.PROTOCOLS, "mine_2class", protocol)

    faults = ["apex_slash", "folder_missing"]
    wrote = write_dataset(drawn_clips(), tmp_path, layout="mine", fps=15, size=64, faults=faults)
    index = read_dataset(tmp_path, layout="mine")
    assert is_accounted_for(index)
    assert index.table["clip_id"].tolist() == wrote["written_as"].drop(1).tolist()
    assert index.table.loc[0, ["subject", "filename", "fps", "coding"]].tolist() == ["P001", "clip1", 50.0, "mine_1"]
    assert index.problems[["field", "kept"]].values.tolist() == [["apex", True], ["frames", False]]
    kept, _ = to_classes(index.table, "mine_2class")
    assert dict(zip(kept["emotion"], kept["label"], strict=True)) == rule


# --- MEGC 2019 ------------------------------------------------------------------------------------------------------


def test_megc2019_joins_what_is_given_and_keeps_people_apart(casme2):
    (samm, wrote_samm), (smic, _) = shared_set("samm"), shared_set("smic")
    index = read_megc2019(casme2=casme2[0], samm=read_samm(samm), smic=smic)
    assert set(index.table["label"]) == {"negative", "positive", "surprise"}
    assert (index.table["dataset"] == "samm").sum() == (wrote_samm["emotion"] != "Other").sum()
    unknown = index.table["AU12"].isna().groupby(index.table["dataset"]).mean()
    assert unknown.to_dict() == {"casme2": 0, "samm": 0, "smic": 1}
    assert_refuses(read_megc2019, match="at least one")


def test_the_official_list_decides_which_clips_are_in_and_their_class(casme2, tmp_path):
    index = read_casme2(casme2[0])
    one, two, other = index.table.iloc[[0, 1, 4]].itertuples()
    rows = [("casme2", f"sub{one.subject}", one.filename, 0), ("casme2", two.subject, two.filename.upper(), 1)]
    rows += [("casme2", "sub26", "EP99_01", 2), ("samm", "006", "006_1_2", 2), ("casme2", one.subject, "EP98_01", 9)]
    pd.DataFrame(rows).to_csv(tmp_path / "gt.csv", index=False, header=False)
    listed = read_megc2019(casme2=index, gt=tmp_path / "gt.csv")
    labels = dict(zip(listed.table["clip_id"], listed.table["label"], strict=True))
    assert labels == {one.clip_id: "negative", two.clip_id: "positive"}
    problems = listed.problems.iloc[len(index.problems) :]
    gone = problems[~problems["kept"]].set_index("clip_id")["field"]
    assert gone[["casme2/26/EP99_01", other.clip_id]].tolist() == ["gt", "gt"]
    assert gone[f"casme2/{one.subject}/EP98_01"] == "label"
    assert (gone == "gt").sum() == len(index) - 2 + 1  # of SAMM none: no SAMM was given
    rule = PROTOCOLS["megc2019"].rules["casme2"]
    changed = {row.clip_id for row in (one, two) if rule.get(row.emotion) != labels[row.clip_id]}
    assert set(problems.loc[problems["kept"] & (problems["field"] == "label"), "clip_id"]) == changed


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "broken.xlsx").write_bytes(b"PK\x03\x04 half a file")
    (tmp_path / "smic.csv").write_text("Subject,Filename,OnsetF,OffsetF,Emotion\n1,a,1,2,x\n")
    (tmp_path / "set").mkdir()
    assert_refuses(read_casme2, tmp_path / "set", match="no spreadsheet of CASME II")
    written(tmp_path / "set", "casme2", frames=False)
    for options, facts in (
        ({"spreadsheet": tmp_path / "broken.xlsx"}, "CASME II.*broken.xlsx"),
        ({"spreadsheet": tmp_path / "smic.csv"}, "smic.csv.*action_units"),
        ({"frames": "colour"}, "'colour'.*cropped, raw"),
        ({"layout": "casme9"}, "'casme9'.*casme2, samm"),
        ({}, r"none of 24 rows .* 0 folders"),
    ):
        assert_refuses(read_dataset, tmp_path / "set", **{"layout": "casme2"} | options, match=facts)
    assert_refuses(read_casme2, tmp_path / "nowhere", match=r"nowhere.*CASME II", error=FileNotFoundError)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_the_spreadsheet_has_the_official_name_headers_and_preamble(tmp_path, layout):
    rows = written(tmp_path, layout, frames=False)
    coding = LAYOUTS[layout].codings[0]
    path = tmp_path / coding.filename
    read = pd.read_csv if path.suffix == ".csv" else pd.read_excel
    table = read(path, skiprows=coding.preamble, dtype=str)
    if layout == "casme2":  # a leading zero stays, and numbers are numbers
        first = pd.read_excel(path, dtype=object).iloc[0]
        assert (first["Subject"], type(first["OnsetFrame"])) == ("01", int)
    headers = [name if not str(name).startswith("Unnamed") else "" for name in table.columns]
    assert headers == [header for header, _ in coding.columns]
    assert len(table) - len(coding.closing) * (layout == "smic") == len(rows)


def test_frames_are_those_of_synthme_under_official_names(tmp_path):
    clips = synthetic_clips(n_subjects=1, clips_per_subject=4, n_frames=2, cue="colour+brightness", seed=4)
    assert set(clips.truth.table["cue_kind"]) == {"colour", "brightness"}
    for row in write_dataset(clips, tmp_path, layout="casme2", tree="raw", fps=20, size=64).to_dict("records"):
        folder = tmp_path / "CASME2_RAW_selected" / "sub01" / row["written_as"].rpartition("/")[2]
        paths = list_frames(folder)
        assert list(paths) == list(range(row["onset"], row["offset"] + 1))
        assert paths[row["apex"]].name == f"img{row['apex']}.png"
        clip = clips.table.set_index("clip_id").loc[row["clip_id"]]
        drawn = render_frames(clips, row["clip_id"], [clip["onset"], clip["apex"]], size=64)
        for number, picture in zip((row["onset"], row["apex"]), drawn, strict=True):
            np.testing.assert_array_equal(read_image(paths[number]), picture)


def test_each_data_set_is_written_in_its_manner(tmp_path):
    casme3, samm, smic = (written(tmp_path, name, frames=False) for name in ("casme3", "samm", "smic"))
    assert casme3["written_as"].is_unique
    assert samm["action_units"].str.fullmatch(r"[LR]?\d+[A-E](\+[LR]?\d+[A-E])*").all()
    assert set(smic["emotion"]) <= {"positive", "negative", "surprise"}
    assert len(smic) == (drawn_clips().table["emotion"] != "others").sum()
    planted = written(tmp_path, "casme2", frames=False, faults=True)["fault"]
    assert sorted(planted[planted != ""]) == sorted(read_table("faults").query("by_default").index)
    assert "apex_slash" not in written(tmp_path, "smic", frames=False, faults=True)["fault"].tolist()


def test_bad_requests_get_a_sentence(tmp_path):
    for layout, options, facts in (
        ("casme9", {}, "casme2, .*'casme9'"),
        ("casme2", {"coding": "casme2_2020"}, "casme2_2014, .*'casme2_2020'"),
        ("smic", {"faults": ["apex_slash"]}, "SMIC.*'apex_slash'"),
        ("casme2", {"faults": ["apex_slash"] * 25}, "25 faults.* 24"),
        ("casme2", COARSE | {"fps": 500}, "fps.* 200.* 500"),
    ):
        assert_refuses(written, tmp_path, layout, frames=False, **options, match=facts)
