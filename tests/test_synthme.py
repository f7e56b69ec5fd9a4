"""SynthME: same seed, same bytes; the truth is what the pictures show; the cue is where it should be, nowhere else."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pandas as pd
import pytest
from slow_cases import mostly_slow

from medn_lab.data.flow import optical_flow
from medn_lab.records import Clips, frame_numbers
from medn_lab.synthme import (
    AUS,
    CUES,
    EMOTIONS,
    draw_table,
    face_studio,
    photo_studio,
    render_frames,
    synthetic_clips,
    with_viewing_copy,
)

SMALL = {"n_subjects": 2, "clips_per_subject": 5, "n_frames": 6}
GREY = np.array([0.299, 0.587, 0.114])
PEAKS = {"A": (0.3, 0.5), "B": (0.5, 0.8), "C": (0.8, 1.15), "D": (1.15, 1.55), "E": (1.55, 2.0)}


@pytest.fixture(scope="module")
def clips() -> Clips:
    return synthetic_clips(**SMALL, seed=4)


def numbers_of(row: pd.Series, n_frames: int = 6) -> np.ndarray:
    return frame_numbers(row["onset"], row["apex"], row["offset"], n_frames)


@cache
def with_and_without(**arguments) -> tuple[Clips, Clips, np.ndarray]:
    """The same clips with their cue and without, no noise, and the difference of their frames."""
    arguments = {"noise": 0, "seed": 6} | arguments
    seen, unseen = synthetic_clips(**arguments), synthetic_clips(**arguments, cue_strength=0)
    return seen, unseen, seen.frames.astype(float) - unseen.frames


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_workers_and_people(clips):
    again = synthetic_clips(**SMALL, seed=4, n_jobs=1)
    assert again.frames.tobytes() == clips.frames.tobytes()
    assert again.flow.tobytes() == clips.flow.tobytes()
    assert again.truth.displacement.tobytes() == clips.truth.displacement.tobytes()
    pd.testing.assert_frame_equal(again.table, clips.table)
    one = synthetic_clips(n_subjects=1, clips_per_subject=2, n_frames=6, seed=4)
    np.testing.assert_array_equal(one.frames, clips.frames[:2])
    np.testing.assert_array_equal(one.flow, clips.flow[:2])


def test_identities_differ_between_subjects_and_between_seeds(clips):
    other = synthetic_clips(n_subjects=1, clips_per_subject=1, n_frames=2, seed=5)
    assert not set(other.table["subject"]) & set(clips.table["subject"])
    a, again, b = clips.frames[[0, 1, 5], 0].astype(float)
    same = np.abs(a - again).mean()
    assert all(np.abs(x - y).mean() > 5 * same for x, y in ((a, b), (a, other.frames[0, 0]), (b, other.frames[0, 0])))


def test_the_record_holds_what_the_field_expects(clips):
    table = clips.table
    assert clips.frames.shape == (10, 6, 64, 64, 3)
    assert (clips.flow.shape, clips.flow.dtype) == ((10, 64, 64, 2), np.float32)
    assert clips.truth.displacement.dtype == np.float16
    assert clips.truth.au_masks.shape == (2, 16, 64, 64)
    assert clips.aus == AUS
    assert ((table["onset"] < table["apex"]) & (table["apex"] < table["offset"])).all()
    assert (table["offset"] - table["onset"]).between(30, 100).all()
    assert (table["fps"] == 200).all()
    assert (table["label"] == table["emotion"]).all()
    for row in table.to_dict("records"):
        assert {f"AU{n}" for n in row["action_units"].split("+")} == {au for au in AUS if row[au] == 1.0}


def test_clips_can_be_drawn_again_after_a_round_trip_at_any_number_and_size(clips, tmp_path):
    back = Clips.load(clips.save(tmp_path / "set"))
    row = clips.table.iloc[7]
    numbers = numbers_of(row)
    np.testing.assert_array_equal(render_frames(back, row["clip_id"], numbers), clips.frames[7])
    chosen = clips.select([row["clip_id"]])
    np.testing.assert_array_equal(render_frames(chosen, row["clip_id"], numbers[[4, 1]]), clips.frames[7, [4, 1]])
    large = render_frames(clips, row["clip_id"], numbers[:1], size=96)
    assert large.shape == (1, 96, 96, 3)
    shrunk = cv2.resize(large[0], (64, 64), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(shrunk - clips.frames[7, 0]).mean() < 4


def assert_larger_copy(clips: Clips) -> None:
    """The viewing copy shows the network's frames, larger: the same face at the same moment, moving alike."""
    for row in range(len(clips)):
        large, small = clips.viewing[row], clips.frames[row].astype(float)
        assert large.shape[1:3] == (clips.viewing.size,) * 2
        shrunk = np.stack([cv2.resize(one, clips.size, interpolation=cv2.INTER_AREA) for one in large]).astype(float)
        assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.98
        assert np.abs(shrunk - small).mean() < 4
        moves = [cv2.blur(frames[len(frames) // 2] - frames[0], (5, 5)).ravel() for frames in (shrunk, small)]
        assert np.corrcoef(*moves)[0, 1] > 0.7


def test_the_viewing_copy_is_the_same_clip_at_a_larger_size(clips, tmp_path):
    clips = clips.select(clips.table["clip_id"][[1, 8]])
    assert (len(clips.viewing), clips.viewing.size) == (2, 256)
    assert_larger_copy(clips)
    back = Clips.load(clips.save(tmp_path / "set"))
    assert back.viewing is None
    back = with_viewing_copy(back, size=96)
    assert_larger_copy(back)
    one = back.with_table(back.table[1:])
    np.testing.assert_array_equal(one.viewing[0], back.viewing[1])
    with pytest.raises(ValueError, match="CASME II"):
        with_viewing_copy(Clips(clips.frames, clips.flow, clips.table, {"corpus": "CASME II"}))
    with pytest.raises(ValueError, match="32"):
        with_viewing_copy(clips, size=32)
    assert replace(clips, viewing=one.viewing).viewing is None


@pytest.mark.parametrize("studio", [face_studio(identity_seed=3), photo_studio()], ids=["drawn", "photo"])
def test_a_clip_made_by_hand_has_a_viewing_copy(studio):
    assert_larger_copy(studio({"aus": {"AU12": "D"}, "cue": "flush"}))


def test_every_emotion_and_every_au_occurs():
    table = draw_table(seed=1)
    shares = table["label"].value_counts(normalize=True)
    assert set(shares.index) == set(EMOTIONS)
    assert shares.min() > 0.12
    assert (table[list(AUS)].sum() >= 8).all()


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
    onset, apex = render_frames(clips, row["clip_id"], [row["onset"], row["apex"]], size=128)
    again = optical_flow(onset, apex, size=64)
    inside = np.linalg.norm(clips.flow[2], axis=-1) > 0
    assert np.linalg.norm(again - clips.flow[2], axis=-1)[inside].mean() < 0.15


@pytest.mark.parametrize("kind", mostly_slow(CUES))
def test_the_cue_is_invisible_to_onset_apex_flow(kind):
    seen, unseen, change = with_and_without(n_subjects=2, clips_per_subject=4, n_frames=6, cue=kind)
    moved = seen.table["cue"] != "still"
    assert moved.sum() >= 4
    assert change[moved].any()
    difference = np.linalg.norm(seen.flow - unseen.flow, axis=-1)
    inside = np.linalg.norm(unseen.flow, axis=-1) > 0
    assert difference[inside].mean() < (0.02 if kind == "colour" else 1e-9)


def test_the_colour_cue_weighs_nothing_in_grey_and_stays_in_its_region():
    seen, _, change = with_and_without(n_subjects=2, clips_per_subject=4, n_frames=6, cue="colour")
    for row in np.flatnonzero(seen.table["cue"] != "still"):
        inside = seen.truth.cue_region(seen.table["clip_id"][row])
        sign = 1 if seen.table["cue"][row] == "flush" else -1
        last = change[row, -1]
        assert abs((last @ GREY)[inside].mean()) < 0.15
        assert 1.5 < sign * last[inside, 0].mean() < 6
        assert np.abs(last[~inside]).mean() < 0.4
        assert (change[row, 0] == 0).all(), "the onset shows no cue"


def test_the_timing_cue_is_still_at_onset_apex_and_offset():
    studio = face_studio(cue="timing", n_frames=18)
    frames = frame_numbers(0, 28, 68, 18)
    for state, when in (("early", (frames > 0) & (frames < 28)), ("late", (frames > 28) & (frames < 68))):
        course = studio({"cue": state, "noise": 0, "drift": 0}).truth.cue_course[0]
        np.testing.assert_array_equal(course != 0, when)
    assert not studio({"cue": "still"}).truth.cue_course.any()


@pytest.mark.slow
def test_the_brightness_cue_is_a_grey_pulse_on_the_chin_between_apex_and_offset():
    seen, _, change = with_and_without(n_subjects=1, clips_per_subject=8, n_frames=8, cue="brightness")
    assert set(seen.table["cue"]) == set(CUES["brightness"])
    for row, clip in seen.table.iterrows():
        numbers = numbers_of(clip, 8)
        sign = {"brighten": 1, "dim": -1, "still": 0}[clip["cue"]]
        inside = seen.truth.cue_region(clip["clip_id"])
        colours = change[row][:, inside].mean(axis=1)
        assert (change[row][(numbers <= clip["apex"]) | (numbers == clip["offset"])] == 0).all()
        assert (sign * colours.mean(axis=1)).max() == pytest.approx(2.7 * abs(sign), abs=0.5)
        assert np.ptp(colours, axis=1).max() < 0.25, "all three channels alike"
        assert np.abs(change[row][:, ~inside]).mean() < 0.05
    others = synthetic_clips(n_subjects=1, clips_per_subject=1, n_frames=2, cue="mixed", seed=6).truth.cue_mask
    assert not (seen.truth.cue_mask & others).any(), "a place apart from the other two cues"


@pytest.mark.parametrize("kind", CUES)
def test_scripts_of_several_kinds_are_those_of_one_kind_with_another_cue(kind):
    several = draw_table(n_subjects=4, clips_per_subject=60, cue="colour+timing+brightness", seed=3)
    alone = draw_table(n_subjects=4, clips_per_subject=60, cue=kind, seed=3)
    pd.testing.assert_frame_equal(several.drop(columns="cue"), alone.drop(columns="cue"))
    same = several["cue"] == alone["cue"]
    assert set(several.loc[~same, "cue"]) == {s for k in CUES if k != kind for s in CUES[k][:2]}
    states = {emotion: set(part) for emotion, part in several.groupby("emotion")["cue"]}
    assert states["happiness"] == {"flush", "early", "brighten"}
    assert states["others"] == {"still"}


@pytest.mark.parametrize(("kind", "begins"), [("colour", "8f100f778b1baced"), ("timing", "d2eae38f823cc62a")])
def test_the_table_of_a_single_kind_stays_what_version_1_drew(kind, begins):
    import hashlib

    table = draw_table(cue=kind, seed=7).to_csv(index=False, lineterminator="\n")
    assert hashlib.sha256(table.encode()).hexdigest().startswith(begins)


@pytest.mark.slow
def test_each_clip_has_a_kind_independent_of_emotion_and_aus():
    table = draw_table(n_subjects=20, clips_per_subject=100, cue="mixed", seed=11)
    kinds = {state: kind for kind in CUES for state in CUES[kind][:2]}
    table = table[table["cue"] != "still"].assign(kind=lambda t: t["cue"].map(kinds))
    assert table["kind"].value_counts(normalize=True).to_dict() == pytest.approx(
        {"colour": 0.5, "timing": 0.5}, abs=0.04
    )
    for factor in ("emotion", "action_units"):
        counts = pd.crosstab(table["kind"], table[factor])
        expected = counts.sum(axis=1).to_numpy()[:, None] * counts.sum(axis=0).to_numpy() / len(table)
        assert ((counts - expected) ** 2 / expected).to_numpy().sum() < 2 * counts.shape[1] + 10


@pytest.mark.slow
def test_a_mixed_clip_is_the_clip_of_its_own_kind(tmp_path):
    arguments = {"n_subjects": 1, "clips_per_subject": 5, "n_frames": 6, "seed": 4}
    mixed = synthetic_clips(**arguments, cue="mixed")
    assert mixed.recipe == synthetic_clips(**arguments, cue="timing+colour").recipe
    kinds = mixed.truth.table["cue_kind"]
    assert set(kinds) == set(mixed.truth.cue_kinds) == {"colour", "timing"}
    back = Clips.load(mixed.save(tmp_path / "mixed")).select(mixed.table["clip_id"][::-1])
    assert back.truth.cue_kinds == mixed.truth.cue_kinds
    for kind in ("colour", "timing"):
        alone = synthetic_clips(**arguments, cue=kind)
        for row in np.flatnonzero(kinds == kind):
            clip_id = mixed.table["clip_id"][row]
            np.testing.assert_array_equal(mixed.frames[row], alone.frames[row])
            np.testing.assert_array_equal(mixed.truth.cue_course[row], alone.truth.cue_course[row])
            np.testing.assert_array_equal(back.truth.cue_region(clip_id), alone.truth.cue_region(clip_id))
            np.testing.assert_array_equal(
                render_frames(back, clip_id, numbers_of(mixed.table.loc[row])), mixed.frames[row]
            )


def test_noise_zero_leaves_the_onset_and_offset_alike():
    clips = synthetic_clips(n_subjects=1, clips_per_subject=3, n_frames=2, noise=0, cue_strength=0, seed=1)
    np.testing.assert_array_equal(clips.frames[:, 0], clips.frames[:, 1])
    assert (clips.truth.table["distractors"] == "none").all()
    assert (clips.table["cue"] == "absent").all()


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ({"size": 32}, "size.* 64 .*512.* 32"),
        ({"cue": "smell"}, "'smell'.* colour, timing"),
        ({"cue": "colour+colour"}, r"'colour\+colour'.* colour, timing, brightness"),
        ({"clips_per_subject": 0}, "clips_per_subject.* 1; .*0"),
        ({"n_subjects": 0}, "n_subjects.* 1; .*0"),
        ({"noise": -1}, "noise.* 0 and 4; .*-1"),
        ({"cue_strength": 9}, "cue_strength.* 0 and 4; .*9"),
        ({"seed": -2}, "seed.* 0; .*-2"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments, facts):
    with pytest.raises(ValueError, match=facts):
        synthetic_clips(**arguments)


def test_what_is_not_synthmes_cannot_be_drawn_again(clips):
    with pytest.raises(ValueError, match="synthme9-s01-c01"):
        render_frames(clips, "synthme9-s01-c01", [20])
    foreign = Clips(clips.frames, clips.flow, clips.table, {"corpus": "CASME II"})
    with pytest.raises(ValueError, match="CASME II"):
        render_frames(foreign, clips.table["clip_id"][0], [20])
