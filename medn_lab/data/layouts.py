"""What each data set's folders and spreadsheets look like: described once, used for reading and for writing."""

from __future__ import annotations

from typing import Literal

from medn_lab.data.layout import Coding, Column, FrameTree, Layout

LayoutName = Literal["casme2", "samm", "smic", "casme3", "mmew", "4dme", "casme", "dfme"]


def _columns(*pairs: tuple[str, str] | str) -> tuple[Column, ...]:
    return tuple(Column(pair) if isinstance(pair, str) else Column(*pair) for pair in pairs)


_SUBJECT, _FILENAME = ("Subject", "subject"), ("Filename", "filename")

_CASME2_COMMON = (
    _SUBJECT,
    _FILENAME,
    "",
    ("OnsetFrame", "onset"),
    ("ApexFrame", "apex"),
    ("OffsetFrame", "offset"),
    "",
    ("Action Units", "action_units"),
    ("Estimated Emotion", "emotion"),
)

CASME2 = Layout(
    dataset="casme2",
    title="CASME II",
    fps=200.0,
    codings=(
        Coding("casme2_2014", "CASME2-coding-20140508.xlsx", _columns(*_CASME2_COMMON)),
        Coding(
            "casme2_2019",
            "CASME2-coding-20190701.xlsx",
            _columns(*_CASME2_COMMON, ("Objective Classes", "objective_class")),
        ),
        Coding("casme2_label_ver_2", "CASME2_label_Ver_2.xls", _columns(*_CASME2_COMMON)),
    ),
    trees=(
        FrameTree("cropped", "Cropped/sub{subject}/{filename}", "reg_img{number}.jpg", "crop"),
        FrameTree("raw", "CASME2_RAW_selected/sub{subject}/{filename}", "img{number}.jpg", "raw"),
    ),
)

_SAMM_COLUMNS = _columns(
    _SUBJECT,
    _FILENAME,
    "Inducement Code",
    ("Onset Frame", "onset"),
    ("Apex Frame", "apex"),
    ("Offset Frame", "offset"),
    "Duration",
    "Micro",
    ("Action Units", "action_units"),
    ("Estimated Emotion", "emotion"),
    ("Objective Classes", "objective_class"),
    "Notes",
)

SAMM = Layout(
    dataset="samm",
    title="SAMM",
    fps=200.0,
    codings=(
        Coding("samm_v2", "SAMM_Micro_FACS_Codes_v2.xlsx", _SAMM_COLUMNS, preamble=13),
        Coding("samm_v2_20181215", "SAMM_20181215_Micro_FACS_Codes_v2.xlsx", _SAMM_COLUMNS),
    ),
    trees=(FrameTree("raw", "SAMM/{subject}/{filename}", "{subject}_{number:05d}.jpg", "samm"),),
    subject="{number:03d}",
    clip="{subject}_{number}_1",
)

_SMIC_BEFORE = (_SUBJECT, _FILENAME, "", ("OnsetF", "onset"))
_SMIC_AFTER = (
    ("OffsetF", "offset"),
    ("Onset2F", "onset2"),
    ("Offset2F", "offset2"),
    ("Onset3F", "onset3"),
    ("Offset3F", "offset3"),
    "",
    "FirstF",
    "LastF",
    "TotalMF1",
    "TotalMF2",
    "TotalMF3",
    "TotalVL",
    ("Emotion", "emotion"),
)
_SMIC_CLOSING = ("Onset and offset are frame numbers of the original recording.",)

SMIC = Layout(
    dataset="smic",
    title="SMIC",
    fps=100.0,
    codings=(
        Coding(
            "smic_hs",
            "SMIC-HS-E_annotation.xlsx",
            _columns(*_SMIC_BEFORE, *_SMIC_AFTER),
            closing=_SMIC_CLOSING,
        ),
        Coding(
            "smic_hs_2019",
            "SMIC-HS-E_annotation_2019.xlsx",
            _columns(*_SMIC_BEFORE, ("ApexF", "apex"), *_SMIC_AFTER),
            closing=_SMIC_CLOSING,
            also=("SMIC-HS-E_annotation",),
        ),
        Coding("smic_vis", "SMIC-VIS-E_annotation.xlsx", _columns(*_SMIC_BEFORE, *_SMIC_AFTER)),
        Coding("smic_nir", "SMIC-NIR-E_annotation.xlsx", _columns(*_SMIC_BEFORE, *_SMIC_AFTER)),
    ),
    trees=(
        FrameTree(
            "cropped",
            "SMIC_all_cropped/HS/s{subject}/micro/{emotion}/{filename}",
            "reg_image{number:06d}.bmp",
            "crop",
            tail=1,
        ),
        FrameTree("raw", "HS/s{subject:0>2}/{filename}", "image{number:06d}.bmp", "hs", tail=1),
    ),
    subject="{number}",
    clip="s{subject}_{short}_{number:02d}",
    has_aus=False,
    has_apex=False,
    cameras=("hs", "vis", "nir"),
)

_CASME3_COLUMNS = _columns(
    _SUBJECT,
    _FILENAME,
    ("Onset", "onset"),
    ("Apex", "apex"),
    ("Offset", "offset"),
    ("AU", "action_units"),
    ("Objective class", "objective_class"),
    ("emotion", "emotion"),
)

CASME3 = Layout(
    dataset="casme3",
    title="CAS(ME)^3 part A",
    fps=30.0,
    codings=(
        Coding("casme3_a_v2", "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", _CASME3_COLUMNS),
        Coding("casme3_a_v1", "cas(me)3_part_A_ME_label_JpgIndex_v1.xls", _CASME3_COLUMNS),
    ),
    trees=(
        FrameTree("raw", "part_A/{subject}/{filename}/color", "{number}.jpg", "part_a", tail=3),
        FrameTree("clips", "Part_A_ME_clip/frame/{subject}_{filename}_{onset}", "{number}.jpg", "me_clip"),
    ),
    subject="spNO.{number}",
    clip="{letter}",
    key=("subject", "filename", "onset"),
    shared_folders=True,
)

MMEW = Layout(
    dataset="mmew",
    title="MMEW",
    fps=90.0,
    codings=(
        Coding(
            "mmew",
            "MMEW_Micro_Exp.xlsx",
            _columns(
                _SUBJECT,
                _FILENAME,
                ("OnsetFrame", "onset"),
                ("ApexFrame", "apex"),
                ("OffsetFrame", "offset"),
                ("Action Units", "action_units"),
                ("Estimated Emotion", "emotion"),
                "remarks",
            ),
        ),
    ),
    trees=(FrameTree("raw", "Micro_Expression/{emotion}/{filename}", "{number}.jpg", "micro_expression", tail=1),),
    clip="S{subject}-{number:02d}-001",
)

FOURDME = Layout(
    dataset="4dme",
    title="4DME",
    fps=60.0,
    codings=(
        Coding(
            "4dme_v1",
            "4DME_Labelling_Micro_release v1.xlsx",
            _columns(
                ("sub_ID", "subject"),
                ("fold_name", "filename"),
                ("Onset", "onset"),
                ("Apex", "apex"),
                ("Offset", "offset"),
                ("AUs", "action_units"),
                ("Emotion", "emotion"),
                "Positive",
                "Negative",
                "Surprise",
                "Repression",
                "Others",
            ),
        ),
    ),
    trees=(FrameTree("raw", "gray_micro/{filename}", "{number}.jpg", "micro", tail=1),),
    subject="{number}",
    clip="{subject}_{number:02d}",
)

CASME = Layout(
    dataset="casme",
    title="CASME",
    fps=60.0,
    codings=(
        Coding(
            "casme",
            "CASME-coding.xlsx",
            _columns(
                _SUBJECT,
                _FILENAME,
                ("OnsetF", "onset"),
                ("ApexF1", "apex"),
                "ApexF2",
                ("OffsetF", "offset"),
                ("AU", "action_units"),
                ("Emotion", "emotion"),
            ),
        ),
    ),
    trees=(
        FrameTree("cropped", "Cropped/sub{subject}/{filename}", "reg_{filename}-{number:03d}.jpg", "crop"),
        FrameTree("raw", "raw/sub{subject}/{filename}", "{filename}-{number:03d}.jpg", "raw"),
    ),
)

DFME = Layout(
    dataset="dfme",
    title="DFME",
    fps=200.0,
    codings=(
        Coding(
            "dfme",
            "DFME_annotations.csv",
            _columns(
                ("subject", "subject"),
                ("filename", "filename"),
                ("fps", "fps"),
                ("onset", "onset"),
                ("apex", "apex"),
                ("offset", "offset"),
                ("AUs", "action_units"),
                ("emotion", "emotion"),
            ),
        ),
    ),
    trees=(FrameTree("raw", "DFME/{subject}/{filename}", "{number}.png", "dfme"),),
    subject="sub{number:04d}",
    clip="{letter}_{number}",
)

LAYOUTS: dict[str, Layout] = {
    layout.dataset: layout for layout in (CASME2, SAMM, SMIC, CASME3, MMEW, FOURDME, CASME, DFME)
}
"""Every layout by the data set's name."""
