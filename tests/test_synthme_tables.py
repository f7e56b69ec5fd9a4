"""Another table P(emotion | AU set): drawn from, kept in the recipe, and read exactly."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

import medn_lab as medn
from medn_lab.records import Clips, frame_numbers
from medn_lab.synthme import (
    AUS,
    EMOTIONS,
    allowed_auc,
    allowed_emotions,
    ceilings,
    draw_table,
    emotion_table,
    render_frames,
    synthetic_clips,
)


def shifted(order: tuple[float, float, float]) -> pd.DataFrame:
    """The published table with other probabilities: the likeliest emotion of each AU set gets the first, and so on."""
    table = emotion_table()
    for row, given in table[list(EMOTIONS)].iterrows():
        for emotion, share in zip(given.sort_values(ascending=False).index[:3], order, strict=True):
            table.loc[row, emotion] = share
    return table


def two_rows(**given: tuple[float, float]) -> pd.DataFrame:
    """AU4 (share .25) and AU12 (share .75) with the named emotions."""
    table = pd.DataFrame({"action_units": ["4", "12"], "share": [0.25, 0.75], **dict.fromkeys(EMOTIONS, 0.0)})
    return table.assign(**given)


SHIFTED = shifted((0.80, 0.12, 0.08))
SAME_STATE = two_rows(happiness=(0.6, 0.1), disgust=(0.4, 0.1), others=(0.0, 0.8))
"""Happiness and disgust have one state, so that AU set and cue do not tell them apart."""


@pytest.mark.parametrize("table", [SHIFTED, SAME_STATE], ids=["shifted", "two rows"])
def test_clips_are_drawn_from_the_table(table):
    drawn = draw_table(n_subjects=20, clips_per_subject=150, emotions_given_aus=table, seed=3)
    counts = pd.crosstab(drawn["action_units"], drawn["emotion"]).reindex(columns=list(EMOTIONS), fill_value=0)
    wanted = table.set_index("action_units")
    assert set(counts.index) == set(wanted.index)
    shares = counts.sum(axis=1) / len(drawn)
    assert np.abs(shares - wanted["share"]).max() < 0.03
    p = wanted.loc[counts.index, list(EMOTIONS)]
    found = counts.div(counts.sum(axis=1), axis=0)
    error = np.sqrt(p * (1 - p)).div(np.sqrt(counts.sum(axis=1)), axis=0)
    assert ((found - p).abs() <= 4 * error + 1e-9).all(axis=None)


def test_the_published_table_given_by_hand_draws_the_published_clips():
    pd.testing.assert_frame_equal(draw_table(emotions_given_aus=emotion_table(), seed=2), draw_table(seed=2))


def test_another_table_changes_emotion_and_cue_and_nothing_else():
    changed = draw_table(n_subjects=3, emotions_given_aus=SHIFTED, seed=2)
    published = draw_table(n_subjects=3, seed=2)
    answers = ["emotion", "label", "cue"]
    pd.testing.assert_frame_equal(changed.drop(columns=answers), published.drop(columns=answers))
    assert (changed["emotion"] != published["emotion"]).mean() > 0.1


@pytest.fixture(scope="module")
def clips() -> Clips:
    return synthetic_clips(n_subjects=2, clips_per_subject=3, cue="mixed", emotions_given_aus=SHIFTED, seed=5)


def test_clips_of_another_table_can_be_drawn_again(clips, tmp_path):
    back = Clips.load(clips.save(tmp_path / "set"))
    assert back.recipe == json.loads(json.dumps(dict(clips.recipe))) == clips.recipe
    published = synthetic_clips(n_subjects=2, clips_per_subject=3, cue="mixed", seed=5)
    assert "emotions_given_aus" not in published.recipe
    other = clips.table["cue"] != published.table["cue"]
    assert other.any()
    for row in np.flatnonzero(other):
        clip = clips.table.iloc[row]
        numbers = frame_numbers(clip["onset"], clip["apex"], clip["offset"], 8)
        np.testing.assert_array_equal(render_frames(back, clip["clip_id"], numbers), clips.frames[row])
        assert (clips.frames[row] != published.frames[row]).any()
    assert len(repr(clips)) < len(repr(published)) + 40


def test_a_result_on_clips_of_another_table_is_made_again(clips):
    predictions = medn.predict(medn.load_pretrained("medn_tiny.synthme_v1"), clips)
    again = medn.rerun(predictions, progress=False)
    np.testing.assert_array_equal(again.again.logits, predictions.logits)


def test_ceilings_of_another_table_are_exact():
    rows = draw_table(n_subjects=30, clips_per_subject=100, emotions_given_aus=SAME_STATE, seed=8)
    found = ceilings(rows, emotions_given_aus=SAME_STATE)
    first = (rows["action_units"] == "4").mean()
    flush = (rows["cue"] == "flush").mean()
    assert found.au_only == pytest.approx(first * 0.6 + (1 - first) * 0.8)
    assert found.cue_only == pytest.approx(flush * 0.225 / 0.4 + (1 - flush))
    second_flush = ((rows["action_units"] == "12") & (rows["cue"] == "flush")).mean()
    assert found.joint == pytest.approx(first * 0.6 + second_flush * 0.5 + (1 - first - second_flush))
    for reader in ("au_only", "cue_only", "joint"):
        expected = getattr(found, reader)
        error = np.sqrt(expected * (1 - expected) / len(rows))
        assert abs((found.decisions[reader] == rows["label"]).mean() - expected) <= 4 * error
    shift = draw_table(n_subjects=3, emotions_given_aus=SHIFTED, seed=1)
    assert ceilings(shift, emotions_given_aus=SHIFTED).au_only == pytest.approx(0.80)
    assert ceilings(shift, emotions_given_aus=SHIFTED).joint == pytest.approx(1)


def test_rows_that_the_table_does_not_hold_are_one_sentence():
    rows = pd.DataFrame({"clip_id": ["a", "b"], "action_units": ["4", "12"], "cue": ["still", "still"]})
    with pytest.raises(ValueError, match="1 of 2 clips cannot occur under this table, such as AU set 4 with cue still"):
        ceilings(rows, emotions_given_aus=SAME_STATE)
    with pytest.raises(ValueError, match="AU set '4' is not one of"):
        ceilings(rows, emotions_given_aus=SAME_STATE.iloc[1:])


def test_allowed_emotions_come_from_the_table_that_was_given():
    assert allowed_emotions("4", emotions_given_aus=SAME_STATE).to_dict() == pytest.approx(
        {"happiness": 0.6, "disgust": 0.4, "repression": 0, "surprise": 0, "others": 0}
    )
    assert allowed_emotions("12", cue="brighten", emotions_given_aus=SAME_STATE)["disgust"] == pytest.approx(0.5)
    assert allowed_emotions("4", cue="still", emotions_given_aus=SAME_STATE).isna().all(), "this never occurs"
    assert allowed_emotions("9", emotions_given_aus=SAME_STATE).isna().all()


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (emotion_table().replace({"action_units": {"9": "99"}}), "does not play AU '99'"),
        (emotion_table().replace({"action_units": {"9": "5"}}), "each AU set once and none empty; it has '5' twice"),
        (emotion_table().rename(columns={"others": "anger"}), "the difference is anger, others"),
        (emotion_table().assign(others=0.5), "must sum to 1 in each row of emotions_given_aus; for 1\\+2 it sums to"),
        (emotion_table().assign(share=np.nan), "shares and probabilities of 0 or more, with a share above 0"),
        (emotion_table().assign(share=0.0), "with a share above 0"),
        (emotion_table().assign(happiness="much"), "shares and probabilities of 0 or more"),
        (emotion_table().assign(happiness=-0.1), "shares and probabilities of 0 or more"),
        (emotion_table().iloc[:0], "the difference is no row"),
    ],
)
def test_a_table_that_is_none_is_one_sentence(table, sentence):
    for call in (synthetic_clips, draw_table, allowed_auc):
        with pytest.raises(ValueError, match=sentence):
            call(emotions_given_aus=table)
    with pytest.raises(ValueError, match=sentence):
        allowed_emotions("4", emotions_given_aus=table)


def test_allowed_auc_in_closed_form():
    found = allowed_auc(two_rows(happiness=(0.6, 0.1), others=(0.4, 0.9))).set_index(["branch", "target"])["allowed"]
    # P(flush | AU4) = .6, P(flush | AU12) = .1: right .6 * .9, tied .6 * .1 + .4 * .9
    assert found["emotion", "AU4"] == pytest.approx(0.54 + (0.06 + 0.36) / 2)
    assert found["emotion", "AU12"] == found["emotion", "AUs"] == pytest.approx(found["emotion", "AU4"])
    # P(AU4 | flush) = .15 / .225 = 2/3, P(AU4 | still) = .1 / .775
    hit, false = 2 / 3, 0.1 / 0.775
    assert found["motion", "cue"] == pytest.approx(hit * (1 - false) + (hit * false + (1 - hit) * (1 - false)) / 2)
    assert found["motion", "emotion"] == pytest.approx(found["motion", "cue"])
    assert found["emotion", "cue"] == found["motion", "AU4"] == found["fused", "emotion"] == pytest.approx(1)
    assert np.isnan(found["emotion", "AU9"]), "no AU set of the table has it"
    assert allowed_auc(SAME_STATE).set_index(["branch", "target"])["allowed"]["fused", "emotion"] < 0.999


def test_allowed_auc_of_the_published_table():
    found = allowed_auc().set_index(["branch", "target"])["allowed"]
    assert found["motion", "cue"] == pytest.approx(0.549, abs=5e-4)
    assert found["emotion", "AUs"] == pytest.approx(found["emotion"][list(AUS)].mean())


@pytest.mark.parametrize("cue", ["colour", "colour+timing+brightness"])
@pytest.mark.parametrize("table", [None, SHIFTED, SAME_STATE], ids=["published", "shifted", "two rows"])
def test_allowed_auc_is_that_of_a_simulated_perfect_reader(table, cue):
    from sklearn.metrics import roc_auc_score

    from medn_lab.synthme import CUES

    exact = allowed_auc(table, cue=cue).set_index(["branch", "target"])["allowed"]
    source = emotion_table() if table is None else table
    rng = np.random.default_rng(0)
    sets = rng.choice(len(source), p=source["share"], size=200_000)
    given = source[list(EMOTIONS)].to_numpy()
    emotion = (rng.random(len(sets))[:, None] > given.cumsum(axis=1)[sets]).sum(axis=1)
    state = np.array([0, 0, 1, 1, 2])[emotion]
    kind = rng.choice(cue.split("+"), size=len(sets))
    shown = np.array([CUES[k][s] for k, s in zip(kind, state, strict=True)])

    def auc(target: np.ndarray, seen: np.ndarray) -> float:
        counts = pd.crosstab(seen, target)
        score = counts.div(counts.sum(axis=1), axis=0)
        return np.mean([roc_auc_score(target == name, score.loc[seen, name]) for name in np.unique(target)])

    assert exact["motion", "cue"] == pytest.approx(auc(shown, sets), abs=0.006)
    assert exact["motion", "emotion"] == pytest.approx(auc(emotion, sets), abs=0.006)
    assert exact["emotion", "emotion"] == pytest.approx(auc(emotion, shown), abs=0.006)
    for au in ("AU4", "AU12"):
        has = source["action_units"].str.split("+").map(lambda parts, au=au: au[2:] in parts).to_numpy()[sets]
        assert exact["emotion", au] == pytest.approx(auc(has, shown), abs=0.006)


def test_a_mixed_truth_needs_the_kind_of_each_clip(clips):
    truth = clips.truth
    with pytest.raises(ValueError, match="cue_kind"):
        dataclasses.replace(truth, table=truth.table.drop(columns="cue_kind"))
    with pytest.raises(ValueError, match="a mask for each of 1 cue_kinds"):
        dataclasses.replace(truth, cue_kinds=("colour",))
