"""Spreadsheets and folders as people have them: other programs, other names, several sheets, several trees."""

import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from written_sets import written

from medn_lab.data import (
    FlowRecipe,
    canonical_emotion,
    compare_codings,
    prepare,
    read_casme2,
    read_casme3,
    read_dfme,
    read_samm,
    read_smic,
    to_classes,
)
from medn_lab.data.opencv import cv2
from medn_lab.records import ClipIndex, Clips

PICTURE = cv2.imencode(".bmp", np.full((24, 24, 3), 120, np.uint8))[1].tobytes()
SMIC_HEADERS = [
    "Subject",
    "Filename",
    None,
    "OnsetF",
    "OffsetF",
    "Onset2F",
    "Offset2F",
    "Onset3F",
    "Offset3F",
    "Emotion",
]
CASME2_HEADERS = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
CASME2_ROWS = [["01", "EP02_01f", 3, 5, 9, "4+L7", "disgust"], ["02", "EP01_02", 1, 4, 8, "12", "happiness"]]
CASME3_HEADERS = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]


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


def accounted(index: ClipIndex) -> bool:
    left_out = set(index.problems.loc[~index.problems["kept"].astype(bool), "clip_id"])
    return not left_out & set(index.table["clip_id"]) and len(index) + len(left_out) == index.source["rows"]


@pytest.fixture
def casme2(tmp_path) -> Path:
    for subject, clip, *_ in CASME2_ROWS:
        frames(tmp_path / "set" / "CASME2_RAW_selected" / f"sub{subject}" / clip)
    return tmp_path / "set"


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
    book(
        tmp_path / "SMIC-HS-E_annotation.xlsx",
        Sheet1=[SMIC_HEADERS, [3, "s3_ne_03", None, 110, 130, *[None] * 4, "negative"]],
    )
    index = read_smic(tmp_path)
    assert index.table[["clip_id", "onset", "offset"]].values.tolist() == [["smic/3/s3_ne_03", 110, 130]]
    assert index.table["frames_folder"].tolist() == [str(tmp_path / folder)]
    assert index.table["cropped"].tolist() == ["cropped" in folder]


def test_smic_reads_the_sheet_and_the_folders_of_its_camera(tmp_path):
    rows = {
        camera: [3, "s3_ne_03", None, onset, onset + 5, *[None] * 4, "negative"]
        for camera, onset in (("VIS", 2), ("NIR", 4))
    }
    for camera in rows:
        frames(tmp_path / f"{camera}_long/SMIC_{camera}_E/s03/s3_ne_03", name="{:05d}.bmp")
    path = book(
        tmp_path / "SMIC_VIS_NIR_annotation.xlsx",
        Notes=[["see the paper"]],
        **{camera: [SMIC_HEADERS, row] for camera, row in rows.items()},
    )
    for camera, onset in (("vis", 2), ("nir", 4)):
        index = read_smic(tmp_path, camera=camera)
        assert index.table[["onset", "fps", "sheet", "sheet_row"]].values.tolist() == [[onset, 25.0, camera.upper(), 2]]
        assert camera.upper() in index.table["frames_folder"].iloc[0]
    assert read_smic(tmp_path, camera="vis", spreadsheet=f"{path}#NIR").table["onset"].tolist() == [4]
    with pytest.raises(ValueError, match=r"no sheet 'HS'; there are Notes, VIS, NIR"):
        read_smic(tmp_path, spreadsheet=f"{path}#HS")


def test_smic_columns_with_a_cameras_name_are_that_cameras(tmp_path):
    headers = ["Subject", "Filename", "OnsetF", "OffsetF", "OnsetF NIR", "OffsetF NIR", "Emotion"]
    book(tmp_path / "SMIC_VIS_and_NIR.xlsx", all=[headers, [3, "s3_ne_03", 2, 6, 4, 8, "negative"]])
    for camera in ("VIS", "NIR"):
        frames(tmp_path / camera / "s3" / "s3_ne_03")
    assert read_smic(tmp_path, camera="vis").table[["onset", "offset"]].values.tolist() == [[2, 6]]
    assert read_smic(tmp_path, camera="nir").table[["onset", "offset"]].values.tolist() == [[4, 8]]


def test_every_expression_of_a_smic_clip_is_a_clip_or_left_out(tmp_path):
    frames(tmp_path / "HS/s03/s3_ne_03", range(100, 190), "image{:06d}.bmp")
    frames(tmp_path / "HS/s03/s3_ne_05", range(100, 190), "image{:06d}.bmp")
    rows = [
        [3, "s3_ne_03", None, 110, 120, 130, 140, 150, 160, "negative"],
        [3, "s3_ne_05", None, 110, 120, 700, 710, "/", 0, "negative"],
    ]
    book(tmp_path / "SMIC-HS-E_annotation.xlsx", Sheet1=[SMIC_HEADERS, *rows])
    index = read_smic(tmp_path)
    spans = {row.clip_id: (row.onset, row.offset) for row in index.table.itertuples()}
    assert spans == {
        "smic/3/s3_ne_03": (110, 120),
        "smic/3/s3_ne_03/2": (130, 140),
        "smic/3/s3_ne_03/3": (150, 160),
        "smic/3/s3_ne_05": (110, 120),
    }
    assert accounted(index)
    assert index.source["rows"] == 5
    assert index.problems[["clip_id", "kept"]].values.tolist() == [
        ["smic/3/s3_ne_03/2", True],
        ["smic/3/s3_ne_03/3", True],
        ["smic/3/s3_ne_05/2", False],
    ]
    assert index.table["sheet_row"].tolist() == [2, 2, 2, 3]


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
def test_a_text_table_is_read_in_whatever_encoding_and_separator_it_was_saved(casme2, name, encoding, separator):
    note = (
        "von Hand geprüft – ähnlich" if encoding == "cp1252" else "已人工检查，无误" if encoding == "gb18030" else "é"
    )
    lines = [["a note"], [*CASME2_HEADERS, "remarks"], *[[*map(str, row), f'"{note}"'] for row in CASME2_ROWS], []]
    (casme2 / name).write_bytes("\r\n".join(separator.join(line) for line in lines).encode(encoding))
    index = read_casme2(casme2)
    assert index.table[["subject", "onset", "apex", "offset", "emotion"]].values.tolist() == [
        ["01", 3, 5, 9, "disgust"],
        ["02", 1, 4, 8, "happiness"],
    ]
    assert index.table["sheet_row"].tolist() == [3, 4]
    assert not len(index.problems)


def test_numbers_with_a_decimal_comma_and_full_width_digits_are_numbers(casme2):
    rows = [
        ["０１", " EP02_01f　", "3,0", "５", "9.00", "4", "disgust"],
        ["sub02", "ep1_2", "1", "4,00", "8", "12", "happiness"],
    ]
    lines = [";".join(row) for row in [CASME2_HEADERS, *rows]]
    (casme2 / "mine.csv").write_text("\n".join(lines), encoding="utf-8")
    index = read_casme2(casme2)
    assert index.table[["onset", "apex", "offset"]].values.tolist() == [[3, 5, 9], [1, 4, 8]]
    assert index.table["subject"].tolist() == ["01", "02"]


def test_headers_with_full_width_and_chinese_signs_are_headers(casme2):
    headers = [
        "Ｓｕｂｊｅｃｔ",
        "Filename\u00a0",
        "Onset　Frame（帧）",
        "apex＿frame",
        "OffsetFrame：",
        "Action\nUnits",
        "estimated  emotion",
    ]
    book(casme2 / "mine.xlsx", 表一=[headers, *CASME2_ROWS])
    assert read_casme2(casme2).table["onset"].tolist() == [3, 1]


def test_an_opendocument_sheet_says_what_to_do(casme2, monkeypatch):
    with zipfile.ZipFile(casme2 / "mine.ods", "w") as made:
        made.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        made.writestr("content.xml", "<office/>")
    monkeypatch.setitem(sys.modules, "odf", None)
    with pytest.raises(ValueError, match=r"mine.ods: it needs another package to be read .*save it as .xlsx or .csv"):
        read_casme2(casme2)


# --- several sheets -------------------------------------------------------------------------------------------------


def test_the_sheet_that_fits_is_found_wherever_it_stands(casme2):
    book(casme2 / "book.xlsx", legend=[["what it is"]], empty=[], coding=[["title"], [], CASME2_HEADERS, *CASME2_ROWS])
    index = read_casme2(casme2)
    assert index.table[["spreadsheet", "sheet", "sheet_row"]].values.tolist() == [
        ["book.xlsx", "coding", 4],
        ["book.xlsx", "coding", 5],
    ]


def test_sheets_with_different_clips_are_read_together_and_two_codings_are_not(casme2):
    book(casme2 / "book.xlsx", first=[CASME2_HEADERS, CASME2_ROWS[0]], second=[CASME2_HEADERS, CASME2_ROWS[1]])
    index = read_casme2(casme2)
    assert index.table[["clip_id", "sheet", "sheet_row"]].values.tolist() == [
        ["casme2/01/EP02_01f", "first", 2],
        ["casme2/02/EP01_02", "second", 2],
    ]
    assert index.source["sheets"] == ["first", "second"]
    assert accounted(index)
    other = [[1, "EP2_1f", 3, 5, 9, "4", "others"], *CASME2_ROWS[1:]]
    path = book(casme2 / "book.xlsx", first=[CASME2_HEADERS, *CASME2_ROWS], second=[CASME2_HEADERS, *other])
    with pytest.raises(ValueError, match=r"book.xlsx#first .*book.xlsx#second .*spreadsheet='book.xlsx#first'"):
        read_casme2(casme2)
    assert read_casme2(casme2, spreadsheet="book.xlsx#second").table["emotion"].tolist() == ["others", "happiness"]
    assert read_casme2(casme2, spreadsheet=f"{path}#first").table["emotion"].tolist() == ["disgust", "happiness"]


def test_a_copy_of_a_spreadsheet_is_one_and_an_extract_gives_way_to_the_whole(casme2):
    path = book(casme2 / "CASME2-coding-20140508.xlsx", Sheet1=[CASME2_HEADERS, *CASME2_ROWS])
    shutil.copy(path, casme2 / "CASME2-coding-20140508 - Copy.xlsx")
    (casme2 / "__MACOSX").mkdir()
    (casme2 / "__MACOSX" / "._CASME2-coding-20140508.xlsx").write_bytes(b"\0\5\26\7")
    (casme2 / "extract.csv").write_text("Subject,Filename,Onset,Offset,AU,emotion\n01,EP02_01f,3,9,4,disgust\n")
    index = read_casme2(casme2)
    assert set(index.table["coding"]) == {"casme2_2014"}
    assert len(index) == 2
    index.save(casme2 / "my_index")  # its clips.csv has the columns of a coding too
    assert len(read_casme2(casme2)) == 2


def test_a_clip_in_two_capitalisations_is_one_clip(casme2):
    again = [1, "ep02_01F ", 3, 5, 9, "4", "others"]
    book(casme2 / "mine.xlsx", Sheet1=[CASME2_HEADERS, *CASME2_ROWS, again])
    index = read_casme2(casme2)
    assert index.table["emotion"].tolist() == ["disgust", "happiness"]
    assert index.problems[["clip_id", "kept"]].values.tolist() == [["casme2/01/ep02_01F#2", False]]
    assert accounted(index)


# --- columns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repair", [True, False])
def test_a_sheet_without_apexes_is_used_and_they_are_spotted(casme2, tmp_path, repair):
    rows = [[*row[:3], *row[4:]] for row in [CASME2_HEADERS, *CASME2_ROWS]]
    book(casme2 / "mine.xlsx", Sheet1=rows)
    index = read_casme2(casme2, repair=repair)
    assert index.table["apex"].isna().all()
    assert index.problems[["field", "kept"]].values.tolist() == [["apex", True]] * 2
    tiny = FlowRecipe(name="tiny", size=16, compute_size=32, n_frames=2, register=False)
    prepared = prepare(index, tmp_path / "prepared", recipe=tiny, crop="none", progress=False)
    assert prepared.table["apex"].between(prepared.table["onset"], prepared.table["offset"]).all()


def test_a_sheet_without_offsets_takes_the_last_frame_of_the_folder(casme2):
    rows = [[*row[:3], *row[5:]] for row in [CASME2_HEADERS, *CASME2_ROWS]]
    book(casme2 / "mine.xlsx", Sheet1=rows)
    assert read_casme2(casme2).table["offset"].tolist() == [10, 10]


@pytest.mark.parametrize("fps", ["90000", "1000", "1000000", "0", "-30", "1", "x", "two hundred", "1e5"])
def test_a_frame_rate_that_no_camera_has_is_named(tmp_path, fps):
    frames(tmp_path / "DFME/sub0001/a_1", name="{}.bmp")
    (tmp_path / "DFME_annotations.csv").write_text(
        f"subject,filename,fps,onset,apex,offset,AUs,emotion\nsub0001,a_1,{fps},1,4,9,4,fear\n"
    )
    index = read_dfme(tmp_path)
    assert index.table["fps"].tolist() == [200]
    assert index.problems[["field", "kept"]].values.tolist() == [["fps", True]]


@pytest.mark.parametrize(
    ("fps", "right"), [("300", 300), ("59.94", 59.94), ('"59,94"', 59.94), ("500 fps", 500), ("200.0", 200)]
)
def test_a_frame_rate_is_read_as_it_is_typed(tmp_path, fps, right):
    frames(tmp_path / "DFME/sub0001/a_1", name="{}.bmp")
    (tmp_path / "DFME_annotations.csv").write_text(
        f"subject,filename,fps,onset,apex,offset,AUs,emotion\nsub0001,a_1,{fps},1,4,9,4,fear\n"
    )
    index = read_dfme(tmp_path)
    assert index.table["fps"].tolist() == [right]
    assert not len(index.problems)


# --- labels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    ["disgust", "disgust ", " Disgust", "DISGUST", "ｄｉｓｇｕｓｔ", "disgust\u00a0", "disgust.", "disgust;",
     "'disgust'",
     "“disgust”", "disgusted", "disgust\n", "\ufeffdisgust", "disgust,", "disgust，", "(disgust)",
     "Disgust (厌恶)", "disgust（厌恶）", "厌恶 disgust", "disgust/厌恶", "Disgust [厌恶]", "厌恶"],
)  # fmt: skip
def test_a_label_is_one_class_however_it_is_typed(typed):
    assert canonical_emotion(typed) == "disgust"
    table = pd.DataFrame({"clip_id": ["a", "b"], "dataset": ["casme2", " CASME2"], "emotion": ["disgust", typed]})
    kept, _ = to_classes(table, "casme2_5class")
    assert kept["label"].tolist() == ["disgust", "disgust"]


@pytest.mark.parametrize(
    "missing", [None, np.nan, np.float32("nan"), pd.NA, pd.NaT, "", " ", "nan", "None", "N/A", "-", "/", "?", "<NA>"]
)
def test_a_label_that_is_none_is_missing(missing):
    table = pd.DataFrame(
        {"clip_id": ["a", "b"], "dataset": "casme2", "emotion": pd.Series(["disgust", missing], dtype=object)}
    )
    kept, dropped = to_classes(table, "casme2_5class")
    assert kept["clip_id"].tolist() == ["a"]
    assert dropped["reason"].tolist() == ["no emotion is given"]


# --- folders --------------------------------------------------------------------------------------------------------


def test_two_trees_are_named_with_the_argument_that_chooses(casme2):
    book(casme2 / "CASME2-coding-20140508.xlsx", Sheet1=[CASME2_HEADERS, *CASME2_ROWS])
    frames(casme2 / "CASME2-RAW" / "sub01" / "EP02_01f", range(1, 60))
    index = read_casme2(casme2)
    assert index.table["clip_id"].tolist() == ["casme2/02/EP01_02"]
    assert accounted(index)
    (found,) = index.problems["found"]
    assert "2 folders fit" in found
    assert "frames='CASME2-RAW' or frames='CASME2_RAW_selected'" in found
    for chosen in ("CASME2_RAW_selected", "casme2_raw_selected"):
        assert len(read_casme2(casme2, frames=chosen)) == 2
    whole = read_casme2(casme2, frames="CASME2-RAW")
    assert whole.table["frames_folder"].tolist() == [str(casme2 / "CASME2-RAW" / "sub01" / "EP02_01f")]
    with pytest.raises(ValueError, match=r"has no frames 'elsewhere': there are auto, cropped, raw, and .* no folder"):
        read_casme2(casme2, frames="elsewhere")


def test_what_systems_leave_in_folders_is_passed_over(casme2):
    book(casme2 / "CASME2-coding-20140508.xlsx", Sheet1=[CASME2_HEADERS, *CASME2_ROWS])
    clean = read_casme2(casme2)
    tree = casme2 / "CASME2_RAW_selected"
    clip = tree / "sub01" / "EP02_01f"
    for copy in (
        "__MACOSX",
        "@eaDir",
        ".ipynb_checkpoints",
        "#recycle",
        "CASME2_RAW_selected - Copy",
        "CASME2_RAW_selected (1)",
    ):
        shutil.copytree(tree / "sub01", casme2 / copy / "sub01")
    for inner in ("@eaDir", ".ipynb_checkpoints", "EP02_01f - Copy"):
        frames(clip / inner) if inner[0] in "@." else shutil.copytree(clip, clip.parent / inner)
    for name in ("._img1.bmp", "Thumbs.db", ".DS_Store", "desktop.ini"):
        (clip / name).write_bytes(b"\0\5\26\7")
    index = read_casme2(casme2)
    pd.testing.assert_frame_equal(index.table, clean.table)
    assert not len(index.problems)


def test_a_folder_of_nothing_but_shadow_files_holds_no_frames(casme2):
    book(casme2 / "CASME2-coding-20140508.xlsx", Sheet1=[CASME2_HEADERS, *CASME2_ROWS])
    frames(casme2 / "other" / "sub01" / "EP02_01f", name="._img{}.bmp")
    assert len(read_casme2(casme2)) == 2


def test_a_video_next_to_the_frames_does_no_harm(casme2):
    book(casme2 / "CASME2-coding-20140508.xlsx", Sheet1=[CASME2_HEADERS, *CASME2_ROWS])
    (casme2 / "videos").mkdir()
    (casme2 / "videos" / "EP02_01f.avi").write_bytes(b"RIFF")
    assert len(read_casme2(casme2)) == 2


def test_a_data_set_of_videos_gets_the_line_that_writes_its_frames(tmp_path):
    book(tmp_path / "CASME2-coding-20140508.xlsx", Sheet1=[CASME2_HEADERS, *CASME2_ROWS])
    for subject, clip, *_ in CASME2_ROWS:
        (tmp_path / f"sub{subject}").mkdir()
        (tmp_path / f"sub{subject}" / f"{clip}.avi").write_bytes(b"RIFF")
    with pytest.raises(
        ValueError, match=r"video sub01/EP02_01f.avi.*ffmpeg -i sub01/EP02_01f.avi .*sub01/EP02_01f/%d.png"
    ):
        read_casme2(tmp_path)


def test_casme3_is_found_as_clips_too(tmp_path):
    for kind in ("frame", "depth"):
        frames(tmp_path / "Part_A_ME_clip" / kind / "spNO.1_a_116", range(116, 130), "{}.bmp")
    book(tmp_path / "label.xlsx", label=[CASME3_HEADERS, ["spNO.1", "a", 116, 120, 129, "4", "II", "disgust"]])
    index = read_casme3(tmp_path)
    assert index.table["frames_folder"].tolist() == [str(tmp_path / "Part_A_ME_clip" / "frame" / "spNO.1_a_116")]


# --- provenance -----------------------------------------------------------------------------------------------------


def test_each_coding_has_its_name_and_an_unknown_one_has_none(tmp_path):
    frames(tmp_path / "part_A/spNO.1/a/color", range(116, 130), "{}.bmp")
    row = ["spNO.1", "a", 116, 120, 129, "4", "II", "disgust"]
    names = {}
    for name, change in (
        ("cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {}),
        ("cas(me)3_part_A_ME_label_JpgIndex_v1.xlsx", {}),
        ("cas(me)3_part_A_ME_label_JpgIndex_v2 (1).xlsx", {}),
        ("cas(me)3_part_A_ME_label_JpgIndex_v2_refined.xlsx", {}),
        ("mine.xlsx", {}),
        ("other/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"AU": "Action Units"}),
    ):
        path = book(tmp_path / "sheets" / name, label=[[change.get(cell, cell) for cell in CASME3_HEADERS], row])
        index = read_casme3(tmp_path / "part_A", spreadsheet=path)
        names[name] = index.source["coding"]
        assert set(index.table["coding"]) == {names[name]}
        assert len(index.source["sha256"]) == 64
    known = list(names.values())
    assert known[:3] == ["casme3_a_v2", "casme3_a_v1", "casme3_a_v2"]
    assert all(
        name.startswith("unknown (") and path.rpartition("/")[2] in name for path, name in list(names.items())[3:]
    )
    assert len(set(known)) == 5


def test_a_later_smic_sheet_and_another_samm_sheet_are_told_apart(tmp_path):
    frames(tmp_path / "HS/s03/s3_ne_03", range(100, 140), "image{:06d}.bmp")
    path = tmp_path / "SMIC-HS-E_annotation.xlsx"
    book(path, Sheet1=[SMIC_HEADERS, [3, "s3_ne_03", None, 110, 130, *[None] * 4, "negative"]])
    assert read_smic(tmp_path).source["coding"] == "smic_hs"
    with_apex = [*SMIC_HEADERS[:4], "ApexF", *SMIC_HEADERS[4:]]
    book(path, Sheet1=[with_apex, [3, "s3_ne_03", None, 110, 121, 130, *[None] * 4, "negative"]])
    index = read_smic(tmp_path)
    assert index.source["coding"] == "smic_hs_2019"
    assert index.table["apex"].tolist() == [121]
    told = written(tmp_path / "samm", "samm", size=64, fps=15)
    sheet = tmp_path / "samm" / "SAMM_Micro_FACS_Codes_v2.xlsx"
    table = pd.read_excel(sheet, skiprows=13, dtype=str)
    table.drop(columns=["Objective Classes"]).to_excel(sheet, index=False)
    index = read_samm(tmp_path / "samm")
    assert index.source["coding"].startswith("unknown (SAMM_Micro_FACS_Codes_v2.xlsx, sha256 ")
    assert len(index) == len(told)


def test_a_prepared_clip_leads_back_to_the_row_of_the_sheet(tmp_path):
    told = written(tmp_path / "set", "casme2", size=64, fps=15)
    index = read_casme2(tmp_path / "set")
    tiny = FlowRecipe(name="tiny", size=16, compute_size=32, n_frames=2, register=False)
    prepare(index, tmp_path / "prepared", recipe=tiny, crop="none", progress=False)
    table = Clips.load(tmp_path / "prepared").table
    sheet = openpyxl.load_workbook(tmp_path / "set" / "CASME2-coding-20140508.xlsx").active
    assert len(table) == len(told)
    for row in table.itertuples():
        assert row.spreadsheet == "CASME2-coding-20140508.xlsx"
        assert row.sheet == sheet.title
        assert [sheet.cell(row.sheet_row, 1).value, sheet.cell(row.sheet_row, 2).value] == [row.subject, row.filename]
    assert ClipIndex.load(index.save(tmp_path / "index")).table["sheet"].tolist() == table["sheet"].tolist()
    assert compare_codings(index, index).empty
