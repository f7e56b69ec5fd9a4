"""Each layout is written with the faults of the real files, read back, and every row accounted for."""

import shutil

import numpy as np
import pandas as pd
import pytest
from slow_cases import mostly_slow
from written_sets import TINY, drawn_clips, is_accounted_for, shared_set, written

from medn_lab import data
from medn_lab.data import (
    compare_codings,
    prepare,
    read_casme2,
    read_dataset,
    read_megc2019,
    read_samm,
    read_smic,
    to_classes,
)
from medn_lab.records import ClipIndex
from medn_lab.synthme import write_dataset

LEFT_OUT_BY_READER = {"onset_missing", "folder_missing", "frames_mostly_missing"}
LEFT_OUT_BY_PREPARE = {"frame_truncated", "frame_resized"}
"""Planted faults that cannot be repaired; all others are."""

UNSEEN = {"", *LEFT_OUT_BY_PREPARE, "aus_differ", "emotion_spelled", "subject_unpadded"}
"""Faults of which the reader has nothing to say."""

PROTOCOL = {"casme2": "casme2_5class", "samm": "samm_5class", "smic": "megc2019", "casme3": "casme3_7class"}


@pytest.fixture(params=mostly_slow(sorted(data.LAYOUTS, key=lambda name: name not in ("casme2", "smic")), quick=2))
def faulty(request):
    """A layout's name, its index read from files with every fault, and what was written."""
    root, wrote = shared_set(request.param, faults=True)
    return request.param, read_dataset(root, layout=request.param), wrote, root


@pytest.fixture
def casme2():
    return shared_set("casme2")


def left_out(index) -> set[str]:
    return set(index.problems.loc[~index.problems["kept"].astype(bool), "clip_id"])


def test_every_row_is_a_clip_or_left_out_with_and_without_repairs(faulty):
    layout, index, wrote, root = faulty
    assert is_accounted_for(index)
    twice, closing = (wrote["fault"] == "row_twice").sum(), int(layout == "smic")
    assert index.source["rows"] == len(wrote) + twice + closing
    strict = read_dataset(root, layout=layout, repair=False)
    assert is_accounted_for(strict)
    assert set(strict.table["clip_id"]) < set(index.table["clip_id"])
    by_name = getattr(data, f"read_{layout}")(root)
    pd.testing.assert_frame_equal(by_name.table, index.table)


@pytest.mark.slow
def test_every_row_is_a_prepared_clip_or_left_out(faulty, tmp_path):
    _, index, wrote, _ = faulty
    prepared = prepare(index, tmp_path / "set", recipe=TINY, crop="none", progress=False)
    lost = left_out(prepared)
    assert not lost & set(prepared.table["clip_id"])
    assert len(prepared) + len(lost) == index.source["rows"]
    gone = wrote.loc[wrote["fault"].isin(LEFT_OUT_BY_READER | LEFT_OUT_BY_PREPARE), "written_as"]
    assert set(gone) == {name for name in lost if "#2" not in name and "(" not in name}
    assert prepared.frames.reshape(len(prepared), -1).max(axis=1).min() > 0  # no row was left empty
    assert prepared.table["apex"].between(prepared.table["onset"], prepared.table["offset"]).all()


def test_each_planted_fault_is_one_problem_and_nothing_else_is(faulty):
    _, index, wrote, _ = faulty
    problems = index.problems.assign(clip_id=index.problems["clip_id"].str.removesuffix("#2"))
    for clip_id, fault in zip(wrote["written_as"], wrote["fault"], strict=True):
        found = problems.loc[problems["clip_id"] == clip_id, "kept"].tolist()
        kept = fault not in LEFT_OUT_BY_READER and fault != "row_twice"
        assert found == ([] if fault in UNSEEN else [kept]), f"{fault} of {clip_id}"


def test_what_has_no_fault_reads_back_as_it_was_written(faulty):
    layout, index, wrote, _ = faulty
    table = index.table.set_index("clip_id")
    aus = drawn_clips().table.set_index("clip_id")["action_units"]
    for row in wrote[wrote["fault"].isin(["", "frames_missing", "subject_unpadded"])].to_dict("records"):
        found = table.loc[row["written_as"]]
        assert (found["onset"], found["offset"]) == (row["onset"], row["offset"])
        assert np.isnan(found["apex"]) if layout == "smic" else found["apex"] == row["apex"]
        if layout != "smic":
            assert found["action_units"] == aus[row["clip_id"]]
            present = {f"AU{unit}" for unit in found["action_units"].split("+")}
            assert {name for name in table if name.startswith("AU") and found[name] == 1} == present


def test_subjects_are_people_classes_are_found_and_an_index_survives_the_disk(faulty, tmp_path):
    layout, index, _, _ = faulty
    assert index.table["subject"].nunique() == 3
    assert set(index.table["dataset"]) == {layout}
    if layout in PROTOCOL:
        kept, dropped = to_classes(index.table, PROTOCOL[layout])
        assert len(kept) + len(dropped) == len(index)
        assert kept["label"].nunique() >= 2
    again = ClipIndex.load(index.save(tmp_path / "index"))
    pd.testing.assert_frame_equal(again.table, index.table, check_dtype=False)
    assert again.problems["done"].tolist() == index.problems["done"].tolist()


def test_a_data_set_is_added_by_its_layout_and_its_classes(monkeypatch, tmp_path):
    coding = data.Coding("mine_1", "mine.csv", "Subject, Clip, Onset, Apex, Offset, AU, Label, Remarks")
    tree = data.FrameTree("raw", "faces/{subject}/{filename}", "f{number:03d}.jpg", "faces")
    mine = data.Layout("mine", "My set", 50.0, (coding,), (tree,), subject="P{number:03d}", clip="clip{number}")
    monkeypatch.setitem(data.LAYOUTS, "mine", mine)
    rule = {"happiness": "happy", "disgust": "unhappy", "repression": "unhappy"}
    protocol = data.Protocol("mine_2class", ("happy", "unhappy"), {"mine": rule}, "Surprise and others are dropped.")
    monkeypatch.setitem(data.PROTOCOLS, "mine_2class", protocol)

    wrote = write_dataset(
        drawn_clips(), tmp_path, layout="mine", fps=15, size=64, faults=["apex_slash", "folder_missing"]
    )
    index = read_dataset(tmp_path, layout="mine")
    assert is_accounted_for(index)
    assert index.table["clip_id"].tolist() == wrote["written_as"].drop(1).tolist()
    assert index.table.loc[0, ["subject", "filename", "fps", "coding"]].tolist() == ["P001", "clip1", 50.0, "mine_1"]
    assert index.problems[["field", "kept"]].values.tolist() == [["apex", True], ["frames", False]]
    kept, dropped = to_classes(index.table, "mine_2class")
    assert dict(zip(kept["emotion"], kept["label"], strict=True)) == rule
    assert set(dropped["emotion"]) == {"surprise", "others"}


def test_two_codings_are_told_apart_and_compared(casme2, tmp_path):
    root = shutil.copytree(casme2[0], tmp_path / "set")
    wrote = written(root, "casme2", coding="casme2_2019", frames=False, fps=15, faults=["aus_differ", "aus_unknown"])
    with pytest.raises(ValueError, match=r"2 spreadsheets.*casme2_2014.*casme2_2019.*spreadsheet="):
        read_casme2(root)
    old = read_casme2(root, spreadsheet="CASME2-coding-20140508.xlsx")
    new = read_casme2(root, spreadsheet=root / "CASME2-coding-20190701.xlsx")
    assert (set(old.table["coding"]), set(new.table["coding"])) == ({"casme2_2014"}, {"casme2_2019"})
    differences = compare_codings(old, new)
    assert differences["clip_id"].tolist() == wrote["written_as"].tolist()[:2]
    assert differences["field"].tolist() == ["action_units", "action_units"]
    assert compare_codings(old, old).empty
    fewer = ClipIndex(old.table.iloc[1:], old.problems, old.source)
    assert compare_codings(old, fewer)[["field", "a", "b"]].values.tolist() == [["clip", "there", "not there"]]


def test_raw_and_cropped_frames_can_be_chosen(casme2, tmp_path):
    root = shutil.copytree(casme2[0], tmp_path / "both")
    written(root, "casme2", tree="raw", size=64, fps=15)
    assert read_casme2(root).table["cropped"].all()
    raw = read_casme2(root, frames="raw").table
    assert not raw["cropped"].any()
    assert raw["frames_folder"].str.contains("CASME2_RAW_selected").all()


def test_smic_cameras_are_kept_apart():
    root, wrote = shared_set("smic")
    index = read_smic(root)
    assert len(index) == len(wrote)
    assert (index.table["fps"] == 100).all()
    with pytest.raises(ValueError, match=r"SMIC-HS-E_annotation.xlsx.* hs, not nir.*SMIC-NIR-E"):
        read_smic(root, camera="nir")
    with pytest.raises(ValueError, match="0 folders of frames"):
        read_smic(root, camera="nir", spreadsheet="SMIC-HS-E_annotation.xlsx")
    with pytest.raises(ValueError, match=r"'red'.*hs, vis, nir"):
        read_smic(root, camera="red")


# --- MEGC 2019 ------------------------------------------------------------------------------------------------------


def test_megc2019_joins_what_is_given_and_keeps_people_apart(casme2):
    (samm, samm_told), (smic, smic_told) = shared_set("samm"), shared_set("smic")
    index = read_megc2019(casme2=casme2[0], samm=read_samm(samm), smic=smic)
    assert set(index.table["label"]) == {"negative", "positive", "surprise"}
    counts = index.table["dataset"].value_counts()
    assert counts["smic"] == len(smic_told)
    assert counts["samm"] == (samm_told["emotion"] != "Other").sum()
    unknown = index.table["AU12"].isna().groupby(index.table["dataset"]).mean()
    assert unknown.to_dict() == {"casme2": 0, "samm": 0, "smic": 1}
    closing = 1  # the words below SMIC's table
    assert len(index) + len(left_out(index)) == len(casme2[1]) + len(samm_told) + len(smic_told) + closing
    with pytest.raises(ValueError, match="at least one"):
        read_megc2019()


def test_the_official_list_decides_what_is_in_megc2019(casme2, tmp_path):
    index = read_casme2(casme2[0])
    chosen = index.table[index.table["emotion"].isin(["happiness", "disgust"])].iloc[:5]
    number = {"happiness": "1", "disgust": "0"}
    lines = [f"casme2,sub{r.subject},{r.filename},{number[r.emotion]}" for r in chosen.itertuples()]
    (tmp_path / "combined_3class_gt.csv").write_bytes("\r\n".join(lines).encode() + b"\r\n")
    listed = read_megc2019(casme2=index, gt=tmp_path / "combined_3class_gt.csv")
    assert listed.table["clip_id"].tolist() == chosen["clip_id"].tolist()
    assert len(left_out(listed)) == len(index) - len(chosen)
    assert set(listed.problems["field"]) == {"gt"}


def test_what_the_official_list_changes_or_lacks_is_a_problem(casme2, tmp_path):
    index = read_casme2(casme2[0])
    one, two = index.table[index.table["emotion"] == "happiness"].iloc[:2].itertuples()
    other = next(index.table[index.table["emotion"] == "others"].itertuples())
    rows = [
        ("casme2", f"sub{one.subject}", one.filename, 0),  # the sheet's class is positive
        ("CASME II", two.subject, two.filename.lower(), 1),
        ("casme2", other.subject, other.filename, 0),  # in no class by its emotion
        ("casme2", f"sub{two.subject}", two.filename, 1),
        ("casme2", "sub26", "EP99_01", 2),
        ("samm", "006", "006_1_2", 2),
        ("casme2", one.subject, "EP98_01", 9),
    ]
    pd.DataFrame(rows, columns=["data", "subject", "clip", "label"]).to_csv(tmp_path / "list.csv", index=False)
    listed = read_megc2019(casme2=index, gt=tmp_path / "list.csv")
    labels = dict(zip(listed.table["clip_id"], listed.table["label"], strict=True))
    assert labels == {one.clip_id: "negative", two.clip_id: "positive", other.clip_id: "negative"}
    problems = listed.problems.iloc[len(index.problems) :]
    changed = problems[(problems["field"] == "label") & problems["kept"]].set_index("clip_id")
    assert set(changed.index) == {one.clip_id, other.clip_id}
    assert {"happiness", "positive"} <= set(changed.loc[one.clip_id, "found"].split(", "))
    assert "negative" in changed.loc[one.clip_id, "done"]
    assert "others" in changed.loc[other.clip_id, "found"]
    gone = problems[~problems["kept"]].set_index("clip_id")["field"]
    assert gone["casme2/26/EP99_01"] == "gt"  # the list has it, the data set does not
    assert gone[f"{two.clip_id}#4"] == "clip_id"
    assert gone[f"casme2/{one.subject}/EP98_01"] == "label"
    assert not gone.index.str.startswith("samm").any()  # no SAMM was given
    assert (gone == "gt").sum() == len(index) - 3 + 1


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"spreadsheet": "broken.xlsx"}, "broken.xlsx.*CASME II"),
        ({"spreadsheet": "smic.csv"}, "smic.csv.*action_units"),
        ({"spreadsheet": "other.xlsx"}, "other.xlsx"),
        ({"frames": "colour"}, "'colour'.*cropped, raw"),
        ({"layout": "casme9"}, "'casme9'.*casme2, samm"),
    ],
)
def test_what_cannot_be_read_is_named(casme2, tmp_path, options, facts):
    (tmp_path / "broken.xlsx").write_bytes(b"PK\x03\x04 half a file")
    (tmp_path / "smic.csv").write_text("Subject,Filename,OnsetF,OffsetF,Emotion\n1,a,1,2,x\n")
    if "spreadsheet" in options:
        options = {"spreadsheet": tmp_path / options["spreadsheet"]}
    with pytest.raises(ValueError, match=facts):
        read_dataset(casme2[0], **{"layout": "casme2"} | options)


def test_folders_without_a_data_set_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*CASME II"):
        read_casme2(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no spreadsheet of CASME II.*\.xlsx"):
        read_casme2(tmp_path)
    written(tmp_path, "casme2", frames=False)
    with pytest.raises(ValueError, match=r"none of 24 rows .* 0 folders"):
        read_casme2(tmp_path)
