"""SynthME: same seed, same bytes; pictures show what the truth says; faces and AUs by a ruler; tables read exactly."""

import hashlib
import json
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses, mostly_slow
from scipy.stats import chi2_contingency
from skimage import data
from sklearn.metrics import roc_auc_score

from medn_lab import synthme
from medn_lab.data.flow import optical_flow
from medn_lab.records import Clips, frame_numbers
from medn_lab.synthme import AUS, CUES, EMOTIONS, Identity, draw_face, draw_table, face_studio, synthetic_clips

NAMES = list(EMOTIONS)
PEAKS = {"A": (0.3, 0.5), "B": (0.5, 0.8), "C": (0.8, 1.15), "D": (1.15, 1.55), "E": (1.55, 2.0)}
PUBLISHED = synthme.emotion_table()
SHIFTED = PUBLISHED.replace({0.42: 0.80, 0.33: 0.12, 0.25: 0.08})
TWO_ROWS = pd.DataFrame({"action_units": ["4", "12"], "share": [0.25, 0.75], **dict.fromkeys(EMOTIONS, 0.0)})
SAME_STATE = TWO_ROWS.assign(happiness=(0.6, 0.1), disgust=(0.4, 0.1), others=(0.0, 0.8))
"""Happiness and disgust have one state, so that AU set and cue do not tell them apart."""


@pytest.fixture(scope="module")
def clips() -> Clips:
    return synthetic_clips(n_subjects=2, clips_per_subject=4, n_frames=6, emotions_given_aus=SHIFTED, seed=4)


def length(field: np.ndarray) -> np.ndarray:
    return np.linalg.norm(field.astype(float), axis=-1)


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_workers_and_people(clips):
    arguments = {"n_subjects": 1, "n_frames": 6, "emotions_given_aus": SHIFTED, "n_jobs": 1}
    one, other = (synthetic_clips(**arguments, clips_per_subject=3 - k, seed=3 + k) for k in (1, 2))
    for few, many in ((one.frames, clips.frames), (one.flow, clips.flow)):
        np.testing.assert_array_equal(few, many[:2])
    np.testing.assert_array_equal(one.truth.displacement, clips.truth.displacement[:2])
    pd.testing.assert_frame_equal(one.table, clips.table.iloc[:2])
    first, again, second = clips.frames[[0, 1, 4], 0].astype(float)
    apart = (np.abs(first - face).mean() for face in (second, other.frames[0, 0]))
    assert min(apart) > 5 * np.abs(first - again).mean()


def test_the_record_holds_what_the_field_expects_and_the_flow_of_its_renderings(clips):
    table = clips.table
    assert (clips.frames.shape, clips.flow.shape) == ((8, 6, 64, 64, 3), (8, 64, 64, 2))
    assert (table["apex"].between(table["onset"], table["offset"], inclusive="neither") & (table["fps"] == 200)).all()
    assert (table["offset"] - table["onset"]).between(30, 100).all()
    for row in table.to_dict("records"):
        assert {f"AU{n}" for n in row["action_units"].split("+")} == {au for au in clips.aus if row[au] == 1.0}
    assert np.abs(clips.flow[:, 0]).max() == 0, "the first row lies outside the face"
    for clip in clips.truth.table.to_dict("records"):
        low, high = PEAKS[max(part[-1] for part in clip["intensities"].split("+"))]
        assert low <= clip["peak_px128"] <= high
    row = table.iloc[2]
    again = optical_flow(*synthme.render_frames(clips, row["clip_id"], [row["onset"], row["apex"]], size=128), size=64)
    assert length(again - clips.flow[2])[length(clips.flow[2]) > 0].mean() < 0.15


def test_clips_are_drawn_again_after_a_round_trip_and_larger_for_people_to_look_at(clips, tmp_path):
    back = Clips.load(clips.save(tmp_path / "set"))
    assert back.recipe == json.loads(json.dumps(dict(clips.recipe))) == clips.recipe
    for clip, frames in zip(clips.table.iloc[[0, 7]].to_dict("records"), clips.frames[[0, 7]], strict=True):
        numbers = frame_numbers(clip["onset"], clip["apex"], clip["offset"], 6)[[4, 1]]
        np.testing.assert_array_equal(synthme.render_frames(back, clip["clip_id"], numbers), frames[[4, 1]])
    assert clips.viewing[7].shape == (6, 256, 256, 3)
    again = np.stack([cv2.resize(one, (64, 64), interpolation=cv2.INTER_AREA) for one in clips.viewing[7]])
    assert np.abs(again.astype(float) - frames).mean() < 4
    moves = [cv2.blur(of[3] - of[0].astype(float), (5, 5)).ravel() for of in (again, frames)]
    assert np.corrcoef(*moves)[0, 1] > 0.7


@pytest.mark.parametrize("kind", mostly_slow(CUES))
def test_a_cue_lies_in_its_region_and_its_time_and_not_in_the_flow(kind):
    """The same clips with their cue and without, no noise."""
    arguments = {"n_subjects": 1, "clips_per_subject": 8, "n_frames": 8, "cue": kind, "noise": 0, "seed": 6}
    seen, unseen = synthetic_clips(**arguments), synthetic_clips(**arguments, cue_strength=0)
    assert set(unseen.table["cue"]) | set(unseen.truth.table["distractors"]) == {"absent", "none"}
    np.testing.assert_array_equal(unseen.frames[:, 0], unseen.frames[:, -1])
    assert set(seen.table["cue"]) == set(CUES[kind])
    assert length(seen.flow - unseen.flow)[length(unseen.flow) > 0].mean() < (0.02 if kind == "colour" else 1e-9)
    for clip, change in zip(seen.table.to_dict("records"), seen.frames.astype(float) - unseen.frames, strict=True):
        numbers = frame_numbers(clip["onset"], clip["apex"], clip["offset"], 8)
        inside = seen.truth.cue_region(clip["clip_id"])
        sign = {CUES[kind][0]: 1, CUES[kind][1]: -1}.get(clip["cue"], 0)
        assert change.any() == bool(sign)
        assert (change[0] == 0).all(), "the onset shows no cue"
        assert np.abs(change[:, ~inside]).mean() < (0.4 if kind == "colour" else 0.05)
        colours = change[:, inside].mean(axis=1)
        if kind == "colour":
            assert abs(colours[-1] @ (0.299, 0.587, 0.114)) < 0.15, "it weighs nothing in grey"
            assert 1.5 < sign * colours[-1, 0] < 6 if sign else not colours.any()
        else:
            at = {"early": numbers >= clip["apex"]}.get(clip["cue"], numbers <= clip["apex"])
            assert (change[at | (numbers == clip["offset"])] == 0).all()
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
    kind = several["cue"].map(kinds)  # none where the cue is still
    assert chi2_contingency(pd.crosstab(kind, several["emotion"])).pvalue > 1e-3
    assert kind.value_counts(normalize=True).to_numpy() == pytest.approx(1 / 3, abs=0.06)


def test_the_table_of_a_single_kind_stays_what_version_1_drew():
    for kind, begins in (("colour", "8f100f778b1baced"), ("timing", "d2eae38f823cc62a")):
        table = draw_table(cue=kind, seed=7)
        assert hashlib.sha256(table.to_csv(index=False, lineterminator="\n").encode()).hexdigest().startswith(begins)
    assert (table[list(AUS)].sum() >= 8).all()


def test_clips_are_drawn_from_the_table():
    drawn = draw_table(n_subjects=10, clips_per_subject=100, emotions_given_aus=SHIFTED, seed=3)
    wanted = SHIFTED.set_index("action_units")
    counts = pd.crosstab(drawn["action_units"], drawn["emotion"]).reindex_like(wanted[NAMES]).fillna(0)
    size, p = counts.sum(axis=1), wanted[NAMES]
    assert np.abs(size / len(drawn) - wanted["share"]).max() < 0.03
    errors = (counts.div(size, axis=0) - p).abs()
    assert (errors <= 4 * np.sqrt(p * (1 - p)).div(np.sqrt(size), axis=0) + 1e-9).all(axis=None)


def test_the_published_table_is_drawn_by_default_and_allows_one_emotion_with_a_cue():
    assert PUBLISHED["share"].sum() == pytest.approx(1)
    np.testing.assert_allclose(np.sort(PUBLISHED[NAMES], axis=1), [[0, 0, 0.25, 0.33, 0.42]] * len(PUBLISHED))
    tables = None, PUBLISHED, SHIFTED
    published, given, changed = (draw_table(n_subjects=3, emotions_given_aus=one, seed=2) for one in tables)
    pd.testing.assert_frame_equal(given, published)
    pd.testing.assert_frame_equal(*(one.drop(columns=["emotion", "label", "cue"]) for one in (changed, published)))
    for units, row in PUBLISHED.set_index("action_units")[NAMES].iterrows():
        assert synthme.allowed_emotions(units).to_dict() == row.to_dict()
        for cue in ("flush", "pallor", "still", "early", "late"):
            with_cue = synthme.allowed_emotions("+".join(reversed(units.split("+"))), cue=cue)
            assert with_cue.max() == 1
            assert row[with_cue.idxmax()] > 0
    for units, cue, allowed in (("12", "brighten", 0.5), ("4", "still", np.nan), ("9", None, np.nan)):
        found = synthme.allowed_emotions(units, cue=cue, emotions_given_aus=SAME_STATE)
        assert found["disgust"] == pytest.approx(allowed, nan_ok=True)


def test_ceilings_are_exact():
    found = synthme.ceilings(draw_table(n_subjects=4, seed=9, cue="timing"))
    assert (found.au_only, found.joint) == pytest.approx((0.42, 1.0))
    blind = synthme.ceilings(draw_table(n_subjects=3, seed=0, cue_strength=0))
    assert blind.tolist() == pytest.approx([0.42, (PUBLISHED["share"] @ PUBLISHED[NAMES]).max(), 0.42])
    rows = draw_table(n_subjects=4, clips_per_subject=50, emotions_given_aus=SAME_STATE, seed=8)
    found = synthme.ceilings(rows, emotions_given_aus=SAME_STATE)
    first, flush = (rows["action_units"] == "4").mean(), (rows["cue"] == "flush").mean()
    both = first * 0.6 + (flush - first) * 0.5 + (1 - flush)  # AU4 always has the flush
    assert found.tolist() == pytest.approx([first * 0.6 + (1 - first) * 0.8, flush * 0.225 / 0.4 + (1 - flush), both])


@pytest.mark.parametrize(("table", "cue"), [(PUBLISHED, "colour"), (SHIFTED, "colour+timing"), (SAME_STATE, "colour")])
def test_allowed_auc_is_scikit_learns_of_a_perfect_reader(table, cue):
    exact = synthme.allowed_auc(table, cue=cue).set_index(["branch", "target"])["allowed"]
    cells = table.melt(["action_units", "share"], var_name="emotion")
    cells = cells.merge(pd.Series(cue.split("+"), name="kind"), how="cross")
    place = cells["emotion"].map(dict(zip(NAMES, (0, 0, 1, 1, 2), strict=True)))
    cells["cue"] = [CUES[kind][number] for kind, number in zip(cells["kind"], place, strict=True)]
    cells["AU12"] = cells["action_units"].str.split("+").map(lambda units: "12" in units)
    cells = cells.assign(p=cells["share"] * cells["value"], both=cells["action_units"] + cells["cue"]).query("p > 0")
    for branch, seen in (("motion", "action_units"), ("emotion", "cue"), ("fused", "both")):
        for target in ("cue", "emotion", "AU12"):
            joint = pd.crosstab(cells[seen], cells[target], cells["p"], aggfunc="sum").fillna(0)
            score = joint.div(joint.sum(axis=1), axis=0).loc[cells[seen]]
            aucs = [roc_auc_score(cells[target] == name, score[name], sample_weight=cells["p"]) for name in score]
            assert exact[branch, target] == pytest.approx(np.mean(aucs), abs=1e-9)
    assert exact["emotion", "AUs"] == pytest.approx(exact["emotion"][list(AUS)].mean())
    assert table is not SAME_STATE or np.isnan(exact["emotion", "AU9"]), "no AU set of the table has it"


def test_what_cannot_be_made_is_one_sentence(clips):
    assert_refuses(synthetic_clips, cue="colour+smell", match=r"'colour\+smell'.* colour, timing, brightness")
    assert_refuses(synthme.allowed_auc, PUBLISHED.replace({"action_units": {"9": "5"}}), match="once.* AU set 5")
    assert_refuses(synthme.allowed_auc, PUBLISHED.assign(others=0.5), match=r"sum to 1.* 1\+2")
    still = pd.DataFrame([{"action_units": "4", "cue": "still"}])
    no_clip = "1 of 1 clips.* AU set 4 with cue still"
    assert_refuses(synthme.ceilings, still, emotions_given_aus=SAME_STATE, match=no_clip)
    assert_refuses(synthme.render_frames, clips, "synthme9-s01-c01", [20], match="synthme9-s01-c01")
    assert_refuses(synthme.render_frames, replace(clips, recipe={"corpus": "CASME II"}), "x", [20], match="CASME II")
    assert_refuses(synthme.face_studio(), {"aus": {"AU4": 9.0}}, match="AU4.* 0 and 5; .*9.0")
    assert_refuses(synthme.face_studio(), {"sides": {"AU4": "up"}}, match="both, left, right; .*'up'")


QUIET = {"noise": 0.0, "drift": 0.0}
PULLS = {
    "AU12": ("mouth_corner", (1, -1)), "AU4": ("brow_inner", (-1, 1)), "AU5": ("lid_upper", (0, -1)),
    "AU15": ("mouth_corner", (0, 1)), "AU20": ("mouth_corner", (1, 0)), "AU1": ("brow_inner", (0, -1)),
    "AU2": ("brow_outer", (0, -1)), "AU6": ("cheek", (0, -1)), "AU7": ("lid_lower", (0, -1)),
    "AU9": ("nose_wing", (0, -1)), "AU10": ("lip_top", (0, -1)),
}  # fmt: skip
"""A landmark of the left side that an AU moves, and which way."""


@pytest.fixture(scope="module")
def studio() -> synthme.FaceStudio:
    return face_studio(identity_seed=3)


def displacement(clip: Clips) -> np.ndarray:
    return clip.truth.displacement[0].astype(float)


def test_a_face_is_the_same_picture_at_every_size_and_people_cover_the_range_of_skin():
    large, small = (synthme.move_face(draw_face(Identity(3, 1), size=size)) for size in (192, 96))
    assert np.abs(cv2.resize(large, (96, 96), interpolation=cv2.INTER_AREA).astype(float) - small).mean() < 4
    tones = [sum(Identity(0, number).skin) / 3 for number in range(24)]
    assert min(tones) < 80 < 200 < max(tones)


@pytest.mark.parametrize("au", mostly_slow(sorted(AUS, key=lambda au: au not in ("AU4", "AU12", "AU17")), quick=3))
def test_an_au_moves_its_landmark_as_facs_says_both_sides_alike_and_one_side_alone_within_its_mask(au):
    face, studio = draw_face(Identity(0, 0), size=128), face_studio(size=128, n_frames=2)
    both = studio({"aus": {au: 1.0}, **QUIET})
    field = displacement(both)
    difference = np.abs(field[:, ::-1] * (-1, 1) - field)[np.minimum(face.mask, face.mask[:, ::-1]) == 1]
    assert np.quantile(difference, 0.98) < 2e-3, "all but the lids' edges, which differ between the eyes"
    assert length(field).max() == pytest.approx(1, abs=0.03 if au != "AU5" else 0.35)
    mask = both.truth.au_mask(both.table["clip_id"][0], au)
    assert length(field)[mask].sum() > 0.7 * length(field).sum()
    assert mask.mean() < 0.25
    one_sided = studio({"aus": {au: 1.0}, "sides": {au: "right"}, **QUIET})
    weight = length(displacement(one_sided)).sum(axis=0)
    if au not in studio.one_sided:
        np.testing.assert_array_equal(one_sided.frames, both.frames)
    else:
        assert (np.arange(128) * weight).sum() / weight.sum() < 64, "the subject's right lies on the left"
        assert one_sided.table["clip_id"][0].endswith(f"-R{au[2:]}C-still")
    if au in PULLS:
        place, way = PULLS[au]
        column, row = (int((v + 1) * 64) for v in face.landmarks["left"][place])
        near = field[row - 3 : row + 4, column - 3 : column + 4].reshape(-1, 2)
        moved = near[length(near).argmax()]  # at a lid's edge the bare eye lies, which does not move
        assert all(got * wanted > 0.25 if wanted else abs(got) < 0.4 for got, wanted in zip(moved, way, strict=True))


def test_a_blink_hides_the_iris():
    clips = synthme.synthetic_clips(n_subjects=1, clips_per_subject=4, n_frames=2, noise=3, cue_strength=0, seed=3)
    blinks = clips.truth.table.query("blink_frame >= 0").iloc[0]
    x, y = (int((v + 1) * 64) for v in draw_face(Identity(3, 0), size=64).landmarks["left"]["eye"])
    frames = synthme.render_frames(clips, blinks["clip_id"], [0, blinks["blink_frame"]], size=128).astype(float)
    opened, closed = frames[:, y - 4 : y + 3, x - 4 : x + 5].mean(axis=-1)
    assert opened.std() > 1.5 * closed.std()


def test_an_action_grows_to_the_apex_and_ends_still():
    clip = face_studio(identity_seed=3, n_frames=18)({"aus": {"AU12": "E"}, **QUIET})
    numbers = frame_numbers(0, 28, 68, 18)
    moved = np.abs(clip.frames[0].astype(int) - clip.frames[0, 0]).mean(axis=(1, 2, 3))
    assert (moved[0], moved[-1], numbers[moved.argmax()]) == (0, 0, 28)
    assert (np.diff(moved) * np.where(numbers[1:] <= 28, 1, -1) >= 0).all()


def test_the_portrait_smiles_where_its_mouth_is_and_as_its_studio():
    clip = synthme.move_photo(action_units="12", intensity="D")
    truth = displacement(clip)
    moving = length(truth) > 0.1 * length(truth).max()
    assert length(clip.flow[0] - truth)[moving].sum() < 0.3 * length(truth)[moving].sum()
    row, column = np.unravel_index(length(truth).argmax(), moving.shape)
    assert clip.flow[0, row, column, 1] < -0.3, "corners of a smile rise"
    assert clip.truth.au_mask("photo-12", "AU12")[row, column]
    by_hand = synthme.photo_studio(size=128)({"aus": {"AU12": "D"}, "cue": "flush", **QUIET})
    # move_photo draws the peak from the middle half of the intensity's range.
    assert np.corrcoef(displacement(by_hand).ravel(), truth.ravel())[0, 1] > 0.999
    one_sided = length(synthme.move_photo(action_units="L12", intensity="E", size=64).flow[0])
    assert one_sided[:, 37:].sum() > 4 * one_sided[:, :27].sum(), "the subject's left"
    detected = synthme.move_photo(data.astronaut(), "4", size=64)
    assert (clip.recipe["landmarks"], detected.recipe["landmarks"]) == ("given", "detected")
    row, column = np.unravel_index(length(detected.flow[0]).argmax(), (64, 64))
    assert (15 < row < 32) & (20 < column < 44)


def test_noise_and_drift_are_two_controls_and_the_same_in_every_clip_of_a_studio(studio):
    states = QUIET, {"noise": 2, "drift": 0}, {"noise": 2, "drift": 0}, {"noise": 0, "drift": 4}
    still, grainy, again, drifting = map(studio, states)
    np.testing.assert_array_equal(grainy.frames, again.frames)
    assert (grainy.frames != face_studio(identity_seed=3, seed=1)(states[1]).frames).any()
    assert np.abs(grainy.frames.astype(int) - still.frames).mean() > 0.5
    head = [one.truth.table[["head_x_px128", "head_y_px128"]].abs().to_numpy().max() for one in (grainy, drifting)]
    assert head[0] == 0 < 0.03 < head[1]
    for frame in (still.frames[0, -1], drifting.frames[0, 0]):  # nothing has drifted yet
        np.testing.assert_array_equal(frame, still.frames[0, 0])


def test_a_clip_carries_what_the_table_allows(studio):
    smile = {"aus": {"AU12": "B", "AU6": "C"}, "cue": "pallor"}
    for state, label, given in (
        ({}, None, (np.nan, np.nan)),
        ({"aus": {"AU12": "B", "AU4": "C"}, "cue": "pallor"}, None, (np.nan, np.nan)),
        (smile | {"cue_strength": 0}, None, (0.42, 0.33)),
        (smile, "repression", (0.42, 1.0)),
    ):
        clip = studio(state)
        truth = clip.truth.table.iloc[0]
        assert clip.table.loc[0, ["label", "emotion"]].tolist() == [label, label or "unknown"]
        assert truth[["given_aus_happiness", "given_cue_repression"]].tolist() == pytest.approx(given, nan_ok=True)
    assert truth["intensities"] == "6C+12B"
