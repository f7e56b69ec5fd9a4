"""Faults of the real files, planted: what readers and ``prepare`` must survive and account for."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medn_lab.data.layouts import Coding, Layout
from medn_lab.records import require

if TYPE_CHECKING:
    from medn_lab.synthme.write import WrittenClip

FAULTS: dict[str, str] = {
    "apex_slash": "the apex is the text /",
    "apex_is_onset": "apex and onset are one frame",
    "apex_is_offset": "apex and offset are one frame",
    "apex_after_offset": "the apex is later than the offset",
    "apex_before_onset": "the apex is long before the onset",
    "offset_zero": "the offset is 0",
    "onset_missing": "there is no onset",
    "aus_unknown": "the AUs are a question mark",
    "aus_junk": "words stand among the AUs",
    "aus_alternative": "one AU or another",
    "aus_differ": "an AU is missing that another coding has",
    "emotion_spelled": "the emotion has a capital and a trailing blank",
    "subject_unpadded": "the subject is a number without its zeros",
    "row_twice": "the row stands twice",
    "folder_missing": "there is no folder",
    "folder_renamed": "the folder's name differs in case and zeros",
    "frames_missing": "a fifth of the frames are missing",
    "frames_mostly_missing": "three quarters of the frames are missing",
    "frame_truncated": "the apex frame's file ends in the middle",
    "frame_resized": "one frame is of another size",
}
"""Every fault by name."""

CODINGS: dict[str, str] = {
    "aus_full_width": "the AUs are in full-width signs",
    "aus_reference": "a reference stands among the AUs",
    "aus_side_disputed": "the AUs are on the left or on the right",
}
"""Ways to write AUs; they are planted only where they are named."""

NEEDS_APEX = {name for name in FAULTS if name.startswith("apex")}
NEEDS_AUS = {name for name in FAULTS | CODINGS if name.startswith("aus")}
_FULL_WIDTH = str.maketrans("0123456789LR+", "０１２３４５６７８９ＬＲ，")
NEEDS_OWN_FOLDER = {"folder_missing", "folder_renamed"}


def planned_faults(faults: bool | Sequence[str], *, layout: Layout, count: int) -> list[str]:
    """The faults to plant, one a clip, in the order of the clips.

    Raises
    ------
    ValueError
        If a fault is unknown or makes no sense in this layout, or there are fewer clips than faults.
    """
    if faults is False:
        return []
    impossible = set()
    impossible |= set() if layout.has_apex else NEEDS_APEX
    impossible |= set() if layout.has_aus else NEEDS_AUS
    impossible |= NEEDS_OWN_FOLDER if layout.shared_folders else set()
    if "onset" in layout.key:
        impossible.add("onset_missing")
    if layout.subject == "{number}":
        impossible.add("subject_unpadded")
    if faults is True:
        plan = [name for name in FAULTS if name not in impossible]
    else:
        unknown = [name for name in faults if name not in FAULTS | CODINGS]
        if unknown:
            raise ValueError(f"no fault {unknown[0]!r}; there are {', '.join(FAULTS | CODINGS)}")
        wrong = [name for name in faults if name in impossible]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} cannot be planted in {layout.title}")
        plan = list(faults)
    if len(plan) > count:
        raise ValueError(f"{len(plan)} faults need as many clips, there are {count}")
    return plan


def plant_in_rows(
    written: Sequence[WrittenClip], rows: Sequence[Mapping[str, str]], *, coding: Coding
) -> list[dict[str, str]]:
    """The spreadsheet's rows with each clip's fault in its row."""
    planted = []
    for one, row in zip(written, rows, strict=True):
        changed = {**row, **_changes(one, row)}
        planted += [changed] * (2 if one.fault == "row_twice" else 1)
    return [{name: value for name, value in row.items() if coding.header_of(name) is not None} for row in planted]


def _changes(one: WrittenClip, row: Mapping[str, str]) -> dict[str, str]:
    units = row.get("action_units", "")
    bare = units.replace("L", "").replace("R", "").split("+")
    changes = {
        "apex_slash": {"apex": "/"},
        "apex_is_onset": {"apex": str(one.onset)},
        "apex_is_offset": {"apex": str(one.offset)},
        "apex_after_offset": {"apex": str(one.offset + 9)},
        "apex_before_onset": {"apex": str(max(0, one.onset - 1000))},
        "offset_zero": {"offset": "0"},
        "onset_missing": {"onset": ""},
        "aus_unknown": {"action_units": "?"},
        "aus_junk": {"action_units": f"{units} + soft focus"},
        "aus_alternative": {"action_units": f"{units} or 38"},
        "aus_full_width": {"action_units": units.translate(_FULL_WIDTH)},
        "aus_reference": {"action_units": f"{units}+ref(38)"},
        "aus_side_disputed": {"action_units": " or ".join(one + f"+{one}".join(bare) for one in "LR")},
        "aus_differ": {"action_units": "+".join([*units.split("+"), "43"])},
        "emotion_spelled": {"emotion": f"{row['emotion'].upper()} "},
        "subject_unpadded": {"subject": row["subject"].lower().lstrip("0") + "  "},
    }
    return changes.get(one.fault, {})


def _otherwise_spelled(name: str) -> str:
    """Another case, and one more zero before the last number."""
    return re.sub(r"(\d+)(?=\D*$)", lambda found: f"0{found[1]}", name.upper())


def plant_in_frames(one: WrittenClip, folder: Path, names: Mapping[int, str], *, shared: bool) -> None:
    """Spoil a clip's frames, just written, by its fault."""
    numbers = list(names)
    if one.fault == "folder_missing" and not shared:
        shutil.rmtree(folder)
    elif one.fault == "folder_renamed" and not shared:
        folder.rename(folder.with_name(_otherwise_spelled(folder.name)))
    elif one.fault == "frames_missing":
        for number in numbers[2::5]:
            (folder / names[number]).unlink()
    elif one.fault == "frames_mostly_missing":
        for number in numbers[len(numbers) // 4 :]:
            (folder / names[number]).unlink()
    elif one.fault == "frame_truncated":
        path = folder / names[one.apex]
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif one.fault == "frame_resized":
        import cv2

        path = folder / names[one.apex]
        picture = require(cv2.imread(str(path)), otherwise=f"{path} cannot be read as a picture")
        cv2.imwrite(str(path), cv2.resize(picture, (picture.shape[1] // 2, picture.shape[0])))
