"""Data sets as people have them: the faults of the real files, other programs and trees, each row kept or named.

Flow packs: every list and spelling, codings joined by clip, and every row accounted for.
"""

import shutil
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pandas as pd
import pytest
from cases import assert_refuses, mostly_slow
from written_sets import TINY, drawn_clips, is_accounted_for, left_out, shared_set, written

from medn_lab import data, view
from medn_lab.data import list_frames, prepare, read_casme2, read_dataset, read_flow_pack, read_image
from medn_lab.records import Clips
from medn_lab.synthme import render_frames, synthetic_clips, write_dataset, write_flow_pack
from medn_lab.synthme.identity import read_table

LEFT_OUT_BY_READER = {"onset_missing", "folder_missing", "frames_mostly_missing"}
LEFT_OUT_BY_PREPARE = {"frame_truncated", "frame_resized"}
"""Planted faults that cannot be repaired; all others are."""

UNSEEN = {"", *LEFT_OUT_BY_PREPARE, "aus_differ", "emotion_spelled", "subject_unpadded"}
"""Faults of which the reader has nothing to say."""


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
    kept, _ = data.to_classes(index.table, "mine_2class")
    assert dict(zip(kept["emotion"], kept["label"], strict=True)) == rule


# --- MEGC 2019 ------------------------------------------------------------------------------------------------------


def test_megc2019_joins_what_is_given_and_keeps_people_apart():
    (casme2, _), (samm, wrote_samm), (smic, _) = map(shared_set, ("casme2", "samm", "smic"))
    index = data.read_megc2019(casme2=casme2, samm=data.read_samm(samm), smic=smic)
    assert set(index.table["label"]) == {"negative", "positive", "surprise"}
    assert (index.table["dataset"] == "samm").sum() == (wrote_samm["emotion"] != "Other").sum()
    unknown = index.table["AU12"].isna().groupby(index.table["dataset"]).mean()
    assert unknown.to_dict() == {"casme2": 0, "samm": 0, "smic": 1}
    assert_refuses(data.read_megc2019, match="at least one")


def test_a_clip_without_a_class_is_left_out_in_each_row_of_the_problems(casme2):
    book(casme2 / "mine.xlsx", Sheet1=[HEADERS, [*ROWS[0][:5], "?", "fear"], ROWS[1]])
    found = data.read_megc2019(casme2=casme2).problems
    assert found[["field", "kept"]].values.tolist() == [["action_units", False], ["emotion", False]]


def test_the_official_list_decides_which_clips_are_in_and_their_class(tmp_path):
    index = read_casme2(shared_set("casme2")[0])
    one, two, other = index.table.iloc[[0, 1, 4]].itertuples()
    rows = [("casme2", f"sub{one.subject}", one.filename, 0), ("casme2", two.subject, two.filename.upper(), 1)]
    rows += [("casme2", "sub26", "EP99_01", 2), ("samm", "006", "006_1_2", 2), ("casme2", one.subject, "EP98_01", 9)]
    pd.DataFrame(rows).to_csv(tmp_path / "gt.csv", index=False, header=False)
    listed = data.read_megc2019(casme2=index, gt=tmp_path / "gt.csv")
    labels = dict(zip(listed.table["clip_id"], listed.table["label"], strict=True))
    assert labels == {one.clip_id: "negative", two.clip_id: "positive"}
    problems = listed.problems.iloc[len(index.problems) :]
    gone = problems[~problems["kept"]].set_index("clip_id")["field"]
    assert gone[["casme2/26/EP99_01", other.clip_id]].tolist() == ["gt", "gt"]
    assert gone[f"casme2/{one.subject}/EP98_01"] == "label"
    assert (gone == "gt").sum() == len(index) - 2 + 1  # of SAMM none: no SAMM was given
    rule = data.PROTOCOLS["megc2019"].rules["casme2"]
    changed = {row.clip_id for row in (one, two) if rule.get(row.emotion) != labels[row.clip_id]}
    assert set(problems.loc[problems["kept"] & (problems["field"] == "label"), "clip_id"]) == changed


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "broken.xlsx").write_bytes(b"PK\x03\x04 half a file")
    (tmp_path / "smic.csv").write_text("Subject,Filename,OnsetF,OffsetF,Emotion\n1,a,1,2,x\n")
    (tmp_path / "set").mkdir()
    assert_refuses(read_casme2, tmp_path / "set", match="no spreadsheet of CASME II")
    written(tmp_path / "set", "casme2", frames=False)
    refuses = partial(assert_refuses, read_dataset, tmp_path / "set", layout="casme2")
    refuses(spreadsheet=tmp_path / "broken.xlsx", match="CASME II.*broken.xlsx")
    refuses(spreadsheet=tmp_path / "smic.csv", match="smic.csv.*action_units")
    refuses(frames="colour", match="'colour'.*cropped, raw")
    refuses(layout="casme9", match="casme2, samm.*'casme9'")
    refuses(match="none of 24 rows .* 0 folders")
    assert_refuses(read_casme2, tmp_path / "nowhere", match=r"nowhere.*CASME II", error=FileNotFoundError)


@pytest.mark.parametrize("layout", list(data.LAYOUTS))
def test_the_spreadsheet_has_the_official_name_headers_and_preamble(tmp_path, layout):
    rows = written(tmp_path, layout, frames=False)
    coding = data.LAYOUTS[layout].codings[0]
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
        paths = list_frames(tmp_path / "CASME2_RAW_selected" / "sub01" / row["written_as"].rpartition("/")[2])
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
    refuses = partial(assert_refuses, written, tmp_path, frames=False)
    refuses("casme9", match="casme2, .*'casme9'")
    refuses("casme2", coding="casme2_2020", match="casme2_2014, .*'casme2_2020'")
    refuses("smic", faults=["apex_slash"], match="SMIC.*'apex_slash'")
    refuses("casme2", faults=["apex_slash"] * 25, match="25 faults.* 24")
    refuses("casme2", fps=500, match="fps.* 200.* 500")


PICTURE = cv2.imencode(".bmp", np.full((24, 24, 3), 120, np.uint8))[1].tobytes()

SMIC_HEADERS = ["Subject", "Filename", "", "OnsetF", "OffsetF", "Onset2F", "Offset2F", "Onset3F", "Offset3F", "Emotion"]
SMIC_ROW = [3, "s3_ne_03", None, 110, 130, *[None] * 4, "negative"]
HEADERS = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
ROWS = [["01", "EP02_01f", 3, 5, 9, "4+L7", "disgust"], ["02", "EP01_02", 1, 4, 8, "12", "happiness"]]
CASME3_HEADERS = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
CASME3_ROW = ["spNO.1", "a", 116, 120, 129, "4", "II", "disgust"]
READ = ["subject", "onset", "apex", "offset", "emotion"]
WANTED = [["01", 3, 5, 9, "disgust"], ["02", 1, 4, 8, "happiness"]]


def frames(folder: Path, numbers=range(1, 11), name="img{}.bmp") -> None:
    folder.mkdir(parents=True)
    for number in numbers:
        (folder / name.format(number)).write_bytes(PICTURE)


def smic_frames(folder: Path) -> None:
    frames(folder, range(100, 190), "image{:06d}.bmp")


def book(path: Path, **sheets: list[list]) -> Path:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    made.save(path)
    return path


@pytest.fixture
def casme2(tmp_path) -> Path:
    """The frames of two clips, without a sheet."""
    for subject, clip, *_ in ROWS:
        frames(tmp_path / "set" / "CASME2_RAW_selected" / f"sub{subject}" / clip)
    return tmp_path / "set"


# --- SMIC, CAS(ME)^3 ------------------------------------------------------------------------------------------------


SMIC_FOLDERS = ["HS_long/SMIC_HS_E/s03/s03_ne_03", "SMIC_all_cropped/HS/s3/micro/negative/s03_s3_ne_03"]


@pytest.mark.parametrize("folder", SMIC_FOLDERS)
def test_smic_is_found_in_every_tree_and_its_later_sheet_has_apexes(tmp_path, folder):
    smic_frames(tmp_path / folder)
    path = book(tmp_path / "SMIC-HS-E_annotation.xlsx", Sheet1=[SMIC_HEADERS, SMIC_ROW])
    (clip,) = data.read_smic(tmp_path).table.to_dict("records")
    assert (clip["clip_id"], clip["onset"], clip["offset"], clip["fps"]) == ("smic/3/s3_ne_03", 110, 130, 100)
    assert (clip["frames_folder"], clip["cropped"]) == (str(tmp_path / folder), "cropped" in folder)
    assert clip["coding"] == "smic_hs"
    book(path, Sheet1=[[*SMIC_HEADERS[:4], "ApexF", *SMIC_HEADERS[4:]], [*SMIC_ROW[:4], 121, *SMIC_ROW[4:]]])
    assert data.read_smic(tmp_path).table[["coding", "apex"]].values.tolist() == [["smic_hs_2019", 121]]


def test_smic_has_the_frame_rate_of_the_camera_and_never_the_coding_of_another(tmp_path):
    rates = {"HS": 100, "VIS": 25, "NIR": 25}
    for camera in rates:
        smic_frames(tmp_path / camera / "s3" / "s3_ne_03")
        book(tmp_path / f"SMIC-{camera}-E_annotation.xlsx", Sheet1=[SMIC_HEADERS, SMIC_ROW])
    for camera, fps in rates.items():
        found = data.read_smic(tmp_path, spreadsheet=f"SMIC-{camera}-E_annotation.xlsx", frames=camera)
        assert found.table["fps"].tolist() == [fps]
    book(tmp_path / "VIS" / "mine.xlsx", Sheet1=[SMIC_HEADERS, SMIC_ROW])
    assert data.read_smic(tmp_path / "VIS").table["fps"].tolist() == [25]
    mixed = {"spreadsheet": "SMIC-HS-E_annotation.xlsx", "frames": "NIR"}
    assert_refuses(data.read_smic, tmp_path, **mixed, match="camera nir, coding of hs")


def test_every_expression_of_a_smic_clip_is_a_clip_or_left_out(tmp_path):
    rows = []
    for name, times in {"s3_ne_03": [130, 140, 150, 160], "s3_ne_05": [700, 710, "/", 0]}.items():
        smic_frames(tmp_path / "HS/s03" / name)
        rows.append([3, name, None, 110, 120, *times, "negative"])
    book(tmp_path / "SMIC-HS-E_annotation.xlsx", Sheet1=[SMIC_HEADERS, *rows])
    index = data.read_smic(tmp_path)
    assert index.table[["clip_id", "onset", "offset", "sheet_row"]].values.tolist() == [
        ["smic/3/s3_ne_03", 110, 120, 2], ["smic/3/s3_ne_03/2", 130, 140, 2], ["smic/3/s3_ne_03/3", 150, 160, 2],
        ["smic/3/s3_ne_05", 110, 120, 3],
    ]  # fmt: skip
    kept = dict(zip(index.problems["clip_id"], index.problems["kept"], strict=True))
    assert kept == {"smic/3/s3_ne_03/2": True, "smic/3/s3_ne_03/3": True, "smic/3/s3_ne_05/2": False}
    assert is_accounted_for(index)


@pytest.mark.parametrize(("end", "coding"), [("v1 (1)", "casme3_a_v1"), ("v2_refined", None)])
def test_each_coding_has_its_name_and_an_unknown_one_is_called_unknown(tmp_path, end, coding):
    for kind in ("frame", "depth"):
        frames(tmp_path / "Part_A_ME_clip" / kind / "spNO.1_a_116", range(116, 130), "{}.bmp")
    path = book(tmp_path / f"cas(me)3_part_A_ME_label_JpgIndex_{end}.xlsx", label=[CASME3_HEADERS, CASME3_ROW])
    index = data.read_casme3(tmp_path, spreadsheet=path)
    expected = coding or f"unknown ({path.name}, sha256 {index.source['sha256'][:8]})"
    assert [index.source["coding"]] == index.table["coding"].tolist() == [expected]
    assert index.table["frames_folder"].tolist() == [str(tmp_path / "Part_A_ME_clip" / "frame" / "spNO.1_a_116")]


# --- tables of other programs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "encoding", "separator", "note"), [
    ("mine.csv", "utf-8-sig", ";", "é"), ("mine.csv", "cp1252", ";", "geprüft – ähnlich"),
    ("mine.csv", "gb18030", "，", "已人工检查，无误"), ("mine.xls", "utf-16", "\t", "é"),
])  # fmt: skip
def test_a_text_table_is_read_in_each_encoding_and_separator(casme2, name, encoding, separator, note):
    lines = [["a note"], [*HEADERS, "remarks"], *[[*map(str, row), f'"{note}"'] for row in ROWS], []]
    (casme2 / name).write_bytes("\r\n".join(separator.join(line) for line in lines).encode(encoding))
    index = read_casme2(casme2)
    assert index.table[READ].values.tolist() == WANTED
    assert (index.table["sheet_row"].tolist(), len(index.problems)) == ([3, 4], 0)


def test_decimal_commas_and_full_width_and_chinese_signs_are_read(casme2):
    rows = [["０１", " EP02_01f　", "3,0", "５", "9.00", "4", "disgust"]]
    rows += [["sub02", "ep1_2", 1, "4,00", 8, 12, "happiness"]]
    headers = ["Ｓｕｂｊｅｃｔ", "Filename\u00a0", "Onset　Frame（帧）", "apex＿frame", "OffsetFrame："]
    book(casme2 / "mine.xlsx", 表一=[[*headers, "Action\nUnits", "estimated  emotion"], *rows])
    assert read_casme2(casme2).table[READ].values.tolist() == WANTED


def test_the_sheet_that_fits_is_found_and_one_of_several_is_chosen(casme2):
    legend = [["what it is"], ["#N/A"]]
    path = book(casme2 / "book.xlsx", legend=legend, empty=[], coding=[["title"], [], HEADERS, *ROWS])
    assert read_casme2(casme2).table[["sheet", "sheet_row"]].values.tolist() == [["coding", 4], ["coding", 5]]
    book(path, first=[HEADERS, *ROWS], second=[HEADERS, [1, "EP2_1f", 3, 5, 9, "4", "others"], *ROWS[1:]])
    assert_refuses(read_casme2, casme2, match=r"book.xlsx#first.*book.xlsx#second.*spreadsheet='book.xlsx#first'")
    for chosen, emotion in (("book.xlsx#second", "others"), (f"{path}#first", "disgust")):
        assert read_casme2(casme2, spreadsheet=chosen).table["emotion"].tolist() == [emotion, "happiness"]
    assert_refuses(read_casme2, casme2, spreadsheet="book.xlsx#third", match=r"'third'.*first, second")


def test_a_clip_in_two_capitalisations_is_one_and_a_wrong_offset_leaves_its_clip_out(casme2):
    again, late = [1, "ep02_01F ", 3, 5, 9, "4", "others"], ["02", "EP01_02", 1, 4, 999_999_999, "12", "happiness"]
    book(casme2 / "mine.xlsx", Sheet1=[HEADERS, ROWS[0], late, again])
    index = read_casme2(casme2)
    assert index.table["emotion"].tolist() == ["disgust"]
    found = index.problems[["clip_id", "field", "kept"]].values.tolist()
    assert found == [["casme2/02/EP01_02", "frames", False], ["casme2/01/ep02_01F#2", "clip_id", False]]
    assert is_accounted_for(index)


def test_without_apexes_they_are_spotted_and_without_offsets_the_last_frame_is_taken(casme2):
    book(casme2 / "mine.xlsx", Sheet1=[[*row[:3], *row[4:]] for row in [HEADERS, *ROWS]])
    index = read_casme2(casme2)
    assert index.table["apex"].isna().all()
    assert index.problems[["field", "kept"]].values.tolist() == [["apex", True]] * 2
    table = prepare(index, recipe=TINY, crop="none", progress=False).table
    assert table["apex"].between(table["onset"], table["offset"]).all()
    assert_refuses(prepare, read_casme2(casme2, frames=None), progress=False, match=r"no clip .of 2. .*frames=None")
    book(casme2 / "mine.xlsx", Sheet1=[[*row[:3], *row[5:]] for row in [HEADERS, *ROWS]])
    assert read_casme2(casme2).table["offset"].tolist() == [10, 10]


def test_a_frame_rate_is_read_as_it_is_typed_and_one_that_no_camera_has_is_a_problem(tmp_path):
    wrong, right = ["90000", "-30", "x", "1e5", ""], {"300": 300, '"59,94"': 59.94, "500 fps": 500, "200.0": 200}
    lines = ["subject,filename,fps,onset,apex,offset,AUs,emotion"]
    for number, typed in enumerate([*right, *wrong]):
        frames(tmp_path / f"DFME/sub0001/a_{number}", name="{}.bmp")
        lines.append(f"sub0001,a_{number},{typed},1,4,9,4,fear")
    (tmp_path / "DFME_annotations.csv").write_text("\n".join(lines))
    index = data.read_dfme(tmp_path)
    assert index.table["fps"].tolist() == [*right.values(), *[200] * len(wrong)]
    assert index.problems["clip_id"].tolist() == index.table["clip_id"].tolist()[len(right) :]
    assert index.problems[["field", "kept"]].values.tolist() == [["fps", True]] * len(wrong)


def test_a_prepared_clip_leads_back_to_its_row_and_of_two_trees_one_is_chosen(casme2, tmp_path):
    book(casme2 / "CASME2-coding-20140508.xlsx", Sheet1=[HEADERS, *ROWS])
    clean, tree = read_casme2(casme2), casme2 / "CASME2_RAW_selected"
    for copy in ("__MACOSX", "@eaDir", ".ipynb_checkpoints"):
        shutil.copytree(tree / "sub01", casme2 / copy / "sub01")
    (tree / "sub01" / "EP02_01f" / "._img1.bmp").write_bytes(b"\0\5\26\7")
    clean.save(casme2 / "my_index")  # its clips.csv has the columns of a coding too
    index = read_casme2(casme2)
    pd.testing.assert_frame_equal(index.table, clean.table)
    prepare(index, tmp_path / "prepared", recipe=TINY, crop="none", progress=False)
    found = Clips.load(tmp_path / "prepared").table[["spreadsheet", "sheet", "sheet_row"]].astype(str).values.tolist()
    assert found == [["CASME2-coding-20140508.xlsx", "Sheet1", str(2 + k)] for k in range(2)]
    frames(casme2 / "CASME2-RAW" / "sub01" / "EP02_01f", range(1, 60))
    index = read_casme2(casme2)
    assert index.table["clip_id"].tolist() == ["casme2/02/EP01_02"]
    assert is_accounted_for(index)
    assert "CASME2-RAW/sub01/EP02_01f, CASME2_RAW_selected/sub01/EP02_01f" in index.problems["found"].item()
    assert len(read_casme2(casme2, frames="casme2_raw_selected")) == 2
    assert len(read_casme2(casme2, frames="CASME2-RAW")) == 1


def test_a_clip_that_the_cropped_tree_lacks_is_taken_from_the_raw_one_and_named(casme2):
    frames(casme2 / "Cropped" / "sub01" / "EP02_01f", name="reg_img{}.bmp")
    book(casme2 / "mine.xlsx", Sheet1=[HEADERS, *ROWS])
    index = read_casme2(casme2)
    assert index.table["cropped"].tolist() == [True, False]
    assert index.problems[["clip_id", "field", "kept"]].values.tolist() == [["casme2/02/EP01_02", "frames", True]]


# --- flow packs -------------------------------------------------------------------------------------------------------


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
    assert (clips.frames, clips.flow.shape) == (None, (len(wrote), 28, 28, 3))
    np.testing.assert_array_equal(clips.flow, named.flow)
    for one in (clips, named):
        assert one.table[["clip_id", "label"]].values.tolist() == wrote[["written_as", "label"]].values.tolist()
    assert len(clips.problems) == 0
    assert [fold.held_out for fold in data.leave_one_subject_out(clips.table)] == ["casme2/01", "samm/001", "smic/1"]
    flow = drawn_clips().select([wrote["clip_id"][0]]).flow[0].reshape(64, 64, 2)
    where = np.unravel_index(np.abs(flow[..., 1]).argmax(), (64, 64))
    assert np.sign(clips.flow[0][where[0] * 28 // 64, where[1] * 28 // 64, 1]) == np.sign(flow[where][1])
    for low_high in zip(clips.flow.min(axis=(1, 2)), clips.flow.max(axis=(1, 2)), strict=True):
        np.testing.assert_array_equal(low_high, [[-1, -1, 0], [1, 1, 1]])  # of u, v and strain in each clip


# --- lists ----------------------------------------------------------------------------------------------------------


LISTS = [
    "Label;Clip;Subject;Data\n1;EP02_01F;sub1;CASME II\n0;6_1_2;6;SAMM\n2;s03_ne_03;S3;smic\n",
    ",dataset,sub,filename_o,label\n0,casme2,sub01,EP02_01f,1.0\n1,samm,006,006_1_2,0.0\n2,smic,s03,s03_s3_ne_03,2.0\n",
    "data，subject，clip，label\ncasme2，０１，EP02_01f，１\nsamm，006，006_1_2，negative\nsmic，s03，s3_ne_03，surprise\n",
    "casme2,sub01,EP02_01f,1\r\n\r\nsamm,006,006_1_2,0,,\r\nsmic,s03,s03_s3_ne_03,2\r\n",
]


@pytest.mark.parametrize("text", LISTS)
def test_every_form_of_the_list_gives_the_readers_ids(three, text):
    (three / "list.csv").write_text(text, encoding="utf-8")
    clips = read_flow_pack(three)
    assert clips.table["clip_id"].tolist() == ["casme2/01/EP02_01f", "samm/006/006_1_2", "smic/3/s3_ne_03"]
    assert (clips.table["label"].tolist(), len(clips.problems)) == (["positive", "negative", "surprise"], 0)


def test_pictures_in_folders_of_their_subject_are_found_and_faulty_rows_are_problems(three):
    (three / "sub01").mkdir()
    (three / "sub01_EP02_01f .png").rename(three / "sub01" / "EP02_01f.png")
    rows = "casme2,01,EP02_01f,1 casme2,sub01,ep02_01f,0 samm,006,006_1_3,0 samm,006,006_1_2,7 smic,,s3_ne_03,2"
    (three / "list.csv").write_text("data,subject,clip,label\n" + rows.replace(" ", "\n"))
    clips = read_flow_pack(three)
    assert clips.table[["clip_id", "label"]].values.tolist() == [["casme2/01/EP02_01f", "positive"]]
    found = clips.problems[clips.problems["field"] != "gt"]
    assert found["field"].tolist() == ["clip_id", "label", "row", "flow"]
    named = ["casme2/01/EP02_01f#2", "samm/006/006_1_2", "samm/006/006_1_3"]  # a like name is another clip
    assert found["clip_id"].iloc[[0, 1, -1]].tolist() == named
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
    expected = [changed, "others, in no class", f"-> {clips.table['label'].iloc[0]}, as the list"]
    assert disagreed[["clip_id", "found", "done"]].values.tolist() == [expected]


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
    index = data.read_samm(shared_set("samm")[0])  # a reader names clips and people alike
    shared = set(packed(pack, codings=[index]).table["clip_id"]) & set(index.table["clip_id"])
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
