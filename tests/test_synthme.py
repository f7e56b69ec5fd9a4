"""SynthME: same seed, same bytes; the truth is what the pictures show; the cue is where it should be, nowhere else."""

import hashlib

import cv2
import numpy as np
import pandas as pd
import pytest

from medn_lab.data.flow import optical_flow
from medn_lab.records import Clips, frame_numbers
from medn_lab.synthme import AUS, CUES, EMOTIONS, ceilings, draw_table, emotion_table, render_frames, synthetic_clips
from medn_lab.synthme.actions import FLUSH, GREY_WEIGHTS, cue_course

SMALL = {"n_subjects": 2, "clips_per_subject": 5, "n_frames": 6}


@pytest.fixture(scope="module")
def clips() -> Clips:
    return synthetic_clips(**SMALL, seed=4)


@pytest.fixture(scope="module")
def quiet() -> Clips:
    return synthetic_clips(n_subjects=2, clips_per_subject=8, n_frames=2, size=128, noise=0, seed=2)


def flow_error(clips: Clips) -> float:
    """Endpoint error where the skin moves, relative to the mean true motion there."""
    truth = clips.truth.displacement.astype(np.float32)
    length = np.linalg.norm(truth, axis=-1)
    moving = length > 0.1 * length.max(axis=(1, 2), keepdims=True)
    return float(np.linalg.norm(clips.flow - truth, axis=-1)[moving].sum() / length[moving].sum())


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_workers(clips):
    again = synthetic_clips(**SMALL, seed=4, n_jobs=1)
    assert again.frames.tobytes() == clips.frames.tobytes()
    assert again.flow.tobytes() == clips.flow.tobytes()
    assert again.truth.displacement.tobytes() == clips.truth.displacement.tobytes()
    pd.testing.assert_frame_equal(again.table, clips.table)


def test_a_subject_is_the_same_person_in_a_smaller_corpus(clips):
    one = synthetic_clips(n_subjects=1, clips_per_subject=2, n_frames=6, seed=4)
    np.testing.assert_array_equal(one.frames, clips.frames[:2])
    np.testing.assert_array_equal(one.flow, clips.flow[:2])


def test_identities_differ_between_subjects_and_between_seeds(clips):
    other = synthetic_clips(**SMALL, seed=5)
    assert not set(other.table["subject"]) & set(clips.table["subject"])
    onset = {clips.table["subject"][row]: clips.frames[row, 0].astype(float) for row in (0, 5)}
    onset["other seed"] = other.frames[0, 0].astype(float)
    faces = list(onset.values())
    same = np.abs(clips.frames[0, 0].astype(float) - clips.frames[1, 0]).mean()
    differences = [np.abs(a - b).mean() for i, a in enumerate(faces) for b in faces[:i]]
    assert min(differences) > 5 * same


def test_the_record_holds_what_the_field_expects(clips):
    table = clips.table
    assert clips.frames.shape == (10, 6, 64, 64, 3)
    assert clips.flow.shape == (10, 64, 64, 2)
    assert clips.flow.dtype == np.float32
    assert clips.truth.displacement.dtype == np.float16
    assert clips.truth.au_masks.shape == (2, 16, 64, 64)
    assert clips.aus == AUS
    assert ((table["onset"] < table["apex"]) & (table["apex"] < table["offset"])).all()
    assert (table["offset"] - table["onset"]).between(30, 100).all()
    assert (table["fps"] == 200).all()
    assert (table["label"] == table["emotion"]).all()
    for row in table.itertuples():
        assert {f"AU{n}" for n in row.action_units.split("+")} == {au for au in AUS if getattr(row, au) == 1.0}


def test_clips_survive_a_round_trip_and_can_be_drawn_again(clips, tmp_path):
    back = Clips.load(clips.save(tmp_path / "set"))
    row = clips.table.iloc[7]
    numbers = frame_numbers(row["onset"], row["apex"], row["offset"], 6)
    np.testing.assert_array_equal(render_frames(back, row["clip_id"], numbers), clips.frames[7])


def test_drawn_again_a_clip_is_the_same_at_any_number_and_size(clips):
    row = clips.table.iloc[3]
    numbers = frame_numbers(row["onset"], row["apex"], row["offset"], 6)
    chosen = clips.select([row["clip_id"]])
    np.testing.assert_array_equal(render_frames(chosen, row["clip_id"], numbers[[4, 1]]), clips.frames[3, [4, 1]])
    large = render_frames(clips, row["clip_id"], numbers[:1], size=96)
    assert large.shape == (1, 96, 96, 3)
    shrunk = cv2.resize(large[0], (64, 64), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(shrunk - clips.frames[3, 0]).mean() < 4


def test_every_emotion_and_every_au_occurs():
    table = draw_table(seed=1)
    shares = table["label"].value_counts(normalize=True)
    assert set(shares.index) == set(EMOTIONS)
    assert shares.min() > 0.12
    assert (table[list(AUS)].sum() >= 8).all()


def test_the_published_table_is_a_probability_table():
    table = emotion_table()
    assert table["share"].sum() == pytest.approx(1)
    np.testing.assert_allclose(table[list(EMOTIONS)].sum(axis=1), 1)
    np.testing.assert_allclose(np.sort(table[list(EMOTIONS)], axis=1)[:, 2:], [[0.25, 0.33, 0.42]] * len(table))


def test_the_cue_says_next_to_nothing_about_the_aus():
    published = emotion_table()
    share = published["share"].to_numpy()
    weights = published[list(EMOTIONS)].to_numpy()
    states = np.stack([weights[:, [0, 1]].sum(1), weights[:, [2, 3]].sum(1), weights[:, 4]], axis=1)
    aucs = []
    for au in AUS:
        has = np.array([au[2:] in name.split("+") for name in published["action_units"]])
        present, absent = (share[k] @ states[k] / share[k].sum() for k in (has, ~has))
        order = np.argsort(present / absent)
        present, absent = present[order], absent[order]
        aucs.append(sum(present[i] * (absent[:i].sum() + absent[i] / 2) for i in range(3)))
    assert np.mean(aucs) < 0.53


def test_ceilings_in_closed_form():
    table = draw_table(n_subjects=3, seed=0)
    found = ceilings(table)
    assert found.au_only == pytest.approx(0.42)
    assert found.joint == pytest.approx(1.0)
    assert 0.5 < found.cue_only < 0.7
    blind = ceilings(draw_table(n_subjects=3, seed=0, cue_strength=0))
    assert blind.joint == blind.au_only == pytest.approx(0.42)
    share = emotion_table()["share"].to_numpy() @ emotion_table()[list(EMOTIONS)].to_numpy()
    assert blind.cue_only == pytest.approx(share.max())


def test_bayes_decisions_score_what_the_ceilings_say():
    table = draw_table(n_subjects=40, clips_per_subject=100, cue="timing", seed=9)
    found = ceilings(table)
    for reader in ("au_only", "cue_only", "joint"):
        expected = getattr(found, reader)
        error = np.sqrt(expected * (1 - expected) / len(table))
        assert abs((found.decisions[reader] == table["label"]).mean() - expected) <= 4 * error


def test_motion_peaks_where_the_intensities_say():
    from medn_lab.synthme.actions import PEAK_PIXELS

    clips = synthetic_clips(n_subjects=1, clips_per_subject=24, n_frames=2, size=128, noise=0, seed=8)
    single = clips.table["action_units"].str.fullmatch(r"\d+") & (clips.table["action_units"] != "5")
    peaks = np.linalg.norm(clips.truth.displacement.astype(np.float32), axis=-1).max(axis=(1, 2))
    assert single.sum() >= 8
    for row in np.flatnonzero(single):
        low, high = PEAK_PIXELS[clips.truth.table["intensities"][row][-1]]
        assert 0.8 * low < peaks[row] <= 1.02 * high, clips.table.iloc[row]["action_units"]


def test_the_flow_finds_the_planted_displacement(quiet):
    assert flow_error(quiet) < 0.36


def test_a_clip_without_motion_has_no_flow_but_what_nuisance_makes(clips):
    assert np.abs(clips.flow[:, 0]).max() == 0, "the first row lies outside the face"
    assert np.linalg.norm(clips.flow, axis=-1).max() < 3


@pytest.mark.parametrize("kind", ["colour", "timing", "brightness"])
def test_the_cue_is_invisible_to_onset_apex_flow(kind):
    arguments = {"n_subjects": 2, "clips_per_subject": 4, "n_frames": 6, "noise": 0, "seed": 6}
    seen = synthetic_clips(**arguments, cue=kind)
    unseen = synthetic_clips(**arguments, cue=kind, cue_strength=0)
    moved = seen.table["cue"] != "still"
    assert moved.sum() >= 4
    assert not (seen.frames == unseen.frames)[moved].all()
    difference = np.linalg.norm(seen.flow - unseen.flow, axis=-1)
    inside = np.linalg.norm(unseen.flow, axis=-1) > 0
    assert difference[inside].mean() < (0.02 if kind == "colour" else 1e-9)


def test_the_colour_cue_weighs_nothing_in_grey_and_stays_in_its_region():
    assert float(FLUSH @ np.float32(GREY_WEIGHTS)) == pytest.approx(0, abs=1e-6)
    arguments = {"n_subjects": 3, "clips_per_subject": 4, "n_frames": 3, "noise": 0, "seed": 6}
    seen, unseen = synthetic_clips(**arguments), synthetic_clips(**arguments, cue_strength=0)
    change = seen.frames.astype(float) - unseen.frames
    for row in np.flatnonzero(seen.table["cue"] != "still"):
        inside = seen.truth.cue_region(seen.table["clip_id"][row])
        sign = 1 if seen.table["cue"][row] == "flush" else -1
        last = change[row, -1]
        assert abs((last @ GREY_WEIGHTS)[inside].mean()) < 0.15
        assert 1.5 < sign * last[inside, 0].mean() < 6
        assert np.abs(last[~inside]).mean() < 0.4
        assert (change[row, 0] == 0).all(), "the onset shows no cue"


def test_the_timing_cue_is_at_rest_at_onset_apex_and_offset():
    for state in CUES["timing"]:
        course = cue_course("timing", state, np.arange(0, 81), onset=10, apex=30, offset=70)
        assert (course[[10, 30, 70]] == 0).all()
        assert (course[[20, 50]] != 0).tolist() == {"early": [True, False], "late": [False, True]}.get(
            state, [False, False]
        )


def test_the_brightness_cue_is_a_grey_pulse_on_the_chin_between_apex_and_offset():
    arguments = {"n_subjects": 3, "clips_per_subject": 4, "n_frames": 8, "noise": 0, "seed": 6, "cue": "brightness"}
    seen, unseen = synthetic_clips(**arguments), synthetic_clips(**arguments, cue_strength=0)
    assert set(seen.table["cue"]) == set(CUES["brightness"])
    change = seen.frames.astype(float) - unseen.frames
    for row, clip in seen.table.iterrows():
        numbers = frame_numbers(clip["onset"], clip["apex"], clip["offset"], 8)
        sign = {"brighten": 1, "dim": -1, "still": 0}[clip["cue"]]
        inside = seen.truth.cue_region(clip["clip_id"])
        pulse = sign * change[row][:, inside].mean(axis=(1, 2))
        assert (change[row][(numbers <= clip["apex"]) | (numbers == clip["offset"])] == 0).all()
        assert pulse.max() == pytest.approx(2.7 * abs(sign), abs=0.5)
        assert np.ptp(change[row][:, inside].mean(axis=1), axis=1).max() < 0.25, "all three channels alike"
        assert np.abs(change[row][:, ~inside]).mean() < 0.05
    others = synthetic_clips(n_subjects=3, clips_per_subject=1, n_frames=2, cue="mixed", seed=6).truth.cue_mask
    assert not (seen.truth.cue_mask & others).any(), "a place apart from the other two cues"


@pytest.mark.parametrize("kind", ["colour", "timing", "brightness"])
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
    table = draw_table(cue=kind, seed=7).to_csv(index=False, lineterminator="\n")
    assert hashlib.sha256(table.encode()).hexdigest().startswith(begins)


def test_each_clip_has_a_kind_independent_of_emotion_and_aus():
    from medn_lab.synthme.script import check_emotions, draw_script

    drawn = {"cue": "mixed", "cue_strength": 1.0, "noise": 1.0, "emotions": check_emotions(None)}
    scripts = [draw_script(11, person, clip, **drawn) for person in range(20) for clip in range(100)]
    table = pd.DataFrame(
        [(s.kind, s.row["emotion"], s.row["action_units"]) for s in scripts], columns=["kind", "emotion", "aus"]
    )
    assert table["kind"].value_counts(normalize=True).to_dict() == pytest.approx(
        {"colour": 0.5, "timing": 0.5}, abs=0.04
    )
    for factor in ("emotion", "aus"):
        counts = pd.crosstab(table["kind"], table[factor])
        expected = counts.sum(axis=1).to_numpy()[:, None] * counts.sum(axis=0).to_numpy() / len(table)
        assert ((counts - expected) ** 2 / expected).to_numpy().sum() < 2 * counts.shape[1] + 10


def test_a_mixed_clip_is_the_clip_of_its_own_kind(tmp_path):
    arguments = {"n_subjects": 1, "clips_per_subject": 8, "n_frames": 6, "seed": 4}
    mixed = synthetic_clips(**arguments, cue="mixed")
    assert mixed.recipe == synthetic_clips(**arguments | {"clips_per_subject": 1}, cue="timing+colour").recipe | {
        "clips_per_subject": 8
    }
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
            numbers = frame_numbers(*mixed.table.loc[row, ["onset", "apex", "offset"]], 6)
            np.testing.assert_array_equal(render_frames(back, clip_id, numbers), mixed.frames[row])


def test_noise_zero_leaves_the_onset_and_offset_alike():
    clips = synthetic_clips(n_subjects=1, clips_per_subject=3, n_frames=2, noise=0, cue_strength=0, seed=1)
    np.testing.assert_array_equal(clips.frames[:, 0], clips.frames[:, 1])
    assert (clips.truth.table["distractors"] == "none").all()
    assert (clips.table["cue"] == "absent").all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"size": 32}, "64 to 512 px; size is 32"),
        ({"size": 1024}, "size is 1024"),
        ({"cue": "smell"}, "no cue 'smell'; there are colour, timing"),
        ({"cue": "colour+colour"}, "no cue 'colour\\+colour'; there are colour, timing, brightness, two or three"),
        ({"clips_per_subject": 0}, "clips_per_subject must be at least 1; it is 0"),
        ({"n_subjects": 0}, "n_subjects must be at least 1"),
        ({"n_frames": 1}, "n_frames must be at least 2"),
        ({"noise": -1}, "noise must lie between 0 and 4; it is -1"),
        ({"cue_strength": 9}, "cue_strength must lie between 0 and 4; it is 9"),
        ({"seed": -2}, "seed must not be negative"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        synthetic_clips(**arguments)


def test_bad_rows_get_a_sentence(clips):
    with pytest.raises(ValueError, match="at least one clip; the table is empty"):
        ceilings(clips.table.iloc[:0])
    with pytest.raises(ValueError, match="cue missing"):
        ceilings(clips.table.drop(columns="cue"))
    with pytest.raises(ValueError, match="'99' is not one of SynthME's"):
        ceilings(clips.table.assign(action_units="99"))
    with pytest.raises(ValueError, match="'blush' is not one of SynthME's"):
        ceilings(clips.table.assign(cue="blush"))
    with pytest.raises(ValueError, match="not in these Clips"):
        render_frames(clips, "synthme9-s01-c01", [20])
    foreign = Clips(clips.frames, clips.flow, clips.table, {"corpus": "CASME II"})
    with pytest.raises(ValueError, match="only clips of SynthME version"):
        render_frames(foreign, clips.table["clip_id"][0], [20])


def test_flow_of_the_corpus_is_the_flow_of_its_own_renderings(clips):
    row = clips.table.iloc[2]
    onset, apex = render_frames(clips, row["clip_id"], [row["onset"], row["apex"]], size=128)
    again = optical_flow(onset, apex, size=64)
    inside = np.linalg.norm(clips.flow[2], axis=-1) > 0
    assert np.linalg.norm(again - clips.flow[2], axis=-1)[inside].mean() < 0.15
