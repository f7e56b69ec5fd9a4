"""SynthME: same seed, same bytes; the truth is what the pictures show; the cue is where it should be, nowhere else."""

import hashlib

import cv2
import numpy as np
import pandas as pd
import pytest
from slow_cases import mostly_slow

from medn_lab.data.flow import optical_flow
from medn_lab.records import Clips, frame_numbers
from medn_lab.synthme import AUS, CUES, EMOTIONS, draw_table, face_studio, photo_studio, render_frames, synthetic_clips

SMALL = {"n_subjects": 2, "clips_per_subject": 4, "n_frames": 6}
PEAKS = {"A": (0.3, 0.5), "B": (0.5, 0.8), "C": (0.8, 1.15), "D": (1.15, 1.55), "E": (1.55, 2.0)}


@pytest.fixture(scope="module")
def clips() -> Clips:
    return synthetic_clips(**SMALL, seed=4)


def numbers_of(row: pd.Series, n_frames: int = 6) -> np.ndarray:
    return frame_numbers(row["onset"], row["apex"], row["offset"], n_frames)


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_workers_and_people(clips):
    one = synthetic_clips(n_subjects=1, clips_per_subject=2, n_frames=6, seed=4, n_jobs=1)
    for name in ("frames", "flow"):
        assert getattr(one, name).tobytes() == getattr(clips, name)[:2].tobytes()
    assert one.truth.displacement.tobytes() == clips.truth.displacement[:2].tobytes()
    pd.testing.assert_frame_equal(one.table, clips.table.iloc[:2])
    other = synthetic_clips(n_subjects=1, clips_per_subject=1, n_frames=2, seed=5).frames[0, 0]
    first, again, second = clips.frames[[0, 1, 4], 0].astype(float)
    assert min(np.abs(first - second).mean(), np.abs(first - other).mean()) > 5 * np.abs(first - again).mean()


@pytest.mark.parametrize(("kind", "begins"), [("colour", "8f100f778b1baced"), ("timing", "d2eae38f823cc62a")])
def test_the_table_of_a_single_kind_stays_what_version_1_drew(kind, begins):
    table = draw_table(cue=kind, seed=7).to_csv(index=False, lineterminator="\n")
    assert hashlib.sha256(table.encode()).hexdigest().startswith(begins)


def test_the_record_holds_what_the_field_expects(clips):
    table = clips.table
    assert (clips.frames.shape, clips.flow.shape, clips.flow.dtype) == ((8, 6, 64, 64, 3), (8, 64, 64, 2), np.float32)
    assert (clips.truth.displacement.dtype, clips.truth.au_masks.shape) == (np.float16, (2, 16, 64, 64))
    assert clips.aus == AUS
    assert ((table["onset"] < table["apex"]) & (table["apex"] < table["offset"]) & (table["fps"] == 200)).all()
    assert (table["offset"] - table["onset"]).between(30, 100).all()
    for row in table.to_dict("records"):
        assert {f"AU{n}" for n in row["action_units"].split("+")} == {au for au in AUS if row[au] == 1.0}
    large = draw_table(seed=1)
    assert large["label"].value_counts(normalize=True)[list(EMOTIONS)].min() > 0.12
    assert (large[list(AUS)].sum() >= 8).all()


def test_clips_can_be_drawn_again_after_a_round_trip_at_any_number_and_size(clips, tmp_path):
    back = Clips.load(clips.save(tmp_path / "set"))
    row = clips.table.iloc[7]
    np.testing.assert_array_equal(render_frames(back, row["clip_id"], numbers_of(row)[[4, 1]]), clips.frames[7, [4, 1]])
    [large] = render_frames(clips, row["clip_id"], [row["onset"]], size=96)
    assert (
        np.abs(cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA) - clips.frames[7, 0].astype(float)).mean() < 4
    )
    with pytest.raises(ValueError, match="synthme9-s01-c01"):
        render_frames(clips, "synthme9-s01-c01", [20])
    with pytest.raises(ValueError, match="CASME II"):
        render_frames(Clips(clips.frames, clips.flow, clips.table, {"corpus": "CASME II"}), row["clip_id"], [20])


@pytest.mark.parametrize("source", mostly_slow(["corpus", "drawn", "photo"]))
def test_the_viewing_copy_is_the_same_clip_at_a_larger_size(clips, source):
    if source != "corpus":
        studio = face_studio(identity_seed=3) if source == "drawn" else photo_studio()
        clips = studio({"aus": {"AU12": "D"}, "cue": "flush"})
    large, small = clips.viewing[len(clips) - 1], clips.frames[-1].astype(float)
    assert large.shape[1:3] == (256, 256)
    shrunk = np.stack([cv2.resize(one, clips.size, interpolation=cv2.INTER_AREA) for one in large]).astype(float)
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.98
    assert np.abs(shrunk - small).mean() < 4
    moves = [cv2.blur(frames[len(frames) // 2] - frames[0], (5, 5)).ravel() for frames in (shrunk, small)]
    assert np.corrcoef(*moves)[0, 1] > 0.7


@pytest.mark.slow
def test_motion_peaks_where_the_intensities_say_and_the_flow_finds_it():
    clips = synthetic_clips(n_subjects=1, clips_per_subject=24, n_frames=2, size=128, noise=0, seed=8)
    truth = clips.truth.displacement.astype(np.float32)
    length = np.linalg.norm(truth, axis=-1)
    single = clips.table["action_units"].str.fullmatch(r"\d+") & (clips.table["action_units"] != "5")
    assert single.sum() >= 8
    for row in np.flatnonzero(single):
        low, high = PEAKS[clips.truth.table["intensities"][row][-1]]
        assert 0.8 * low < length[row].max() <= 1.02 * high, clips.table.iloc[row]["action_units"]
    moving = length > 0.1 * length.max(axis=(1, 2), keepdims=True)
    assert np.linalg.norm(clips.flow - truth, axis=-1)[moving].sum() < 0.36 * length[moving].sum()


def test_the_flow_is_that_of_the_renderings_and_small_outside_what_moves(clips):
    assert np.abs(clips.flow[:, 0]).max() == 0, "the first row lies outside the face"
    assert np.linalg.norm(clips.flow, axis=-1).max() < 3
    row = clips.table.iloc[2]
    again = optical_flow(*render_frames(clips, row["clip_id"], [row["onset"], row["apex"]], size=128), size=64)
    inside = np.linalg.norm(clips.flow[2], axis=-1) > 0
    assert np.linalg.norm(again - clips.flow[2], axis=-1)[inside].mean() < 0.15


@pytest.mark.parametrize("kind", mostly_slow(CUES))
def test_a_cue_lies_in_its_region_and_its_time_and_not_in_the_flow(kind):
    """The same clips with their cue and without, no noise."""
    arguments = {"n_subjects": 1, "clips_per_subject": 8, "n_frames": 8, "cue": kind, "noise": 0, "seed": 6}
    seen, unseen = synthetic_clips(**arguments), synthetic_clips(**arguments, cue_strength=0)
    assert (unseen.table["cue"] == "absent").all()
    change = seen.frames.astype(float) - unseen.frames
    assert set(seen.table["cue"]) == set(CUES[kind])
    flow = np.linalg.norm(seen.flow - unseen.flow, axis=-1)
    assert flow[np.linalg.norm(unseen.flow, axis=-1) > 0].mean() < (0.02 if kind == "colour" else 1e-9)
    for row, clip in seen.table.iterrows():
        numbers, inside = numbers_of(clip, 8), seen.truth.cue_region(clip["clip_id"])
        sign = {CUES[kind][0]: 1, CUES[kind][1]: -1}.get(clip["cue"], 0)
        assert change[row].any() == bool(sign)
        assert (change[row, 0] == 0).all(), "the onset shows no cue"
        assert np.abs(change[row][:, ~inside]).mean() < (0.4 if kind == "colour" else 0.05)
        colours = change[row][:, inside].mean(axis=1)
        if kind == "colour":
            assert abs(colours[-1] @ (0.299, 0.587, 0.114)) < 0.15, "it weighs nothing in grey"
            assert 1.5 < sign * colours[-1, 0] < 6 if sign else not colours.any()
        else:
            at = {"early": numbers >= clip["apex"]}.get(clip["cue"], numbers <= clip["apex"])
            assert (change[row][at | (numbers == clip["offset"])] == 0).all()
        if kind == "brightness":
            assert (sign * colours.mean(axis=1)).max() == pytest.approx(2.7 * abs(sign), abs=0.5)
            assert np.ptp(colours, axis=1).max() < 0.25, "all three channels alike"


def test_scripts_of_several_kinds_are_those_of_one_kind_with_another_cue():
    arguments = {"n_subjects": 8, "clips_per_subject": 50, "seed": 11}
    several = draw_table(**arguments, cue="colour+timing+brightness")
    kinds = {state: kind for kind in CUES for state in CUES[kind][:2]}
    for kind in CUES:
        alone = draw_table(**arguments, cue=kind)
        pd.testing.assert_frame_equal(several.drop(columns="cue"), alone.drop(columns="cue"))
        other = several.loc[several["cue"] != alone["cue"], "cue"]
        assert set(other) == {state for state, of in kinds.items() if of != kind}
    assert set(several.loc[several["emotion"] == "happiness", "cue"]) == {"flush", "early", "brighten"}
    shown = several[several["cue"] != "still"].assign(kind=lambda t: t["cue"].map(kinds))
    assert shown["kind"].value_counts(normalize=True).to_numpy() == pytest.approx(1 / 3, abs=0.06)
    for factor in ("emotion", "action_units"):  # the kind is independent of both
        counts = pd.crosstab(shown["kind"], shown[factor])
        expected = counts.sum(axis=1).to_numpy()[:, None] * counts.sum(axis=0).to_numpy() / len(shown)
        assert ((counts - expected) ** 2 / expected).to_numpy().sum() < 2 * counts.size


@pytest.mark.slow
def test_a_mixed_clip_is_the_clip_of_its_own_kind(tmp_path):
    arguments = {"n_subjects": 1, "clips_per_subject": 5, "n_frames": 6, "seed": 4}
    mixed = synthetic_clips(**arguments, cue="mixed")
    kinds = mixed.truth.table["cue_kind"]
    back = Clips.load(mixed.save(tmp_path / "mixed")).select(mixed.table["clip_id"][::-1])
    assert set(kinds) == set(back.truth.cue_kinds) == {"colour", "timing"}
    for kind in ("colour", "timing"):
        alone = synthetic_clips(**arguments, cue=kind)
        for row in np.flatnonzero(kinds == kind):
            clip_id = mixed.table["clip_id"][row]
            np.testing.assert_array_equal(mixed.frames[row], alone.frames[row])
            np.testing.assert_array_equal(back.truth.cue_region(clip_id), alone.truth.cue_region(clip_id))
            again = render_frames(back, clip_id, numbers_of(mixed.table.loc[row]))
            np.testing.assert_array_equal(again, mixed.frames[row])


def test_noise_zero_leaves_the_onset_and_offset_alike():
    clips = synthetic_clips(n_subjects=1, clips_per_subject=2, n_frames=2, noise=0, cue_strength=0, seed=1)
    np.testing.assert_array_equal(clips.frames[:, 0], clips.frames[:, 1])
    assert (clips.truth.table["distractors"] == "none").all()


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ({"size": 32}, "size.* 64 .*512.* 32"),
        ({"cue": "colour+smell"}, r"'colour\+smell'.* colour, timing, brightness"),
        ({"n_subjects": 0}, "n_subjects.* 1 and .*; .*0"),
        ({"noise": -1}, "noise.* 0 and 4; .*-1"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments, facts):
    with pytest.raises(ValueError, match=facts):
        synthetic_clips(**arguments)
