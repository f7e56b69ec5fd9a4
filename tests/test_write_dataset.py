"""What is written has the official names, and the frames are SynthME's."""

import numpy as np
import pandas as pd
import pytest
from written_sets import COARSE, drawn_clips, written

from medn_lab.data.frames import list_frames, read_image
from medn_lab.data.layouts import LAYOUTS
from medn_lab.synthme import render_frames, synthetic_clips, write_dataset
from medn_lab.synthme.writers import read_faults


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_the_spreadsheet_has_the_official_name_headers_and_preamble(tmp_path, layout):
    rows = written(tmp_path, layout, frames=False)
    coding = LAYOUTS[layout].codings[0]
    path = tmp_path / coding.filename
    read = pd.read_csv if path.suffix == ".csv" else pd.read_excel
    table = read(path, skiprows=coding.preamble, dtype=str)
    headers = [name if not str(name).startswith("Unnamed") else "" for name in table.columns]
    assert headers == [column.header for column in coding.columns]
    assert len(table) - len(coding.closing) * (layout == "smic") == len(rows)


def test_subjects_with_a_leading_zero_stay_text(tmp_path):
    written(tmp_path, "casme2", frames=False)
    table = pd.read_excel(tmp_path / "CASME2-coding-20140508.xlsx", dtype=object)
    assert set(table["Subject"]) == {"01", "02", "03"}
    assert isinstance(table["OnsetFrame"].iloc[0], int)


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


def test_casme3_has_two_clips_in_a_folder_and_samm_intensities(tmp_path):
    casme3 = written(tmp_path, "casme3", frames=False)
    assert casme3["written_as"].is_unique
    assert casme3["written_as"].str.rpartition("/")[0].duplicated().any()
    samm = written(tmp_path, "samm", frames=False)
    assert samm["action_units"].str.fullmatch(r"[LR]?\d+[A-E](\+[LR]?\d+[A-E])*").all()


def test_smic_leaves_out_what_it_has_no_class_for(tmp_path):
    rows = written(tmp_path, "smic", frames=False)
    assert set(rows["emotion"]) <= {"positive", "negative", "surprise"}
    assert len(rows) == (drawn_clips().table["emotion"] != "others").sum()


def test_faults_that_the_layout_can_have_are_planted_one_a_clip(tmp_path):
    planted = written(tmp_path, "casme2", frames=False, faults=True)["fault"]
    assert sorted(planted[planted != ""]) == sorted(read_faults().query("by_default").index)
    assert "apex_slash" not in written(tmp_path, "smic", frames=False, faults=True)["fault"].tolist()


@pytest.mark.parametrize(
    ("layout", "options", "facts"),
    [
        ("casme9", {}, "casme2, .*'casme9'"),
        ("casme2", {"coding": "casme2_2020"}, "casme2_2014, .*'casme2_2020'"),
        ("casme2", {"tree": "video"}, "cropped, raw; .*'video'"),
        ("casme2", {"faults": ["rust"]}, "'rust'"),
        ("smic", {"faults": ["apex_slash"]}, "apex_slash .* SMIC"),
        ("casme2", {"faults": ["apex_slash"] * 25}, "25 faults.* 24"),
        ("casme2", COARSE | {"fps": 500}, "fps.* 200.* 500"),
    ],
)
def test_bad_requests_get_a_sentence(tmp_path, layout, options, facts):
    with pytest.raises(ValueError, match=facts):
        written(tmp_path, layout, frames=False, **options)
