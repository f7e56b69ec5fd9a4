"""What is written has the official names, and the frames are SynthME's."""

import numpy as np
import pandas as pd
import pytest
from written_sets import COARSE, drawn_clips, written

from medn_lab.data.frames import list_frames, read_image
from medn_lab.data.layouts import LAYOUTS
from medn_lab.synthme import render_frames, synthetic_clips, write_dataset
from medn_lab.synthme.identity import read_table


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
        ("casme2", {"tree": "video"}, "cropped, raw; .*'video'"),
        ("smic", {"faults": ["apex_slash"]}, "SMIC.*'apex_slash'"),
        ("casme2", {"faults": ["apex_slash"] * 25}, "25 faults.* 24"),
        ("casme2", COARSE | {"fps": 500}, "fps.* 200.* 500"),
    ):
        with pytest.raises(ValueError, match=facts):
            written(tmp_path, layout, frames=False, **options)
