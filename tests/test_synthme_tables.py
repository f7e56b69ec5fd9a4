"""P(emotion | AU set), the published table or another: drawn from, kept in the recipe, and read exactly."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import medn_lab as medn
from medn_lab.records import Clips, frame_numbers
from medn_lab.synthme import AUS, CUES, EMOTIONS, allowed_auc, allowed_emotions, ceilings, draw_table, emotion_table

NAMES = list(EMOTIONS)


def two_rows(**given: tuple[float, float]) -> pd.DataFrame:
    """AU4 (share .25) and AU12 (share .75) with the named emotions."""
    table = pd.DataFrame({"action_units": ["4", "12"], "share": [0.25, 0.75], **dict.fromkeys(EMOTIONS, 0.0)})
    return table.assign(**given)


SHIFTED = emotion_table().replace({0.42: 0.80, 0.33: 0.12, 0.25: 0.08})
"""The published table with other probabilities."""

SAME_STATE = two_rows(happiness=(0.6, 0.1), disgust=(0.4, 0.1), others=(0.0, 0.8))
"""Happiness and disgust have one state, so that AU set and cue do not tell them apart."""


def test_the_published_table_is_a_probability_table_and_drawn_by_default():
    table = emotion_table()
    assert table["share"].sum() == pytest.approx(1)
    np.testing.assert_allclose(np.sort(table[NAMES], axis=1), [[0, 0, 0.25, 0.33, 0.42]] * len(table))
    published = draw_table(n_subjects=3, seed=2)
    pd.testing.assert_frame_equal(draw_table(n_subjects=3, emotions_given_aus=table, seed=2), published)
    changed = draw_table(n_subjects=3, emotions_given_aus=SHIFTED, seed=2)
    depends = ["emotion", "label", "cue"]
    pd.testing.assert_frame_equal(changed.drop(columns=depends), published.drop(columns=depends))
    assert (changed["emotion"] != published["emotion"]).mean() > 0.1


@pytest.mark.parametrize("table", [SHIFTED, SAME_STATE], ids=["shifted", "two rows"])
def test_clips_are_drawn_from_the_table(table):
    drawn = draw_table(n_subjects=10, clips_per_subject=100, emotions_given_aus=table, seed=3)
    counts = pd.crosstab(drawn["action_units"], drawn["emotion"]).reindex(columns=NAMES, fill_value=0)
    wanted = table.set_index("action_units").loc[counts.index]
    assert len(wanted) == len(table)
    size = counts.sum(axis=1)
    assert np.abs(size / len(drawn) - wanted["share"]).max() < 0.03
    p, found = wanted[NAMES], counts.div(size, axis=0)
    assert ((found - p).abs() <= 4 * np.sqrt(p * (1 - p)).div(np.sqrt(size), axis=0) + 1e-9).all(axis=None)


@pytest.mark.slow
def test_clips_of_another_table_can_be_drawn_again(tmp_path):
    clips = medn.synthetic_clips(n_subjects=2, clips_per_subject=3, cue="mixed", emotions_given_aus=SHIFTED, seed=5)
    back = Clips.load(clips.save(tmp_path / "set"))
    assert back.recipe == json.loads(json.dumps(dict(clips.recipe))) == clips.recipe
    other = clips.table["cue"] != draw_table(n_subjects=2, clips_per_subject=3, cue="mixed", seed=5)["cue"]
    assert other.any()
    for row in np.flatnonzero(other):
        clip = clips.table.iloc[row]
        numbers = frame_numbers(clip["onset"], clip["apex"], clip["offset"], 8)
        np.testing.assert_array_equal(medn.synthme.render_frames(back, clip["clip_id"], numbers), clips.frames[row])


def test_ceilings_are_exact():
    found = ceilings(draw_table(n_subjects=4, seed=9, cue="timing"))
    assert (found.au_only, found.joint) == pytest.approx((0.42, 1.0))
    assert 0.5 < found.cue_only < 0.7
    blind = ceilings(draw_table(n_subjects=3, seed=0, cue_strength=0))
    assert blind.joint == blind.au_only == pytest.approx(0.42)
    share = emotion_table()["share"].to_numpy() @ emotion_table()[NAMES].to_numpy()
    assert blind.cue_only == pytest.approx(share.max())
    rows = draw_table(n_subjects=4, clips_per_subject=50, emotions_given_aus=SAME_STATE, seed=8)
    found = ceilings(rows, emotions_given_aus=SAME_STATE)
    first, flush = (rows["action_units"] == "4").mean(), (rows["cue"] == "flush").mean()
    assert found.au_only == pytest.approx(first * 0.6 + (1 - first) * 0.8)
    assert found.cue_only == pytest.approx(flush * 0.225 / 0.4 + (1 - flush))
    second_flush = ((rows["action_units"] == "12") & (rows["cue"] == "flush")).mean()
    assert found.joint == pytest.approx(first * 0.6 + second_flush * 0.5 + (1 - first - second_flush))


@pytest.mark.parametrize(
    ("row", "given", "facts"),
    [
        ({"action_units": "99", "cue": "still"}, None, "'99'"),
        ({"action_units": "4", "cue": "blush"}, None, "'blush'"),
        ({"action_units": "4", "cue": "still"}, SAME_STATE, "1 of 1 clips.* AU set 4 with cue still"),
    ],
)
def test_rows_without_a_ceiling_get_a_sentence(row, given, facts):
    with pytest.raises(ValueError, match=facts):
        ceilings(pd.DataFrame([row]), emotions_given_aus=given)


def test_every_set_allows_its_row_of_the_table_and_with_a_cue_one_emotion():
    for row in emotion_table().to_dict("records"):
        alone = allowed_emotions(row["action_units"])
        assert alone.to_dict() == {emotion: row[emotion] for emotion in EMOTIONS}
        for cue in ("flush", "pallor", "still", "early", "late"):
            with_cue = allowed_emotions("+".join(reversed(row["action_units"].split("+"))), cue=cue)
            assert with_cue.max() == 1
            assert alone[with_cue.idxmax()] > 0
    assert allowed_emotions("12", cue="brighten", emotions_given_aus=SAME_STATE)["disgust"] == pytest.approx(0.5)
    assert allowed_emotions("4", cue="still", emotions_given_aus=SAME_STATE).isna().all(), "this never occurs"
    assert allowed_emotions("9", emotions_given_aus=SAME_STATE).isna().all()


@pytest.mark.parametrize(
    ("table", "facts"),
    [
        (emotion_table().replace({"action_units": {"9": "99"}}), "'99'"),
        (emotion_table().replace({"action_units": {"9": "5"}}), "'5' twice"),
        (emotion_table().rename(columns={"others": "anger"}), "anger, others"),
        (emotion_table().assign(others=0.5), r"sum to 1.* 1\+2"),
        (emotion_table().assign(share=0.0), "all shares are 0"),
        (SAME_STATE.assign(repression=(-0.1, 0.0), surprise=(0.1, 0.0)), "0 or more"),
    ],
)
def test_a_table_that_is_none_is_one_sentence(table, facts):
    for call in (medn.synthetic_clips, allowed_auc):
        with pytest.raises(ValueError, match=facts):
            call(emotions_given_aus=table)


def allowed(*args, **kwargs) -> pd.Series:
    return allowed_auc(*args, **kwargs).set_index(["branch", "target"])["allowed"]


def test_allowed_auc_in_closed_form():
    found = allowed(two_rows(happiness=(0.6, 0.1), others=(0.4, 0.9)))
    # P(flush | AU4) = .6, P(flush | AU12) = .1: right .6 * .9, tied .6 * .1 + .4 * .9
    assert found["emotion", "AU4"] == pytest.approx(0.54 + (0.06 + 0.36) / 2)
    assert found["emotion", "AU12"] == found["emotion", "AUs"] == pytest.approx(found["emotion", "AU4"])
    # P(AU4 | flush) = .15 / .225 = 2/3, P(AU4 | still) = .1 / .775
    hit, false = 2 / 3, 0.1 / 0.775
    assert found["motion", "cue"] == pytest.approx(hit * (1 - false) + (hit * false + (1 - hit) * (1 - false)) / 2)
    assert found["motion", "emotion"] == pytest.approx(found["motion", "cue"])
    assert found["emotion", "cue"] == found["motion", "AU4"] == found["fused", "emotion"] == pytest.approx(1)
    assert np.isnan(found["emotion", "AU9"]), "no AU set of the table has it"
    assert allowed(SAME_STATE)["fused", "emotion"] < 0.999
    published = allowed()
    assert published["motion", "cue"] == pytest.approx(0.549, abs=5e-4)
    assert published["emotion", "AUs"] == pytest.approx(published["emotion"][list(AUS)].mean())
    assert published["emotion", "AUs"] < 0.53


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "cue"),
    [(emotion_table(), "colour+timing+brightness"), (SHIFTED, "colour+timing")],
    ids=["published", "shifted"],
)
def test_allowed_auc_is_that_of_a_simulated_perfect_reader(table, cue):
    exact = allowed(table, cue=cue)
    rng = np.random.default_rng(0)
    sets = rng.choice(len(table), p=table["share"], size=100_000)
    emotion = (rng.random(len(sets))[:, None] > table[NAMES].to_numpy().cumsum(axis=1)[sets]).sum(axis=1)
    state = np.array([0, 0, 1, 1, 2])[emotion]
    kinds = cue.split("+")
    shown = np.array([CUES[kind] for kind in kinds])[rng.integers(len(kinds), size=len(sets)), state]

    def auc(target: np.ndarray, seen: np.ndarray) -> float:
        score = pd.crosstab(seen, target, normalize="index")
        return np.mean([roc_auc_score(target == name, score[name].loc[seen]) for name in np.unique(target)])

    has = table["action_units"].str.split("+").map(lambda parts: "12" in parts).to_numpy()[sets]
    for (branch, target), truth, seen in (
        (("motion", "cue"), shown, sets), (("motion", "emotion"), emotion, sets),
        (("emotion", "emotion"), emotion, shown), (("emotion", "AU12"), has, shown),
    ):  # fmt: skip
        assert exact[branch, target] == pytest.approx(auc(truth, seen), abs=0.008)
