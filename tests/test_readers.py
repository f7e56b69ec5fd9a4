"""Each layout is written with the faults of the real files, read back, and every row accounted for."""

import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from written_sets import drawn_clips, written

from medn_lab.data import (
    FlowRecipe,
    compare_codings,
    join_indexes,
    prepare,
    read_4dme,
    read_casme,
    read_casme2,
    read_casme3,
    read_dfme,
    read_megc2019,
    read_mmew,
    read_samm,
    read_smic,
    to_classes,
)
from medn_lab.records import ClipIndex

LEFT_OUT_BY_READER = {"onset_missing", "folder_missing", "frames_mostly_missing"}
LEFT_OUT_BY_PREPARE = {"frame_truncated", "frame_resized"}
"""Planted faults that cannot be repaired; all others are."""

READERS = {
    "casme2": read_casme2,
    "samm": read_samm,
    "smic": read_smic,
    "casme3": read_casme3,
    "mmew": read_mmew,
    "4dme": read_4dme,
    "casme": read_casme,
    "dfme": read_dfme,
}


@pytest.fixture(scope="module", params=list(READERS))
def faulty(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    return request.param, root, written(root, request.param, faults=True, size=64, fps=15)


@pytest.fixture(scope="module")
def casme2(tmp_path_factory):
    root = tmp_path_factory.mktemp("casme2")
    return root, written(root, "casme2", size=64, fps=15)


def test_every_row_is_a_clip_or_left_out(faulty):
    layout, root, told = faulty
    index = READERS[layout](root)
    left_out = index.problems.loc[~index.problems["kept"], "clip_id"]
    assert not set(left_out) & set(index.table["clip_id"])
    assert len(index) + left_out.nunique() == index.source["rows"]
    twice = (told["fault"] == "row_twice").sum()
    closing = int(layout == "smic")
    assert index.source["rows"] == len(told) + twice + closing


def test_every_row_is_a_prepared_clip_or_left_out(faulty, tmp_path):
    layout, root, told = faulty
    index = READERS[layout](root)
    tiny = FlowRecipe(name="tiny", size=16, compute_size=32, n_frames=2, register=False)
    prepared = prepare(index, tmp_path / "set", recipe=tiny, crop="none", progress=False)
    left_out = set(prepared.problems.loc[~prepared.problems["kept"], "clip_id"])
    assert not left_out & set(prepared.table["clip_id"])
    assert len(prepared) + len(left_out) == index.source["rows"]
    gone = told.loc[told["fault"].isin(LEFT_OUT_BY_READER | LEFT_OUT_BY_PREPARE), "written_as"]
    assert set(gone) == {name for name in left_out if "#2" not in name and "(" not in name}
    assert prepared.frames.reshape(len(prepared), -1).max(axis=1).min() > 0  # no row was left empty
    assert prepared.table["apex"].between(prepared.table["onset"], prepared.table["offset"]).all()


def test_every_planted_fault_is_told_and_the_rest_are_not(faulty):
    layout, root, told = faulty
    index = READERS[layout](root)
    faults = told.set_index("written_as")["fault"]
    unseen = {"", "frame_truncated", "frame_resized", "aus_differ", "emotion_spelled", "subject_unpadded"}
    problems = index.problems.assign(clip_id=index.problems["clip_id"].str.removesuffix("#2"))
    for clip_id, fault in faults.items():
        found = problems[problems["clip_id"] == clip_id]
        if fault in unseen:
            assert not len(found), f"{fault}: {found.to_dict('records')}"
        else:
            assert len(found) == 1, f"{fault} of {clip_id}: {found.to_dict('records')}"
            kept = fault not in LEFT_OUT_BY_READER and fault != "row_twice"
            assert bool(found["kept"].iloc[0]) == kept, fault


def test_what_has_no_fault_reads_back_as_it_was_written(faulty):
    layout, root, told = faulty
    table = READERS[layout](root).table.set_index("clip_id")
    clips = drawn_clips().table.set_index("clip_id")
    for row in told[told["fault"].isin(["", "frames_missing", "subject_unpadded"])].to_dict("records"):
        found = table.loc[row["written_as"]]
        assert (found["onset"], found["offset"]) == (row["onset"], row["offset"])
        assert np.isnan(found["apex"]) if layout == "smic" else found["apex"] == row["apex"]
        if layout != "smic":
            assert found["action_units"] == clips.loc[row["clip_id"], "action_units"]
            present = {f"AU{unit}" for unit in found["action_units"].split("+")}
            assert {name for name in table if name.startswith("AU") and found[name] == 1} == present


def test_without_repairs_faulty_rows_are_left_out(faulty):
    layout, root, _ = faulty
    repaired, strict = READERS[layout](root), READERS[layout](root, repair=False)
    assert len(strict) < len(repaired)
    assert set(strict.table["clip_id"]) <= set(repaired.table["clip_id"])
    left_out = strict.problems.loc[~strict.problems["kept"], "clip_id"].nunique()
    assert len(strict) + left_out == strict.source["rows"]


def test_subjects_are_people_and_classes_are_found(faulty):
    layout, root, _ = faulty
    index = READERS[layout](root)
    assert index.table["subject"].nunique() == 3
    assert set(index.table["dataset"]) == {layout}
    protocol = {"casme2": "casme2_5class", "samm": "samm_5class", "smic": "megc2019", "casme3": "casme3_7class"}
    if layout in protocol:
        kept, dropped = to_classes(index.table, protocol[layout])
        assert len(kept) + len(dropped) == len(index)
        assert kept["label"].nunique() >= 2


def test_an_index_survives_the_disk(faulty, tmp_path):
    layout, root, _ = faulty
    index = READERS[layout](root)
    again = ClipIndex.load(index.save(tmp_path / "index"))
    pd.testing.assert_frame_equal(again.table, index.table, check_dtype=False)
    assert again.problems["done"].tolist() == index.problems["done"].tolist()


def test_originals_are_only_read(casme2):
    root, _ = casme2
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*")}
    read_casme2(root)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*")} == before


def test_two_codings_are_told_apart_and_compared(casme2, tmp_path):
    shutil.copytree(casme2[0], tmp_path, dirs_exist_ok=True)
    told = written(tmp_path, "casme2", coding="casme2_2019", frames=False, fps=15, faults=["aus_differ", "aus_unknown"])
    with pytest.raises(ValueError, match=r"2 spreadsheets fit CASME II: .*casme2_2014.*casme2_2019.*spreadsheet="):
        read_casme2(tmp_path)
    old = read_casme2(tmp_path, spreadsheet="CASME2-coding-20140508.xlsx")
    new = read_casme2(tmp_path, spreadsheet=tmp_path / "CASME2-coding-20190701.xlsx")
    assert (set(old.table["coding"]), set(new.table["coding"])) == ({"casme2_2014"}, {"casme2_2019"})
    differences = compare_codings(old, new)
    assert differences["clip_id"].tolist() == told["written_as"].tolist()[:2]
    assert differences["field"].tolist() == ["action_units", "action_units"]
    assert compare_codings(old, old).empty
    fewer = ClipIndex(old.table.iloc[1:], old.problems, old.source)
    assert compare_codings(old, fewer)[["field", "a", "b"]].values.tolist() == [["clip", "there", "not there"]]


def test_a_retyped_coding_is_read_and_is_not_called_by_the_name_of_an_official_one(casme2, tmp_path):
    root, told = casme2
    table = pd.read_excel(root / "CASME2-coding-20140508.xlsx", dtype=str).drop(columns=["Unnamed: 2", "Unnamed: 6"])
    names = {"OnsetFrame": "Onset Frame", "ApexFrame": "apex", "Action Units": "au", "Estimated Emotion": "emotion"}
    table.rename(columns=names).to_csv(tmp_path / "mine.csv", index=False)
    index = read_casme2(root, spreadsheet=tmp_path / "mine.csv")
    (coding,) = set(index.table["coding"])
    assert coding == f"unknown (mine.csv, sha256 {index.source['sha256'][:8]})"
    assert index.table["clip_id"].tolist() == told["written_as"].tolist()


def test_raw_and_cropped_frames_can_be_chosen(casme2, tmp_path):
    root = shutil.copytree(casme2[0], tmp_path / "both")
    written(root, "casme2", tree="raw", size=64, fps=15)
    assert read_casme2(root).table["cropped"].all()
    raw = read_casme2(root, frames="raw")
    assert not raw.table["cropped"].any()
    assert raw.table["frames_folder"].str.contains("CASME2_RAW_selected").all()


def test_smic_cameras_are_kept_apart(tmp_path):
    told = written(tmp_path, "smic", size=64, fps=15)
    assert len(read_smic(tmp_path)) == len(told)
    assert (read_smic(tmp_path).table["fps"] == 100).all()
    with pytest.raises(ValueError, match=r"SMIC-HS-E_annotation.xlsx: it is for camera hs, not nir.*SMIC-NIR-E"):
        read_smic(tmp_path, camera="nir")
    with pytest.raises(ValueError, match="0 folders of frames"):
        read_smic(tmp_path, camera="nir", spreadsheet="SMIC-HS-E_annotation.xlsx")
    with pytest.raises(ValueError, match="no camera 'red'"):
        read_smic(tmp_path, camera="red")


def test_megc2019_joins_what_is_given_and_keeps_people_apart(casme2, tmp_path):
    told = written(tmp_path / "samm", "samm", size=64, fps=15)
    smic = written(tmp_path / "smic", "smic", size=64, fps=15)
    index = read_megc2019(casme2=casme2[0], samm=read_samm(tmp_path / "samm"), smic=tmp_path / "smic")
    assert set(index.table["label"]) == {"negative", "positive", "surprise"}
    counts = index.table["dataset"].value_counts()
    assert counts["smic"] == len(smic)
    assert counts["samm"] == (told["emotion"] != "Other").sum()
    assert index.table.loc[index.table["dataset"] == "smic", "AU12"].isna().all()
    assert index.table.loc[index.table["dataset"] == "samm", "AU12"].notna().all()
    left_out = index.problems.loc[~index.problems["kept"], "clip_id"].nunique()
    closing = 1  # the words below SMIC's table
    assert len(index) + left_out == len(casme2[1]) + len(told) + len(smic) + closing
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
    assert (listed.problems["found"] == "not in the official list").any()


def test_what_the_official_list_changes_or_lacks_is_a_problem(casme2, tmp_path):
    index = read_casme2(casme2[0])
    happy = index.table[index.table["emotion"] == "happiness"].iloc[:2]
    other = index.table[index.table["emotion"] == "others"].iloc[0]
    one, two = happy.itertuples()
    rows = [
        ("casme2", f"sub{one.subject}", one.filename, 0),  # the sheet's class is positive
        ("CASME II", two.subject, two.filename.lower(), 1),
        ("casme2", other["subject"], other["filename"], 0),  # in no class by its emotion
        ("casme2", f"sub{two.subject}", two.filename, 1),
        ("casme2", "sub26", "EP99_01", 2),
        ("samm", "006", "006_1_2", 2),
        ("casme2", one.subject, "EP98_01", 9),
    ]
    listing = pd.DataFrame(rows, columns=["data", "subject", "clip", "label"])
    listing.to_csv(tmp_path / "list.csv", index=False)
    listed = read_megc2019(casme2=index, gt=tmp_path / "list.csv")
    labels = dict(zip(listed.table["clip_id"], listed.table["label"], strict=True))
    assert labels == {one.clip_id: "negative", two.clip_id: "positive", other["clip_id"]: "negative"}
    problems = listed.problems.iloc[len(index.problems) :]
    changed = problems[(problems["field"] == "label") & problems["kept"]].set_index("clip_id")
    assert set(changed.index) == {one.clip_id, other["clip_id"]}
    assert "happiness" in changed.loc[one.clip_id, "found"]
    assert "positive" in changed.loc[one.clip_id, "found"]
    assert "negative" in changed.loc[one.clip_id, "done"]
    assert "others" in changed.loc[other["clip_id"], "found"]
    left_out = problems[~problems["kept"]].set_index("clip_id")["field"]
    assert left_out["casme2/26/EP99_01"] == "gt"  # the list has it, the data set does not
    assert left_out[f"{two.clip_id}#4"] == "clip_id"
    assert left_out[f"casme2/{one.subject}/EP98_01"] == "label"
    assert not left_out.index.str.startswith("samm").any()  # no SAMM was given
    assert (left_out == "gt").sum() == len(index) - 3 + 1


def test_aus_stay_unknown_where_a_clip_is_not_coded_when_data_sets_are_joined():
    one = pd.DataFrame({"clip_id": ["a", "b"], "subject": "1", "action_units": ["12", "12 or 14"]})
    one["AU12"] = [1.0, np.nan]
    other = pd.DataFrame({"clip_id": ["c"], "subject": "2", "action_units": ["4"], "AU4": [1.0]})
    joined = join_indexes([ClipIndex(one), ClipIndex(other)]).table
    np.testing.assert_array_equal(joined["AU4"], [0.0, np.nan, 1.0])


def test_missing_things_get_a_sentence(casme2, tmp_path, monkeypatch):
    root, _ = casme2
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; give the folder in which CASME II was unpacked"):
        read_casme2(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no spreadsheet of CASME II below .*there is no .xlsx"):
        read_casme2(tmp_path)
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(ValueError, match=r"broken.xlsx is no spreadsheet of CASME II: it cannot be read"):
        read_casme2(root, spreadsheet=broken)
    old = tmp_path / "CASME2_label_Ver_2.xls"
    old.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))
    monkeypatch.setitem(sys.modules, "xlrd", None)
    with pytest.raises(ValueError, match=r"needs another package to be read .*pip install 'medn-lab\[xls\]'"):
        read_casme2(root, spreadsheet=old)
    (tmp_path / "smic.csv").write_text("Subject,Filename,OnsetF,OffsetF,Emotion\n1,a,1,2,x\n")
    with pytest.raises(ValueError, match="no row has the headers of action_units"):
        read_casme2(root, spreadsheet=tmp_path / "smic.csv")
    with pytest.raises(ValueError, match=r"no spreadsheet at other.xlsx"):
        read_casme2(root, spreadsheet="other.xlsx")
    only_sheet = tmp_path / "sheet"
    written(only_sheet, "casme2", frames=False)
    with pytest.raises(ValueError, match="none of 24 rows of CASME II can be used with the 0 folders"):
        read_casme2(only_sheet)
    with pytest.raises(ValueError, match="has no frames 'colour'"):
        read_casme2(root, frames="colour")
