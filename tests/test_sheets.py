"""Spreadsheets and folders as people have them: other programs, other names, several sheets, several trees."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pandas as pd
import pytest
from refusals import assert_refuses
from written_sets import TINY, is_accounted_for

from medn_lab.data import prepare, read_casme2, read_casme3, read_dfme, read_smic
from medn_lab.records import Clips

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


@pytest.mark.parametrize(
    "folder", ["HS_long/SMIC_HS_E/s03/s03_ne_03", "SMIC_all_cropped/HS/s3/micro/negative/s03_s3_ne_03"]
)
def test_smic_is_found_in_every_tree_and_its_later_sheet_has_apexes(tmp_path, folder):
    smic_frames(tmp_path / folder)
    path = book(tmp_path / "SMIC-HS-E_annotation.xlsx", Sheet1=[SMIC_HEADERS, SMIC_ROW])
    (clip,) = read_smic(tmp_path).table.to_dict("records")
    assert (clip["clip_id"], clip["onset"], clip["offset"], clip["fps"]) == ("smic/3/s3_ne_03", 110, 130, 100)
    assert (clip["frames_folder"], clip["cropped"]) == (str(tmp_path / folder), "cropped" in folder)
    assert clip["coding"] == "smic_hs"
    book(path, Sheet1=[[*SMIC_HEADERS[:4], "ApexF", *SMIC_HEADERS[4:]], [*SMIC_ROW[:4], 121, *SMIC_ROW[4:]]])
    assert read_smic(tmp_path).table[["coding", "apex"]].values.tolist() == [["smic_hs_2019", 121]]


def test_smic_has_the_frame_rate_of_the_camera_and_never_the_coding_of_another(tmp_path):
    rates = {"HS": 100, "VIS": 25, "NIR": 25}
    for camera in rates:
        smic_frames(tmp_path / camera / "s3" / "s3_ne_03")
        book(tmp_path / f"SMIC-{camera}-E_annotation.xlsx", Sheet1=[SMIC_HEADERS, SMIC_ROW])
    for camera, fps in rates.items():
        found = read_smic(tmp_path, spreadsheet=f"SMIC-{camera}-E_annotation.xlsx", frames=camera)
        assert found.table["fps"].tolist() == [fps]
    mixed = {"spreadsheet": "SMIC-HS-E_annotation.xlsx", "frames": "NIR"}
    assert_refuses(read_smic, tmp_path, **mixed, match="camera nir, coding of hs")


def test_every_expression_of_a_smic_clip_is_a_clip_or_left_out(tmp_path):
    rows = []
    for name, times in {"s3_ne_03": [130, 140, 150, 160], "s3_ne_05": [700, 710, "/", 0]}.items():
        smic_frames(tmp_path / "HS/s03" / name)
        rows.append([3, name, None, 110, 120, *times, "negative"])
    book(tmp_path / "SMIC-HS-E_annotation.xlsx", Sheet1=[SMIC_HEADERS, *rows])
    index = read_smic(tmp_path)
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
    index = read_casme3(tmp_path, spreadsheet=path)
    expected = coding or f"unknown ({path.name}, sha256 {index.source['sha256'][:8]})"
    assert [index.source["coding"]] == index.table["coding"].tolist() == [expected]
    assert index.table["frames_folder"].tolist() == [str(tmp_path / "Part_A_ME_clip" / "frame" / "spNO.1_a_116")]


# --- tables of other programs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "encoding", "separator", "note"),
    [
        ("mine.csv", "utf-8-sig", ";", "é"), ("mine.csv", "cp1252", ";", "geprüft – ähnlich"),
        ("mine.csv", "gb18030", "，", "已人工检查，无误"), ("mine.xls", "utf-16", "\t", "é"),
    ],
)  # fmt: skip
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
    path = book(casme2 / "book.xlsx", legend=[["what it is"]], empty=[], coding=[["title"], [], HEADERS, *ROWS])
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
    book(casme2 / "mine.xlsx", Sheet1=[[*row[:3], *row[5:]] for row in [HEADERS, *ROWS]])
    assert read_casme2(casme2).table["offset"].tolist() == [10, 10]


def test_a_frame_rate_is_read_as_it_is_typed_and_one_that_no_camera_has_is_a_problem(tmp_path):
    wrong, right = ["90000", "-30", "x", "1e5"], {"300": 300, '"59,94"': 59.94, "500 fps": 500, "200.0": 200}
    lines = ["subject,filename,fps,onset,apex,offset,AUs,emotion"]
    for number, typed in enumerate([*right, *wrong]):
        frames(tmp_path / f"DFME/sub0001/a_{number}", name="{}.bmp")
        lines.append(f"sub0001,a_{number},{typed},1,4,9,4,fear")
    (tmp_path / "DFME_annotations.csv").write_text("\n".join(lines))
    index = read_dfme(tmp_path)
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
