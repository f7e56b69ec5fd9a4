"""Spreadsheets and folders as people have them: other programs, other names, several sheets, several trees."""

import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from written_sets import TINY, is_accounted_for, shared_set

from medn_lab.data import prepare, read_casme2, read_casme3, read_dfme, read_samm, read_smic
from medn_lab.data.frames import cv2
from medn_lab.records import ClipIndex, Clips

PICTURE = cv2.imencode(".bmp", np.full((24, 24, 3), 120, np.uint8))[1].tobytes()

SMIC_HEADERS = ["Subject", "Filename", "", "OnsetF", "OffsetF", "Onset2F", "Offset2F", "Onset3F", "Offset3F", "Emotion"]
SMIC_ROW = [3, "s3_ne_03", None, 110, 130, *[None] * 4, "negative"]
HEADERS = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
ROWS = [["01", "EP02_01f", 3, 5, 9, "4+L7", "disgust"], ["02", "EP01_02", 1, 4, 8, "12", "happiness"]]
CASME3_HEADERS = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
CASME3_ROW = ["spNO.1", "a", 116, 120, 129, "4", "II", "disgust"]


def frames(folder: Path, numbers=range(1, 11), name="img{}.bmp") -> Path:
    folder.mkdir(parents=True)
    for number in numbers:
        (folder / name.format(number)).write_bytes(PICTURE)
    return folder


def book(path: Path, **sheets: list[list]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
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


@pytest.fixture
def coded(casme2) -> Path:
    """The frames of two clips and their sheet."""
    book(casme2 / "CASME2-coding-20140508.xlsx", Sheet1=[HEADERS, *ROWS])
    return casme2


# --- SMIC -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder",
    [
        "HS/s3/s3_ne_03",
        "HS_long/SMIC_HS_E/s03/s03_ne_03",
        "SMIC-E_raw image/HS_long/SMIC-HS-E/HS/s03/s3_ne_03",
        "SMIC_all_raw/HS/s3/micro/negative/s3_ne_03",
        "SMIC_all_cropped/HS/s3/micro/negative/s03_s3_ne_03",
        "SMIC/s3/micro/negative/s3_ne_03",
    ],
)
def test_smic_is_found_in_every_tree_in_which_it_comes(tmp_path, folder):
    frames(tmp_path / folder, range(100, 140), "image{:06d}.bmp")
    frames(tmp_path / "VIS_long/SMIC_VIS_E/s03/s3_ne_03", range(100, 140), "image{:06d}.bmp")
    book(tmp_path / "SMIC-HS-E_annotation.xlsx", Sheet1=[SMIC_HEADERS, SMIC_ROW])
    (clip,) = read_smic(tmp_path).table.to_dict("records")
    assert (clip["clip_id"], clip["onset"], clip["offset"]) == ("smic/3/s3_ne_03", 110, 130)
    assert (clip["frames_folder"], clip["cropped"]) == (str(tmp_path / folder), "cropped" in folder)


def test_smic_reads_the_sheet_the_folders_and_the_columns_of_its_camera(tmp_path):
    sheets = {}
    for camera, onset in (("VIS", 2), ("NIR", 4)):
        frames(tmp_path / f"{camera}_long/SMIC_{camera}_E/s03/s3_ne_03", name="{:05d}.bmp")
        sheets[camera] = [SMIC_HEADERS, [3, "s3_ne_03", None, onset, onset + 5, *[None] * 4, "negative"]]
    path = book(tmp_path / "SMIC_VIS_NIR_annotation.xlsx", Notes=[["see the paper"]], **sheets)
    for camera, onset in (("vis", 2), ("nir", 4)):
        table = read_smic(tmp_path, camera=camera).table
        assert table[["onset", "fps", "sheet", "sheet_row"]].values.tolist() == [[onset, 25.0, camera.upper(), 2]]
        assert camera.upper() in table["frames_folder"].iloc[0]
    assert read_smic(tmp_path, camera="vis", spreadsheet=f"{path}#NIR").table["onset"].tolist() == [4]
    with pytest.raises(ValueError, match=r"'HS'.*Notes, VIS, NIR"):
        read_smic(tmp_path, spreadsheet=f"{path}#HS")
    headers = ["Subject", "Filename", "OnsetF", "OffsetF", "OnsetF NIR", "OffsetF NIR", "Emotion"]
    book(path, all=[headers, [3, "s3_ne_03", 2, 6, 4, 8, "negative"]])
    assert read_smic(tmp_path, camera="vis").table[["onset", "offset"]].values.tolist() == [[2, 6]]
    assert read_smic(tmp_path, camera="nir").table[["onset", "offset"]].values.tolist() == [[4, 8]]


def test_every_expression_of_a_smic_clip_is_a_clip_or_left_out(tmp_path):
    for name in ("s3_ne_03", "s3_ne_05"):
        frames(tmp_path / "HS/s03" / name, range(100, 190), "image{:06d}.bmp")
    rows = [
        [3, "s3_ne_03", None, 110, 120, 130, 140, 150, 160, "negative"],
        [3, "s3_ne_05", None, 110, 120, 700, 710, "/", 0, "negative"],
    ]
    book(tmp_path / "SMIC-HS-E_annotation.xlsx", Sheet1=[SMIC_HEADERS, *rows])
    index = read_smic(tmp_path)
    assert index.table[["clip_id", "onset", "offset", "sheet_row"]].values.tolist() == [
        ["smic/3/s3_ne_03", 110, 120, 2],
        ["smic/3/s3_ne_03/2", 130, 140, 2],
        ["smic/3/s3_ne_03/3", 150, 160, 2],
        ["smic/3/s3_ne_05", 110, 120, 3],
    ]
    kept = dict(zip(index.problems["clip_id"], index.problems["kept"], strict=True))
    assert kept == {"smic/3/s3_ne_03/2": True, "smic/3/s3_ne_03/3": True, "smic/3/s3_ne_05/2": False}
    assert is_accounted_for(index)
    assert index.source["rows"] == 5


# --- tables of other programs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "encoding", "separator"),
    [
        ("mine.csv", "utf-8", ","),
        ("mine.csv", "utf-8-sig", ";"),
        ("mine.csv", "cp1252", ";"),
        ("mine.csv", "gb18030", ","),
        ("mine.csv", "utf-8", "，"),
        ("mine.tsv", "utf-8", "\t"),
        ("mine.txt", "utf-16", "\t"),
        ("mine.txt", "utf-16-le", "\t"),
        ("mine.xls", "utf-16", "\t"),
        ("mine.csv", "utf-16-be", "|"),
    ],
)
def test_a_text_table_is_read_in_each_encoding_and_separator(casme2, name, encoding, separator):
    note = {"cp1252": "von Hand geprüft – ähnlich", "gb18030": "已人工检查，无误"}.get(encoding, "é")
    lines = [["a note"], [*HEADERS, "remarks"], *[[*map(str, row), f'"{note}"'] for row in ROWS], []]
    (casme2 / name).write_bytes("\r\n".join(separator.join(line) for line in lines).encode(encoding))
    index = read_casme2(casme2)
    assert index.table[["subject", "onset", "apex", "offset", "emotion", "sheet_row"]].values.tolist() == [
        ["01", 3, 5, 9, "disgust", 3],
        ["02", 1, 4, 8, "happiness", 4],
    ]
    assert not len(index.problems)


def test_decimal_commas_and_full_width_and_chinese_signs_are_read(casme2):
    rows = [
        ["０１", " EP02_01f　", "3,0", "５", "9.00", "4", "disgust"],
        ["sub02", "ep1_2", "1", "4,00", "8", "12", "happiness"],
    ]
    (casme2 / "mine.csv").write_text("\n".join(";".join(row) for row in [HEADERS, *rows]), encoding="utf-8")
    table = read_casme2(casme2).table
    assert table[["subject", "onset", "apex", "offset"]].values.tolist() == [["01", 3, 5, 9], ["02", 1, 4, 8]]
    (casme2 / "mine.csv").unlink()
    headers = ["Ｓｕｂｊｅｃｔ", "Filename\u00a0", "Onset　Frame（帧）", "apex＿frame"]
    headers += ["OffsetFrame：", "Action\nUnits"]
    book(casme2 / "mine.xlsx", 表一=[[*headers, "estimated  emotion"], *ROWS])
    assert read_casme2(casme2).table["onset"].tolist() == [3, 1]


def test_a_file_that_needs_another_package_names_what_to_do(casme2, monkeypatch):
    with zipfile.ZipFile(casme2 / "mine.ods", "w") as made:
        made.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        made.writestr("content.xml", "<office/>")
    monkeypatch.setitem(sys.modules, "odf", None)
    with pytest.raises(ValueError, match=r"mine\.ods.*\.xlsx or \.csv"):
        read_casme2(casme2)
    (casme2 / "CASME2_label_Ver_2.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))
    monkeypatch.setitem(sys.modules, "xlrd", None)
    with pytest.raises(ValueError, match=r"pip install 'medn-lab\[xls\]'"):
        read_casme2(casme2, spreadsheet="CASME2_label_Ver_2.xls")


# --- several sheets -------------------------------------------------------------------------------------------------


def test_the_sheet_that_fits_is_found_and_sheets_with_different_clips_are_one(casme2):
    book(casme2 / "book.xlsx", legend=[["what it is"]], empty=[], coding=[["title"], [], HEADERS, *ROWS])
    source = read_casme2(casme2).table[["spreadsheet", "sheet", "sheet_row"]]
    assert source.values.tolist() == [["book.xlsx", "coding", 4], ["book.xlsx", "coding", 5]]
    book(casme2 / "book.xlsx", first=[HEADERS, ROWS[0]], second=[HEADERS, ROWS[1]])
    index = read_casme2(casme2)
    assert index.table[["clip_id", "sheet", "sheet_row"]].values.tolist() == [
        ["casme2/01/EP02_01f", "first", 2],
        ["casme2/02/EP01_02", "second", 2],
    ]
    assert index.source["sheets"] == ["first", "second"]
    assert is_accounted_for(index)


def test_two_codings_in_one_workbook_are_not_joined(casme2):
    other = [[1, "EP2_1f", 3, 5, 9, "4", "others"], *ROWS[1:]]
    path = book(casme2 / "book.xlsx", first=[HEADERS, *ROWS], second=[HEADERS, *other])
    with pytest.raises(ValueError, match=r"book.xlsx#first.*book.xlsx#second.*spreadsheet='book.xlsx#first'"):
        read_casme2(casme2)
    assert read_casme2(casme2, spreadsheet="book.xlsx#second").table["emotion"].tolist() == ["others", "happiness"]
    assert read_casme2(casme2, spreadsheet=f"{path}#first").table["emotion"].tolist() == ["disgust", "happiness"]


def test_copies_extracts_and_saved_indexes_give_way_to_the_whole_sheet(coded):
    name = "CASME2-coding-20140508"
    shutil.copy(coded / f"{name}.xlsx", coded / f"{name} - Copy.xlsx")
    (coded / "__MACOSX").mkdir()
    (coded / "__MACOSX" / f"._{name}.xlsx").write_bytes(b"\0\5\26\7")
    (coded / "extract.csv").write_text("Subject,Filename,Onset,Offset,AU,emotion\n01,EP02_01f,3,9,4,disgust\n")
    index = read_casme2(coded)
    assert index.table["coding"].tolist() == ["casme2_2014"] * 2
    index.save(coded / "my_index")  # its clips.csv has the columns of a coding too
    assert len(read_casme2(coded)) == 2


def test_a_clip_in_two_capitalisations_is_one_clip(casme2):
    book(casme2 / "mine.xlsx", Sheet1=[HEADERS, *ROWS, [1, "ep02_01F ", 3, 5, 9, "4", "others"]])
    index = read_casme2(casme2)
    assert index.table["emotion"].tolist() == ["disgust", "happiness"]
    assert index.problems[["clip_id", "kept"]].values.tolist() == [["casme2/01/ep02_01F#2", False]]
    assert is_accounted_for(index)


# --- columns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repair", [True, False])
def test_a_sheet_without_apexes_is_used_and_they_are_spotted(casme2, tmp_path, repair):
    book(casme2 / "mine.xlsx", Sheet1=[[*row[:3], *row[4:]] for row in [HEADERS, *ROWS]])
    index = read_casme2(casme2, repair=repair)
    assert index.table["apex"].isna().all()
    assert index.problems[["field", "kept"]].values.tolist() == [["apex", True]] * 2
    table = prepare(index, tmp_path / "prepared", recipe=TINY, crop="none", progress=False).table
    assert table["apex"].between(table["onset"], table["offset"]).all()


def test_a_sheet_without_offsets_takes_the_last_frame_of_the_folder(casme2):
    book(casme2 / "mine.xlsx", Sheet1=[[*row[:3], *row[5:]] for row in [HEADERS, *ROWS]])
    assert read_casme2(casme2).table["offset"].tolist() == [10, 10]


def test_a_frame_rate_is_read_as_it_is_typed_and_one_that_no_camera_has_is_a_problem(tmp_path):
    wrong = ["90000", "1000", "0", "-30", "1", "x", "two hundred", "1e5", "nan", "inf", "1e-320", "2014-01-02"]
    right = {"300": 300, "59.94": 59.94, '"59,94"': 59.94, "500 fps": 500, "200.0": 200}
    lines = ["subject,filename,fps,onset,apex,offset,AUs,emotion"]
    for number, typed in enumerate([*right, *wrong]):
        frames(tmp_path / f"DFME/sub0001/a_{number}", name="{}.bmp")
        lines.append(f"sub0001,a_{number},{typed},1,4,9,4,fear")
    (tmp_path / "DFME_annotations.csv").write_text("\n".join(lines))
    index = read_dfme(tmp_path)
    assert index.table["fps"].tolist() == [*right.values(), *[200] * len(wrong)]
    assert index.problems["clip_id"].tolist() == index.table["clip_id"].tolist()[len(right) :]
    assert index.problems[["field", "kept"]].values.tolist() == [["fps", True]] * len(wrong)


# --- folders --------------------------------------------------------------------------------------------------------


def test_two_trees_are_named_with_the_argument_that_chooses(coded):
    frames(coded / "CASME2-RAW" / "sub01" / "EP02_01f", range(1, 60))
    index = read_casme2(coded)
    assert index.table["clip_id"].tolist() == ["casme2/02/EP01_02"]
    assert is_accounted_for(index)
    (found,) = index.problems["found"]
    assert "frames='CASME2-RAW' or frames='CASME2_RAW_selected'" in found
    for chosen in ("CASME2_RAW_selected", "casme2_raw_selected"):
        assert len(read_casme2(coded, frames=chosen)) == 2
    whole = read_casme2(coded, frames="CASME2-RAW")
    assert whole.table["frames_folder"].tolist() == [str(coded / "CASME2-RAW" / "sub01" / "EP02_01f")]
    with pytest.raises(ValueError, match=r"'elsewhere'.*auto, cropped, raw"):
        read_casme2(coded, frames="elsewhere")


def test_what_systems_leave_in_folders_is_passed_over(coded):
    clean = read_casme2(coded)
    tree = coded / "CASME2_RAW_selected"
    clip = tree / "sub01" / "EP02_01f"
    copies = ("__MACOSX", "@eaDir", ".ipynb_checkpoints", "#recycle", f"{tree.name} - Copy", f"{tree.name} (1)")
    for copy in copies:
        shutil.copytree(tree / "sub01", coded / copy / "sub01")
    shutil.copytree(clip, clip.parent / "EP02_01f - Copy")
    for inner in ("@eaDir", ".ipynb_checkpoints"):
        frames(clip / inner)
    for name in ("._img1.bmp", "Thumbs.db", ".DS_Store", "desktop.ini"):
        (clip / name).write_bytes(b"\0\5\26\7")
    frames(coded / "other" / "sub01" / "EP02_01f", name="._img{}.bmp")  # a folder of nothing but shadow files
    (coded / "videos").mkdir()
    (coded / "videos" / "EP02_01f.avi").write_bytes(b"RIFF")  # a video next to the frames
    index = read_casme2(coded)
    pd.testing.assert_frame_equal(index.table, clean.table)
    assert not len(index.problems)


def test_a_data_set_of_videos_gets_the_line_that_writes_its_frames(coded):
    shutil.rmtree(coded / "CASME2_RAW_selected")
    for subject, clip, *_ in ROWS:
        (coded / f"sub{subject}").mkdir()
        (coded / f"sub{subject}" / f"{clip}.avi").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"ffmpeg -i sub01/EP02_01f.avi .*sub01/EP02_01f/%d.png"):
        read_casme2(coded)


def test_casme3_is_found_as_clips_too(tmp_path):
    for kind in ("frame", "depth"):
        frames(tmp_path / "Part_A_ME_clip" / kind / "spNO.1_a_116", range(116, 130), "{}.bmp")
    book(tmp_path / "label.xlsx", label=[CASME3_HEADERS, CASME3_ROW])
    found = read_casme3(tmp_path).table["frames_folder"].tolist()
    assert found == [str(tmp_path / "Part_A_ME_clip" / "frame" / "spNO.1_a_116")]


# --- provenance -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "au_header", "coding"),
    [
        ("cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", "AU", "casme3_a_v2"),
        ("cas(me)3_part_A_ME_label_JpgIndex_v1.xlsx", "AU", "casme3_a_v1"),
        ("cas(me)3_part_A_ME_label_JpgIndex_v2 (1).xlsx", "AU", "casme3_a_v2"),
        ("cas(me)3_part_A_ME_label_JpgIndex_v2_refined.xlsx", "AU", None),
        ("mine.xlsx", "AU", None),
        ("cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", "Action Units", None),
    ],
)
def test_each_coding_has_its_name_and_an_unknown_one_is_called_unknown(tmp_path, name, au_header, coding):
    frames(tmp_path / "part_A/spNO.1/a/color", range(116, 130), "{}.bmp")
    headers = [au_header if header == "AU" else header for header in CASME3_HEADERS]
    index = read_casme3(tmp_path / "part_A", spreadsheet=book(tmp_path / name, label=[headers, CASME3_ROW]))
    expected = coding or f"unknown ({name}, sha256 {index.source['sha256'][:8]})"
    assert [index.source["coding"]] == index.table["coding"].tolist() == [expected]
    assert len(index.source["sha256"]) == 64


def test_a_later_smic_sheet_and_another_samm_sheet_are_told_apart(tmp_path):
    frames(tmp_path / "HS/s03/s3_ne_03", range(100, 140), "image{:06d}.bmp")
    path = book(tmp_path / "SMIC-HS-E_annotation.xlsx", Sheet1=[SMIC_HEADERS, SMIC_ROW])
    assert read_smic(tmp_path).source["coding"] == "smic_hs"
    book(path, Sheet1=[[*SMIC_HEADERS[:4], "ApexF", *SMIC_HEADERS[4:]], [*SMIC_ROW[:4], 121, *SMIC_ROW[4:]]])
    index = read_smic(tmp_path)
    assert index.source["coding"] == "smic_hs_2019"
    assert index.table["apex"].tolist() == [121]
    root, wrote = shared_set("samm")
    sheet = tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx"
    table = pd.read_excel(root / sheet.name, skiprows=13, dtype=str)
    table.drop(columns="Objective Classes").to_excel(sheet, index=False)
    index = read_samm(root, spreadsheet=sheet)
    assert index.source["coding"].startswith(f"unknown ({sheet.name}, sha256 ")
    assert len(index) == len(wrote)


def test_a_prepared_clip_leads_back_to_the_row_of_the_sheet(coded, tmp_path):
    index = read_casme2(coded)
    prepare(index, tmp_path / "prepared", recipe=TINY, crop="none", progress=False)
    for table in (Clips.load(tmp_path / "prepared").table, ClipIndex.load(index.save(tmp_path / "index")).table):
        source = ["spreadsheet", "sheet", "sheet_row", "subject", "filename"]
        found = table[source].astype(str).values.tolist()
        assert found == [["CASME2-coding-20140508.xlsx", "Sheet1", str(2 + k), *ROWS[k][:2]] for k in range(2)]
