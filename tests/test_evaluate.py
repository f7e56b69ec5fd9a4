"""Scores, intervals, comparisons, pairs and floor: closed forms, scikit-learn's numbers; answers, live and by layer.

Intervals hold the true figure as often as they say, also where persons are few: simulations with person effects.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from cases import assert_refuses, mostly_slow
from hypothesis import given
from hypothesis import strategies as st
from sample_records import table_of
from scipy.special import expit, stdtrit
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score
from tiny_clips import tiny_clips

import medn_lab as medn
from medn_lab import evaluate
from medn_lab.diagnose import confusable_pairs, kept_tokens, leakage
from medn_lab.evaluate import accuracy, extract_features, layer_features, live_predictor, predict, uar, uf1
from medn_lab.evaluate.resampling import Draws
from medn_lab.model import MEDN, MEDNConfig, as_inputs
from medn_lab.records import BranchFeatures, Predictions

CLASSES = ("negative", "positive", "surprise")
MEASURES = (accuracy, uf1, uar)


def predictions_of(true, predicted, subjects=None, *, name="model"):
    logits = np.stack([np.where(np.array(predicted) == one, 1.0, 0.0) for one in CLASSES], axis=1)
    subjects = [f"s{i % 4}" for i in range(len(true))] if subjects is None else subjects
    table = pd.DataFrame({"clip_id": [f"c{i:03d}" for i in range(len(true))], "subject": subjects, "label": true})
    return Predictions(logits.astype(np.float32), table, CLASSES, source={"name": name})


@given(st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=40))
def test_scores_agree_with_scikit_learn_and_depend_on_no_order(pairs):
    true, predicted = (list(side) for side in zip(*pairs, strict=True))
    # zero_division=0 is scikit-learn's name for: a class without clips and without predictions counts as 0.
    expected = f1_score(true, predicted, labels=sorted(set(true)), average="macro", zero_division=0)
    assert uf1(true, predicted) == pytest.approx(expected)
    assert accuracy(true, predicted) == pytest.approx(np.mean([t == p for t, p in pairs]))
    if set(predicted) <= set(true) and len(set(true)) > 1:  # scikit-learn warns of others
        assert uar(true, predicted) == pytest.approx(balanced_accuracy_score(true, predicted))
    for measure in MEASURES:
        assert measure(*zip(*sorted(pairs), strict=True)) == pytest.approx(measure(true, predicted))


def test_what_cannot_be_scored_is_refused():
    one, swapped = (pd.Series(["a", "b"], index=order) for order in (["c1", "c2"], ["c2", "c1"]))
    first, second = two_models(n_subjects=4)
    relabelled = second.table.assign(label=second.table["label"].replace({"positive": "negative"}))
    assert_refuses(uf1, ["a", "b"], ["a"], match="2 true and 1 predicted")
    assert_refuses(uar, one, swapped, match="clip_id")
    assert_refuses(evaluate.confusion_matrix, predictions_of(["fear"], ["negative"]), match="fear.*negative, positive")
    alone = predictions_of(["negative"], ["negative"])
    assert_refuses(evaluate.bootstrap_interval, alone, match=r"2 subjects.*there is 1")
    assert_refuses(compared, first, second.select(second.table["clip_id"][:40]), match="48 .* b 40, of which 40")
    assert_refuses(compared, first, replace(second, table=relabelled), match=r"24 of 48 .*'c001' ")


@pytest.mark.parametrize("measure", MEASURES)
def test_an_interval_is_the_one_from_repeated_clips_and_keeps_a_width_where_all_are_right(measure):
    interval = partial(evaluate.bootstrap_interval, two_models(n_subjects=5, clips=6)[0], n_resamples=300)
    fast, slow = interval(measure=measure), interval(measure=lambda *a: measure(*a))
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high), abs=1e-12)
    true = list(CLASSES) * 40
    found = evaluate.bootstrap_interval(predictions_of(true, true, np.repeat(list("abcde"), 24)), measure=measure)
    assert (found.value, found.high) == (1.0, 1.0)
    # Wilson's bound n / (n + t^2) of 120 clips, with Student's t of 4 degrees of freedom.
    assert found.low == pytest.approx(120 / (120 + 2.776445**2))


def two_models(*, n_subjects=20, clips=12, gap=0.1, seed=0):
    """Two models that find the same persons hard; the first is right `gap` more often."""
    generator = np.random.default_rng(seed)
    subjects = np.repeat([f"s{i:02d}" for i in range(n_subjects)], clips)
    hard = generator.uniform(0.2, 0.85, n_subjects).repeat(clips)
    luck = generator.random(len(subjects))
    return tuple(by_hits(luck < hard + better, subjects, name=name) for better, name in ((gap, "first"), (0, "second")))


def by_hits(right, subjects, *, name="model"):
    true, other = (np.array(CLASSES, dtype=object)[(np.arange(len(right)) + k) % 2] for k in (0, 1))
    return predictions_of(true, np.where(right, true, other), subjects, name=name)


def compared(*models, **options):
    """The comparison's row."""
    return evaluate.compare_predictions(*models, **options).table.iloc[0]


@pytest.mark.parametrize("measure", MEASURES)
def test_the_difference_is_that_of_the_scores_and_a_model_and_itself_differ_by_nothing(measure):
    first, second = two_models(seed=3)
    found, back = (compared(*pair, measure=measure) for pair in ((first, second), (second, first)))
    a, b = (evaluate.bootstrap_interval(p, measure=measure).value for p in (first, second))
    assert (found.a, found.b, found.difference) == pytest.approx((a, b, a - b))
    assert found.low <= found.difference <= found.high
    # Exchanging the models turns the interval round.
    assert (back.difference, back.low, back.high) == pytest.approx((-found.difference, -found.high, -found.low))
    same = compared(first, first, measure=measure)
    assert (back.p, same.difference, same.low, same.high, same.p) == (found.p, 0.0, 0.0, 0.0, 1.0)


def test_a_paired_interval_is_narrower_than_two_and_persons_add_up_whatever_the_order_of_clips():
    first, second = two_models()
    found = evaluate.compare_predictions(first, second)
    row, persons = found.table.iloc[0], found.subjects
    apart = [evaluate.bootstrap_interval(p, seed=k) for k, p in enumerate((first, second))]
    assert row.high - row.low < 0.5 * np.hypot(*(i.high - i.low for i in apart))
    assert apart[0].low < apart[1].high  # the two overlap, and yet the difference is clear
    assert (row.low > 0, row.p) == (True, 0)
    shuffled = second.select(np.random.default_rng(0).permutation(second.table["clip_id"]))
    other = evaluate.compare_predictions(first, shuffled)
    assert (found.table.equals(other.table), persons.equals(other.subjects)) == (True, True)
    assert np.average(persons["difference"], weights=persons["n_clips"]) == pytest.approx(row.difference)


def test_the_share_of_resamples_on_the_other_side_has_a_closed_form_for_two_persons():
    # The first model wins 3 of 4 clips of one person and loses 1 of 4 of the other. Only a resample of the second
    # person twice turns the difference round: one in four.
    subjects = ["s1"] * 4 + ["s2"] * 4
    first, second = (by_hits(np.array(hits) == 1, subjects) for hits in ([1, 1, 1, 0] * 2, [0] * 4 + [1] * 4))
    found = compared(first, second, n_resamples=20_000)
    assert (found.difference, found.p) == (pytest.approx(0.25), pytest.approx(0.25, abs=0.01))
    # The standard error is .5 and t with one degree of freedom 12.7; a difference of shares is within [-1, 1].
    assert (found.low, found.high) == (-1.0, 1.0)


def test_the_floor_and_any_function_of_true_and_predicted_can_be_compared():
    first, second = two_models()
    found = compared(first, second, measure=lambda _, p: (p == "negative").mean(), n_resamples=50)
    assert found.a == pytest.approx((first.predicted == "negative").mean())
    floor = evaluate.au_only_floor(drawn_table(n_subjects=6, clips_per_subject=15))
    found = compared(replace(floor, fold=None, source={"name": "other"}), floor)
    assert (found.model_a, found.model_b, found.same_folds) == ("other", "AU-only floor", False)
    assert compared(floor, replace(floor, fold=7 - floor.fold)).same_folds  # numbered otherwise


AUS = ("AU1", "AU4", "AU12", "AU20")


def scored(coded, logits, *, aus=AUS):
    coded, n = np.asarray(coded, dtype=float), len(coded)
    table = pd.DataFrame({"clip_id": [f"c{i}" for i in range(n)], "subject": [f"s{i % 4}" for i in range(n)]})
    table = table.assign(label="others", **dict(zip(aus, coded.T, strict=True)))
    return Predictions(np.zeros((n, 1), np.float32), table, ("others",), au_logits=np.float32(logits), aus=aus)


@pytest.fixture(scope="module")
def drawn():
    """Scores rounded to quarters, so that there are ties; the last AU is shown by no one."""
    generator = np.random.default_rng(0)
    coded = (generator.random((120, 4)) < [0.5, 0.2, 0.05, 0.0]).astype(float)
    coded[generator.random((120, 4)) < 0.1] = np.nan
    return scored(coded, np.round(4 * (np.nan_to_num(coded) - 0.4 + generator.normal(0, 0.6, coded.shape))) / 4)


def test_auc_f1_and_their_interval_are_those_of_scikit_learn_over_the_repeated_coded_clips(drawn):
    found = evaluate.au_detection(drawn, n_resamples=100, seed=4)
    rows = found.set_index("au")
    for column, au in enumerate(AUS[:3]):
        coded, row = drawn.table[au].to_numpy(), rows.loc[au]
        known = ~np.isnan(coded)
        logits = drawn.au_logits[known, column]
        expected = roc_auc_score(coded[known], logits), f1_score(coded[known], logits >= 0)
        assert (row["auc"], row["f1"]) == pytest.approx(expected)
        counted = row[["n_positive", "n_negative", "n_unknown"]].tolist()
        assert counted == [(coded == 1).sum(), (coded == 0).sum(), (~known).sum()]
    shuffled = drawn.select(np.random.default_rng(0).permutation(drawn.table["clip_id"]))
    pd.testing.assert_frame_equal(found, evaluate.au_detection(shuffled, n_resamples=100, seed=4))
    draws = Draws(drawn.table, n_resamples=100, seed=4)
    row, coded, values = rows.loc["AU4"], drawn.table["AU4"].to_numpy(), []
    known = ~np.isnan(coded)
    for counts in draws.counts:
        given = {"sample_weight": counts[draws.person][known]}
        logits = drawn.au_logits[known, 1]
        values.append((roc_auc_score(coded[known], logits, **given), f1_score(coded[known], logits >= 0, **given)))
    sizes = {"n_clips": int(known.sum()), "n_people": int(row["n_subjects"])}
    for name, of_draws in zip(("auc", "f1"), np.transpose(values), strict=True):
        assert tuple(row[[f"{name}_low", f"{name}_high"]]) == pytest.approx(draws.bounds(of_draws, share=True, **sizes))


def test_an_au_without_positives_or_negatives_gets_no_figure_and_says_why(drawn):
    row = evaluate.au_detection(drawn).set_index("au").loc["AU20"]
    assert row[["auc", "auc_low", "f1", "f1_high"]].isna().all()
    assert row["reason"] == f"no positive among {row['n_negative']} coded clips"
    coded = np.transpose([[np.nan] * 8, [1] * 8, [0, 1] * 4, [1, 0, 0, 0] * 2])
    rows = evaluate.au_detection(scored(coded, np.zeros((8, 4))), min_positives=1)
    assert rows["reason"].tolist()[:3] == ["it is coded in no clip", "no negative among 8 coded clips", ""]
    assert rows["auc"].tolist()[2:] == [0.5, 0.5]  # all tied
    assert "one subject" in rows["reason"][3]


def test_the_macro_mean_is_over_aus_with_enough_positives(drawn):
    found = evaluate.au_detection(drawn, min_positives=10)
    inside = found[found["in_macro"]]
    assert set(inside["au"]) == set(found.loc[found["n_positive"] >= 10, "au"]) == {"AU1", "AU4"}
    assert found.attrs["macro_auc"].value == pytest.approx(inside["auc"].mean())
    assert found.attrs["macro_f1"].value == pytest.approx(inside["f1"].mean())
    coded = np.tile([[1, 0], [0, 1]], (8, 1))  # all right: the interval of so many clips
    found = evaluate.au_detection(scored(coded, 2 * coded - 1, aus=("AU1", "AU2")), min_positives=2).attrs
    for interval in (found["macro_auc"], found["macro_f1"]):
        assert (interval.value, interval.high) == (1.0, 1.0)
        t = stdtrit(interval.n_subjects - 1, 0.975)
        assert interval.low == pytest.approx(interval.n_clips / (interval.n_clips + t**2))


def drawn_table(**size):
    return medn.synthme.draw_table(**size, seed=0).assign(label=lambda table: table["emotion"])


def given_scores(table, scores):
    return Predictions(np.asarray(scores, dtype=np.float32), table, tuple(sorted(table["label"].unique())))


def test_opposite_pairs_are_of_a_positive_and_a_negative_emotion():
    labels = ("Happy", "Repression", "surprise", "others", "Anger", "contempt", "positive", "negative", "tense")
    table = table_of(*[(str(i), "12", label) for i, label in enumerate((*labels, "sadness"))])
    pairs = confusable_pairs(table, opposite=True)
    found = {frozenset(pair) for pair in pairs[["label_a", "label_b"]].to_numpy().tolist()}
    negative = ("Repression", "Anger", "contempt", "negative", "sadness")
    assert found == {frozenset((a, b)) for a in ("Happy", "positive") for b in negative}
    assert (len(pairs), len(confusable_pairs(table))) == (10, 45)


def test_a_pair_auc_without_pairs_has_a_reason():
    for opposite, reason, *rows in (
        (True, "no two clips share an AU set and have opp", ("1", "12", "surprise"), ("2", "12", "others")),
        (False, "the AUs of all 2 clips are unknown", ("1", "?", "happiness"), ("2", "?", "disgust")),
    ):
        found = evaluate.pair_auc(given_scores(table_of(*rows), np.eye(2)), opposite=opposite)
        assert np.isnan(found.value)
        assert reason in found.reason
        assert found.reason in repr(found)


def test_the_interval_of_a_pair_auc_is_that_of_pairs_counted_by_hand():
    table = drawn_table(n_subjects=4, clips_per_subject=8)
    predictions = given_scores(table, np.random.default_rng(0).normal(size=(len(table), table["label"].nunique())))
    pairs, p = confusable_pairs(table), predictions.probabilities
    place, column = (pd.Series(range(len(names)), index=names) for names in (table["clip_id"], predictions.classes))
    draws = Draws(table, n_resamples=50, seed=3)
    values = []
    for counts in draws.counts:
        right = whole = 0.0
        for row in pairs.itertuples():
            a, b, of_a, of_b = place[row.clip_a], place[row.clip_b], column[row.label_a], column[row.label_b]
            first, second = draws.person[a], draws.person[b]
            weight = counts[first] * (counts[second] if first != second else 1)
            right += weight * ((p[a, of_a] > p[b, of_a]) / 2 + (p[b, of_b] > p[a, of_b]) / 2)
            whole += weight
        values.append(right / whole)
    found = evaluate.pair_auc(predictions, n_resamples=50, seed=3)
    assert found.value == pytest.approx(values[0])
    assert (found.low, found.high) == pytest.approx(draws.bounds(np.array(values), n_clips=found.n_clips, share=True))


def test_aus_alone_stand_at_one_half_within_folds_and_below_it_across_them():
    table = drawn_table(n_subjects=12, clips_per_subject=20)
    classes = tuple(sorted(table["label"].unique()))
    onehot = (table["label"].to_numpy()[:, None] == np.array(classes, dtype=object)).astype(float)
    logits, fold = np.zeros((len(table), 5), dtype=np.float32), pd.factorize(table["subject"])[0]
    for number in range(12):
        # The best reader of AUs: how often the other subjects' clips of the same AU set have each emotion.
        own = fold == number
        training = pd.DataFrame(onehot[~own]).groupby(table["action_units"][~own].to_numpy()).sum()
        logits[own] = np.log(training.reindex(table["action_units"][own]).fillna(0).to_numpy() + 0.5)
    predictions = Predictions(logits, table, classes, fold=fold)
    within = evaluate.pair_auc(predictions)
    assert (within.value, within.low, within.high) == (0.5, 0.5, 0.5)
    across = evaluate.pair_auc(predictions, across_folds=True)
    assert (across.high < 0.45, across.n_pairs > within.n_pairs) == (True, True)
    pair = table_of(("1", "12", "happiness"), ("2", "12", "disgust"))
    named = Predictions(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), pair, ("disgust", "happiness", "others"))
    once_right = evaluate.pair_auc(named)  # half right is no tie: the interval is wide
    assert (once_right.value, once_right.high - once_right.low > 0.9) == (0.5, True)


def test_the_floor_is_the_majority_of_the_other_subjects_and_of_single_aus_where_the_set_is_new():
    labels = {"12": ("happiness", "happiness", "others"), "4": ("disgust",) * 3}
    table = table_of(*[(str(k + 1), aus, label) for aus, three in labels.items() for k, label in enumerate(three)])
    floor = evaluate.au_only_floor(table)
    # Subjects 1 and 2 see one happiness and one others for AU 12: a tie, which goes to the emotion that is more
    # frequent among their training clips (one each again), then to the alphabet.
    assert floor.predicted.tolist() == ["happiness", "happiness", "happiness", "disgust", "disgust", "disgust"]
    assert (accuracy(table["label"], floor.predicted), floor.source["n_unseen"]) == (pytest.approx(5 / 6), 0)
    floor = evaluate.au_only_floor(table, folds=[medn.data.Fold("3", train=("c0", "c1"), test=("c2", "c5"))])
    assert dict(zip(floor.table["clip_id"], floor.predicted, strict=True)) == {"c2": "happiness", "c5": "happiness"}
    assert floor.source["n_unseen"] == 1
    table = table_of(
        ("1", "4", "disgust"), ("1", "7", "disgust"), ("1", "12", "happiness"), ("1", "25", "happiness"),
        ("1", "6", "happiness"), ("2", "4+7", "disgust"), ("2", "?", "disgust")
    )  # fmt: skip
    floor = evaluate.au_only_floor(table)
    assert floor.predicted[5:].tolist() == ["disgust", "happiness"]  # unknown AUs: the majority of all
    assert (floor.source["n_unseen"], floor.source["n_unknown"]) == (7, 1)


def test_the_order_of_rows_does_not_matter_to_the_floor_and_labels_of_the_subject_alone_do_not_raise_it():
    table = drawn_table(n_subjects=20, clips_per_subject=40)
    floor, other = evaluate.au_only_floor(table), evaluate.au_only_floor(table.sample(frac=1, random_state=0))
    found = accuracy(table["label"], floor.predicted)
    assert found == pytest.approx(medn.synthme.ceilings(table).au_only, abs=0.05)
    assert other.select(table["clip_id"]).predicted.tolist() == floor.predicted.tolist()
    assert (evaluate.bootstrap_interval(floor).value, len(np.unique(floor.fold))) == (found, 20)
    label = np.where(pd.factorize(table["subject"])[0] % 2, "happiness", "others")
    assert accuracy(label, evaluate.au_only_floor(table.assign(label=label)).predicted) < 0.5
    for wrong, fact in ((table.drop(columns="label"), "no column 'label'"), (table[:1], "at least 2 subjects")):
        assert_refuses(evaluate.au_only_floor, wrong, match=fact)


ABOUT = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def few():
    return tiny_clips(n_subjects=2, clips_per_subject=2)


def small(clips, **changes) -> MEDN:
    return MEDN(replace(MEDNConfig.for_clips(clips, dim=32, patch=8, keep_rates=(0.5, 0.25)), **changes))


@pytest.fixture(scope="module")
def model(few):
    return small(few, decoupling="bottleneck")


@pytest.fixture(scope="module")
def answers(model, few):
    return live_predictor(model)(few)


def test_the_whole_answer_is_that_of_the_batch_functions(model, few, answers):
    whole, features, kept = predict(model, few), extract_features(model, few), kept_tokens(model, few)
    for found, expected, names in (
        (answers.predictions, whole, ("logits", "au_logits")),
        (answers.features, features, ("motion", "emotion", "fused", "gate", "nats")),
        (answers.kept, kept, ("masks", "scores", "mix")),
    ):
        for name in names:
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), **ABOUT)
    # There is no run record: the clip may be a face that is being changed.
    assert answers.predictions.source == {name: value for name, value in whole.source.items() if name != "run"}
    assert answers.predictions.table.equals(whole.table)


def test_one_input_alone_is_the_model_shown_nothing_by_the_other(model, few, answers):
    without_flow = predict(model, replace(few, flow=np.zeros_like(few.flow)))
    stilled = predict(model, replace(few, frames=np.repeat(few.frames[:, :1], 8, axis=1)))
    np.testing.assert_allclose(answers.frames_alone.logits, without_flow.logits, **ABOUT)
    np.testing.assert_allclose(answers.flow_alone.logits, stilled.logits, **ABOUT)
    assert not np.allclose(answers.frames_alone.logits, answers.flow_alone.logits)


@pytest.mark.parametrize("branches", ["motion", "emotion"])
def test_a_model_of_one_branch_answers_once(few, branches):
    answers = live_predictor(small(few, branches=branches))(few)
    assert answers.frames_alone is answers.flow_alone is answers.features.gate is None
    has = answers.kept is not None, answers.predictions.au_logits is not None
    assert has == (branches == "emotion", branches == "motion")


def test_layers_keep_channels_or_their_last_axis_and_no_hook_stays_behind(few):
    plain, names = small(few, decoupling="none", dim=16, heads=2).eval(), ["motion_branch.stem", "emotion_branch.norm"]
    inputs, runs = as_inputs(plain.config, few, rows=np.arange(len(few))), []
    with torch.inference_mode():
        grid = plain.motion_branch.stem(inputs.flow * plain.motion_branch.gain)
        with plain.emotion_branch.norm.register_forward_hook(lambda _, __, out: runs.append(out)):
            nats = plain(*inputs).nats
    plain.train()
    stem, norm, summary = layer_features(plain, few, layers=[*names, "emotion_branch.summary"], batch_size=3).values()
    np.testing.assert_allclose(stem, grid.mean(dim=(2, 3)), atol=1e-5)
    assert (len(runs), nats) == (2, None)  # once a scale
    np.testing.assert_allclose(norm, torch.stack([x.mean(dim=1) for x in runs]).mean(dim=0), atol=1e-5)
    np.testing.assert_allclose(summary, extract_features(plain, few).emotion, atol=1e-5)
    assert summary.index.tolist() == few.table["clip_id"].tolist()
    refuses = partial(assert_refuses, layer_features, plain, few)
    refuses(layers=["motion_branch"], match="'motion_branch' does not give a row a clip")
    refuses(layers=["motion_branch.trunk"], match="trunk", error=AttributeError)
    refuses(layers=["emotion_branch.blocks"], match="'emotion_branch.blocks' does not run")
    assert plain.training
    assert not [m for m in plain.modules() if m._forward_hooks or m._forward_pre_hooks]


# --- coverage: intervals hold the true figure as often as they say, also where persons are few ------------------------


def check_coverage(hits, *, lowest=0.93):
    """Each cell of a simulation and all together cover at least `lowest`, less two standard errors."""
    for name, found in (hits | {"all": np.concatenate([*hits.values()])}).items():
        assert np.mean(found) >= lowest - 2 * np.sqrt(lowest * (1 - lowest) / len(found)), name


@pytest.mark.parametrize(("mean", "rounds"), mostly_slow([(1.4, 6), (0.5, 40), (3.5, 40)]))
def test_intervals_of_accuracy_uf1_and_uar_cover_from_five_persons_on(mean, rounds):
    rng = np.random.default_rng(0)

    def answers(n):
        """True and predicted class, and subject, of ten clips a person, who has an own share of right answers."""
        subjects = np.repeat(np.arange(n), 10)
        true = rng.choice(3, size=10 * n, p=(0.5, 0.3, 0.2))
        wrong = (true + rng.integers(1, 3, size=10 * n)) % 3
        right = rng.random(10 * n) < expit(mean + rng.normal(size=n))[subjects]
        return *np.array(CLASSES)[[true, np.where(right, true, wrong)]], subjects.astype(str)

    truth = {measure: measure(*answers(20_000)[:2]) for measure in MEASURES}
    hits = {}
    for n in (5, 8, 12, 24):
        for seed in range(rounds):
            predictions = predictions_of(*answers(n))
            for measure, value in truth.items():
                found = evaluate.bootstrap_interval(predictions, measure=measure, n_resamples=150, seed=seed)
                assert 0 <= found.low <= found.value <= found.high <= 1
                hits.setdefault((n, measure.__name__), []).append(found.low <= value <= found.high)
    check_coverage(hits)


@pytest.mark.parametrize("rounds", mostly_slow([8, 45]))
def test_the_intervals_of_a_difference_and_of_the_pair_auc_cover(rounds):
    hits, rng = {}, np.random.default_rng(5)
    for mean, gap in ((0.5, 0.6), (3.0, 0.8)):
        effects = rng.normal(size=200_000)
        truth = (expit(mean + gap + effects) - expit(mean + effects)).mean()
        for n in (5, 12):
            subjects = np.repeat(np.arange(n), 10)
            for seed in range(rounds):
                effects, luck = rng.normal(size=n)[subjects], rng.random(10 * n)
                # Two models never agree in every probability, even where they agree in every answer.
                right = (luck < expit(mean + shift + effects) for shift in (gap, 0.0))
                first, second = (by_hits(one, subjects.astype(str)) for one in right)
                found = compared(first, replace(second, logits=0.9 * second.logits), n_resamples=120, seed=seed)
                hits.setdefault((mean, n), []).append(found.low <= truth <= found.high)
    # Two emotions of one AU set; a clip's score is normal, one apart, with a shift of its person that both kinds share.
    apart, spread = 1.2, 0.5
    gap = rng.normal(size=(2, 400_000)) + spread * rng.normal(size=(2, 400_000))
    truth = np.mean(gap[0] + apart > gap[1])
    for n in (5, 12):
        subjects, label = np.repeat(np.arange(n), 8), np.tile([0, 1], 4 * n)
        table = pd.DataFrame({"clip_id": [f"c{i}" for i in range(8 * n)], "subject": subjects.astype(str)})
        table = table.assign(label=np.array(["others", "surprise"])[label], action_units="4")
        for seed in range(rounds):
            score = apart * label + spread * rng.normal(size=n)[subjects] + rng.normal(size=8 * n)
            logits = np.column_stack([-score, score]).astype(np.float32)
            found = evaluate.pair_auc(Predictions(logits, table, ("others", "surprise")), n_resamples=120, seed=seed)
            hits.setdefault(("pair", n), []).append(found.low <= truth <= found.high)
    check_coverage(hits)


GIVEN_AU12 = np.array([[0.25, 0.25, 0.5], [0.45, 0.25, 0.3]])
"""P(cue state | AU12); the other AUs have no part in the cue."""
AUC_OF_AU12 = 0.625
"""Over pairs with and without AU12: states in the order of their likelihood ratio (1.8, 1, .6), a tie counts half."""
EXACT = pd.DataFrame({"target": [*AUS[:3], "AUs", "cue"], "allowed": [0.5, 0.5, AUC_OF_AU12, 1.625 / 3, 1.0]})
EXACT["branch"] = "emotion"


def cue_alone(rng, n, *, clips=16):
    """Features that hold the cue state and noise, so that they are independent of the AUs given the state."""
    aus = (rng.random((n * clips, 3)) < 0.4).astype(float)
    state = (rng.random(n * clips)[:, None] > GIVEN_AU12[aus[:, 2].astype(int)].cumsum(axis=1)).sum(axis=1).clip(max=2)
    table = pd.DataFrame({"clip_id": [f"c{i}" for i in range(n * clips)], "cue": np.array(list("abc"))[state]})
    table[["subject", *AUS[:3]]] = np.column_stack([np.repeat(np.arange(n), clips), aus])
    emotion = np.eye(3)[state] @ rng.normal(size=(3, 6)) + 0.2 * rng.normal(size=(n * clips, 6))
    return BranchFeatures(None, emotion, None, table)  # one branch is enough here


@pytest.mark.parametrize("rounds", mostly_slow([4, 16]))
def test_the_interval_of_an_excess_that_is_none_holds_0(rounds):
    hits = {}
    for n in (8, 12, 24):
        rng = np.random.default_rng(n)
        for seed in range(rounds):
            options = {"targets": ["aus"], "n_shuffles": 0, "n_resamples": 80, "seed": seed}
            rows = leakage(cue_alone(rng, n), allowed=EXACT, **options).set_index("target")
            assert rows.loc["AU12", "allowed"] == AUC_OF_AU12
            for target in ("AUs", "AU12", "AU4"):
                low, high = rows.loc[target, ["excess_low", "excess_high"]]
                hits.setdefault(target, []).append(low <= 0 <= high)
    check_coverage(hits)
