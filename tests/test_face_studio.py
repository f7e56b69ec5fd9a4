"""A face moved by hand plays the corpus's own pictures, and its truth is the published table's."""

import numpy as np
import pytest

from medn_lab.records import frame_numbers
from medn_lab.synthme import (
    EMOTIONS,
    allowed_emotions,
    draw_face,
    draw_identity,
    emotion_table,
    face_studio,
    move_face,
    move_photo,
    photo_studio,
)

QUIET = {"noise": 0.0, "drift": 0.0}


@pytest.fixture(scope="module")
def studio():
    return face_studio(identity_seed=3)


@pytest.fixture(scope="module")
def portrait():
    return photo_studio()


def test_without_noise_the_apex_is_the_still_that_move_face_draws():
    clip = face_studio(identity_seed=3, size=128, n_frames=8)(
        {"aus": {"AU12": "C", "AU6": 0.5}, "sides": {"AU12": "left"}, "cue": "still", **QUIET}
    )
    face = draw_face(draw_identity(3, 0), size=256)
    still = move_face(face, {"AU12": "C"}, side="left")
    both = move_face(face, {"AU6": 0.5})
    apex = clip.frames[0, frame_numbers(0, 28, 68, 8).tolist().index(28)].astype(int)
    left, right = (slice(None), slice(64, None)), (slice(40, 64), slice(0, 30))
    shrunk = [picture.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3)) for picture in (still, both)]
    assert np.abs(apex[85:115, 70:90] - shrunk[0][85:115, 70:90]).max() <= 1.5  # the mouth's left corner: AU12 alone
    assert np.abs(apex[right] - shrunk[1][right]).max() <= 1.5  # the right cheek: AU6 alone
    assert np.abs(apex[left] - shrunk[1][left]).max() > 4


def test_a_studio_at_rest_without_noise_is_one_picture_and_no_flow(studio):
    clip = studio(QUIET)
    assert (clip.frames == clip.frames[:, :1]).all()
    assert np.abs(clip.flow).max() < 0.02
    assert np.abs(clip.truth.displacement).max() == 0
    assert clip.table["action_units"].tolist() == [""]
    assert clip.table["label"].tolist() == [None]


def test_the_flow_is_the_displacement_that_was_asked_for(studio):
    clip = studio({"aus": {"AU12": "E"}, **QUIET})
    drawn, seen = clip.truth.displacement[0].astype(float), clip.flow[0].astype(float)
    strong = np.linalg.norm(drawn, axis=-1) > 0.4
    assert (
        np.linalg.norm(drawn[strong] - seen[strong], axis=-1).mean()
        < 0.35 * np.linalg.norm(drawn[strong], axis=-1).mean()
    )


def test_two_clips_that_differ_in_the_cue_differ_where_the_cue_lies_and_not_in_the_flow(studio):
    flush, pallor = (studio({"aus": {"AU4": "C"}, "cue": cue, **QUIET}) for cue in ("flush", "pallor"))
    change = flush.frames[0, -1].astype(int) - pallor.frames[0, -1]
    weights = np.array([0.299, 0.587, 0.114])
    inside = flush.truth.cue_mask[0, 0]
    assert change[inside][:, 0].mean() > 4  # red
    assert np.abs((change @ weights)[inside]).mean() < 1
    assert np.abs(change[:6]).max() == 0  # above the forehead there is no blood to see
    assert np.abs(flush.flow - pallor.flow).max() < 0.05
    assert (flush.truth.displacement == pallor.truth.displacement).all()


def test_the_noise_is_the_same_in_every_clip_of_a_studio(studio):
    first, again = studio({"cue": "still"}), studio({"cue": "still"})
    assert (first.frames == again.frames).all()
    other = face_studio(identity_seed=3, seed=1)({"cue": "still"})
    assert (first.frames != other.frames).any()


def test_noise_and_drift_are_two_controls(studio):
    rest = studio(QUIET)
    grainy, drifting = studio({"noise": 2.0, "drift": 0.0}), studio({"noise": 0.0, "drift": 4.0})
    assert np.abs(grainy.frames.astype(int) - rest.frames).mean() > 0.5
    assert grainy.truth.table[["head_x_px128", "head_y_px128", "head_degrees"]].abs().to_numpy().max() == 0
    assert drifting.truth.table[["head_x_px128", "head_y_px128"]].abs().to_numpy().max() > 0.03
    assert np.abs(drifting.frames[0, 0].astype(int) - rest.frames[0, 0]).max() == 0  # nothing has drifted yet


def test_sides_reach_one_half_of_the_face_and_midline_aus_both(studio):
    left = studio({"aus": {"AU12": "E"}, "sides": {"AU12": "left"}, **QUIET}).truth.displacement[0].astype(float)
    size = np.linalg.norm(left, axis=-1)
    assert size[:, :24].max() < 0.05 * size.max()  # the subject's right lies left in the picture
    clip = studio({"aus": {"AU17": "C"}, "sides": {"AU17": "left"}})
    assert clip.table["side"].tolist() == ["both"]
    assert studio({"aus": {"AU12": "C"}, "sides": {"AU12": "left"}}).table["clip_id"].item().endswith("-L12C-still")


@pytest.mark.parametrize("row", emotion_table().to_dict("records"), ids=lambda row: row["action_units"])
def test_the_truth_of_every_set_is_the_row_of_the_published_table(row):
    alone = allowed_emotions(row["action_units"])
    assert alone.to_dict() == {emotion: row[emotion] for emotion in EMOTIONS}
    for cue in ("flush", "pallor", "still", "early", "late"):
        with_cue = allowed_emotions("+".join(reversed(row["action_units"].split("+"))), cue=cue)
        assert with_cue.max() == 1
        assert alone[with_cue.idxmax()] > 0


def test_a_clip_carries_what_the_table_allows(studio):
    clip = studio({"aus": {"AU12": "B", "AU6": "C"}, "cue": "pallor"})
    truth = clip.truth.table.iloc[0]
    assert truth["given_aus_happiness"] == 0.42
    assert truth["given_cue_repression"] == 1
    assert clip.table.loc[0, ["label", "emotion", "action_units"]].tolist() == ["repression", "repression", "6+12"]
    assert truth["intensities"] == "6C+12B"
    weak = studio({"aus": {"AU12": "B", "AU6": "C"}, "cue": "pallor", "cue_strength": 0})
    assert weak.truth.table.loc[0, "given_cue_happiness"] == 0.42
    assert weak.table.loc[0, "label"] is None
    odd = studio({"aus": {"AU12": "B", "AU4": "C"}, "cue": "pallor"})
    assert np.isnan(odd.truth.table.loc[0, "given_aus_happiness"])


def test_a_photo_moves_as_move_photo_moves_it(portrait):
    clip = portrait({"aus": {"AU12": "C"}, "cue": "flush", **QUIET})
    reference = move_photo(action_units="12", intensity="C", cue="flush", size=64)
    a, b = clip.truth.displacement[0].astype(float), reference.truth.displacement[0].astype(float)
    # move_photo draws the peak from the middle half of the intensity's range.
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.999
    assert np.abs(clip.frames.astype(int) - reference.frames).mean() < 0.2
    assert (clip.truth.cue_mask == reference.truth.cue_mask).all()


@pytest.mark.parametrize(("kind", "state"), [("timing", "early"), ("brightness", "brighten"), ("brightness", "dim")])
def test_a_pulse_is_still_at_onset_and_apex(kind, state):
    studio = face_studio(cue=kind)
    seen, still = (studio({"aus": {"AU17": "C"}, "cue": cue, **QUIET}) for cue in (state, "still"))
    assert np.abs(seen.flow - still.flow).max() < 1e-6
    assert (seen.frames != still.frames).any()
    assert seen.truth.table["cue_kind"].tolist() == [kind]


def test_the_brightness_of_a_photo_and_of_a_still_changes_in_grey_on_the_chin(portrait):
    bright, dim = (move_photo(cue=cue, size=64) for cue in ("brighten", "dim"))
    change = (bright.frames[0].astype(int) - dim.frames[0]).mean(axis=-1)
    inside = bright.truth.cue_region(bright.table["clip_id"][0])
    assert change[:, inside].mean(axis=1).max() > 4
    assert np.abs(change[:, ~inside]).mean() < 0.1
    np.testing.assert_array_equal(bright.flow, dim.flow)
    hand = photo_studio(cue="brightness")({"aus": {"AU12": "C"}, "cue": "brighten", **QUIET})
    np.testing.assert_array_equal(hand.truth.cue_mask, bright.truth.cue_mask)
    face = draw_face(draw_identity(3, 0), size=128)
    low, high = (move_face(face, cue="brightness", cue_level=level).astype(int) for level in (-1, 1))
    rows, columns = np.nonzero((high - low).min(axis=-1) > 6)
    assert rows.min() > 85
    assert 40 < columns.min() < columns.max() < 88


def test_two_frames_have_the_flow_of_eight(studio):
    two = face_studio(identity_seed=3, n_frames=2)({"aus": {"AU4": "C"}})
    assert two.frames.shape[1] == 2
    np.testing.assert_array_equal(two.flow, studio({"aus": {"AU4": "C"}}).flow)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"au": {}}, "a state has no 'au'; it has aus"),
        ({"aus": {"AU43": "C"}}, "does not play AU 'AU43'"),
        ({"aus": {"AU4": "F"}}, "A, B, C, D, E; it is 'F'"),
        ({"aus": {"AU4": 9.0}}, "AU4.* between 0 and 5; it is 9"),
        ({"sides": {"AU4": "up"}}, "both, left or right"),
        ({"cue": "early"}, "this face has flush, pallor, still"),
        ({"noise": 5}, "noise must lie between 0 and 4"),
        ({"drift": None}, "drift must lie between 0 and 4"),
    ],
)
def test_a_state_that_cannot_be_played_is_one_sentence(studio, state, sentence):
    with pytest.raises(ValueError, match=sentence):
        studio(state)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"size": 32}, "64 to 512 px"),
        ({"n_frames": 1}, "at least 2"),
        ({"cue": "smell"}, "no cue"),
        ({"person": -1}, "must not be negative"),
    ],
)
def test_a_studio_that_cannot_be_made_is_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        face_studio(**arguments)


def test_a_picture_without_a_face_is_one_sentence():
    with pytest.raises(ValueError, match="no face was found"):
        photo_studio(np.full((80, 80, 3), 120, np.uint8))


def test_a_cue_that_does_not_exist_is_one_sentence():
    with pytest.raises(ValueError, match="no cue state 'blue'"):
        allowed_emotions("4", cue="blue")
