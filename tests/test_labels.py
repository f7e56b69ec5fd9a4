"""Labels and subjects typed by hand: one spelling at the border, or one sentence that says what to do."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tiny_clips import tiny_clips

from medn_lab.diagnose import (
    confusable_pairs,
    confusable_sets,
    decoupling_report,
    leakage,
    pair_separation,
    partial_out,
    rank_pairs,
    swap_branches,
)
from medn_lab.evaluate import (
    accuracy,
    au_only_floor,
    bootstrap_interval,
    compare_predictions,
    confusion_matrix,
    evaluate_loso,
    evaluation_summary,
    predict,
    uar,
    uf1,
)
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import BranchFeatures, Clips, Predictions, check_label, normalise_labels, people
from medn_lab.train import TrainConfig, fit

QUICK = TrainConfig(epochs=1, batch_size=8)
ONE_SPELLING = ["happiness ", " happiness", "ｈａｐｐｉｎｅｓｓ", "happiness\u3000", "happiness\n"]


def with_labels(clips, labels, column="label"):
    return replace(clips, table=clips.table.assign(**{column: labels}))


@pytest.fixture(scope="module")
def clips():
    return tiny_clips()


@pytest.fixture(scope="module")
def model(clips):
    return MEDN(MEDNConfig.for_clips(clips, dim=16), seed=1).eval()


@pytest.mark.parametrize("column", ["label", "mood"])
@pytest.mark.parametrize("typed", ONE_SPELLING)
def test_blanks_and_full_width_signs_make_no_second_class(clips, typed, column):
    labels = clips.table["label"].where(clips.table.index != 0, typed)
    given = with_labels(clips, labels, column)
    config = MEDNConfig.for_clips(given, label=column, dim=16, branches="motion")
    assert config.classes == ("happiness", "others")
    fit(MEDN(config), given, training=QUICK, label=column, progress=False)
    said = predict(MEDN(config), given)
    assert confusion_matrix(said, label=column).to_numpy().sum() == 24
    assert evaluation_summary(said, label=column, n_resamples=20).scores["n_clips"].eq(24).all()
    assert bootstrap_interval(said, label=column, n_resamples=20).value == accuracy(
        clips.table["label"], said.predicted
    )
    found = evaluate_loso(config, given, label=column, training=QUICK, n_jobs=1, progress=False)
    assert found.folds["n_happiness"].sum() == (clips.table["label"] == "happiness").sum()


PAIR_LABELS = ["disgust", "happiness", "disgust", "happiness", "happiness", "disgust"]


def bare_table(labels, column="label"):
    """Two AU sets of three clips each, as a table that no reader made."""
    aus, subjects = ["12", "12", "4", "4", "12", "4"], list("112233")
    table = pd.DataFrame({"clip_id": list("abcdef"), "subject": subjects, "action_units": aus})
    return table.assign(**{column: labels})


def of_a_bare_table(table, label="label"):
    """What each function that reads labels from a bare table says of it."""
    rng = np.random.default_rng(0)
    features = BranchFeatures(rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), None, table)
    pairs = confusable_pairs(table, label=label)
    return [
        pairs.to_numpy().tolist(),
        confusable_sets(table, label=label).to_numpy().tolist(),
        rank_pairs(table, features=features, label=label)[["clip_a", "clip_b", "label_a"]].to_numpy().tolist(),
        pair_separation(table, features=features, label=label, n_resamples=20).attrs["summary"],
    ]


@pytest.mark.parametrize("column", ["label", "mood"])
@pytest.mark.parametrize("typed", [*ONE_SPELLING, "numbers"])
def test_a_bare_table_has_one_spelling_too(column, typed):
    labels = [name.replace("happiness", typed) if place == 1 else name for place, name in enumerate(PAIR_LABELS)]
    plain, given = bare_table(PAIR_LABELS, column), bare_table(labels, column)
    if typed == "numbers":  # text, whole and floating numbers are the same names
        plain, given = (bare_table(of, column) for of in (list("010110"), ["0", 1, 0.0, 1.0, 1, "0 "]))
    assert of_a_bare_table(given, column) == of_a_bare_table(plain, column)
    assert repr(au_only_floor(given, label=column)) == repr(au_only_floor(plain, label=column))
    for measure in (accuracy, uf1, uar):
        assert measure(given[column], plain[column]) == measure(plain[column], given[column]) == 1
    assert uf1(given[column], plain[column], classes=given[column].unique()) == 1


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "", "  "])
def test_a_clip_without_a_label_is_in_no_pair_and_has_no_floor(missing):
    table = bare_table([missing, *PAIR_LABELS[1:]])
    pairs, *_ = of_a_bare_table(table)
    assert pairs == [pair for pair in of_a_bare_table(bare_table(PAIR_LABELS))[0] if pair[0] != "a"]
    with pytest.raises(ValueError, match="1 of 6 clips have no label, such as 'a'"):
        au_only_floor(table)
    with pytest.raises(ValueError, match="1 of 6 true classes are missing"):
        uf1(table["label"], PAIR_LABELS)


def measured_features(labels):
    """Features of 24 clips with these emotions in a column of another name."""
    table = tiny_clips().table.drop(columns=["label", "emotion"], errors="ignore").assign(mood=labels)
    return BranchFeatures(*np.random.default_rng(0).normal(size=(3, 24, 2)), table)


QUICKLY = {"n_shuffles": 2, "label": "mood"}


def test_leaks_and_reports_read_one_spelling_and_leave_clips_without_a_label_out():
    labels = tiny_clips().table["label"]
    plain, typed = (measured_features(own) for own in (labels, labels.where(labels.index != 0, labels[0] + " ")))
    pd.testing.assert_frame_equal(leakage(plain, **QUICKLY), leakage(typed, **QUICKLY))
    pd.testing.assert_frame_equal(
        *(decoupling_report(own, n_permutations=3, **QUICKLY).table for own in (plain, typed))
    )
    for missing in (None, np.nan, pd.NA, " "):
        rows = decoupling_report(measured_features([missing, *labels[1:]]), n_permutations=3, **QUICKLY).table
        assert set(rows.loc[rows["given"] == "emotion", "n_clips"]) == {23}
        unknown = decoupling_report(measured_features([missing] * 24), n_permutations=3, **QUICKLY).table
        assert set(unknown["given"].dropna()) <= {"", "aus"}
        with pytest.raises(ValueError, match="nothing can be given 'emotion': it is known of none of 24 clips"):
            decoupling_report(measured_features([missing] * 24), given=["emotion"], n_permutations=3, **QUICKLY)


@pytest.mark.parametrize("dtype", ["category", "string", object])
def test_the_dtype_of_a_label_column_does_not_matter(clips, dtype):
    given = with_labels(clips, clips.table["label"].astype(dtype))
    assert MEDNConfig.for_clips(given).classes == ("happiness", "others")
    said = predict(MEDN(MEDNConfig.for_clips(given, dim=16), seed=1), given)
    assert f"{accuracy(clips.table['label'], said.predicted):.3f} of them right" in repr(said)


@pytest.mark.parametrize("dtype", [int, "Int64", "category", float])
def test_numbers_are_class_names(clips, dtype):
    given = with_labels(clips, pd.Series(np.arange(24) % 2).astype(dtype))
    config = MEDNConfig.for_clips(given, dim=16)
    fit(MEDN(config), given, training=QUICK, progress=False)
    said = predict(MEDN(config, seed=1), given)
    right = (said.predicted == np.array(config.classes)[np.arange(24) % 2]).mean()
    assert confusion_matrix(said).to_numpy().trace() / 24 == pytest.approx(right)
    assert f"{right:.3f} of them right" in repr(said)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "", "  "])
def test_missing_labels_are_counted_and_named(clips, model, missing):
    labels = clips.table["label"].astype(object).copy()
    labels[[3, 5]] = missing
    given = with_labels(clips, labels)
    for call in (
        lambda: MEDNConfig.for_clips(given),
        lambda: fit(model, given, training=QUICK, progress=False),
        lambda: evaluate_loso(model.config, given, training=QUICK, n_jobs=1, progress=False),
        lambda: confusion_matrix(predict(model, given)),
        lambda: bootstrap_interval(predict(model, given)),
        lambda: compare_predictions(predict(model, given), predict(model, given)),
    ):
        with pytest.raises(ValueError, match="2 of 24 clips have no label, such as 'tiny0_s00_c03'; write"):
            call()
    notes = evaluation_summary(predict(model, given), n_resamples=20).notes
    assert "2 of 24 clips have no label and are not scored." in notes
    known = given.table["clip_id"][[0, 1]] if labels[0] != labels[1] else given.table["clip_id"][[0, 2]]
    assert len(swap_branches(model, given, clip_a=known.iloc[0], clip_b=known.iloc[1])) == 4


def test_names_that_differ_in_capital_letters_are_refused(clips):
    given = with_labels(clips, clips.table["label"].where(clips.table.index != 0, "Others"))
    with pytest.raises(ValueError, match="'Others' and 'others', which differ in capital letters"):
        MEDNConfig.for_clips(given)
    for call in (au_only_floor, of_a_bare_table):
        with pytest.raises(ValueError, match="'disgust' and 'Disgust', which differ in capital letters"):
            call(bare_table([*PAIR_LABELS[:5], "Disgust"]))


def test_the_index_of_a_table_does_not_matter(clips):
    table = clips.table.set_axis(range(100, 124)[::-1])
    assert check_label(table, label="label").tolist() == clips.table["label"].tolist()
    assert normalise_labels(table["label"]).index.equals(table.index)
    assert people(table).tolist() == people(clips.table).tolist()


@pytest.mark.parametrize("column", [[1, "1", 1.0, " 1"], pd.array([1, 1, 1, 1], "Int64"), pd.Series([1.0] * 4)])
def test_one_subject_written_in_several_ways_is_one_person(column):
    table = pd.DataFrame({"clip_id": list("abcd"), "subject": column})
    assert people(table).tolist() == ["1"] * 4
    said = Predictions(np.zeros((4, 2)), table, ("x", "y"))
    assert said.table["subject"].tolist() == ["1"] * 4


def test_subjects_that_differ_by_zeros_alone_are_refused_within_a_data_set():
    table = pd.DataFrame({"clip_id": list("abc"), "dataset": ["samm", "samm", "smic"], "subject": ["01", 1, "1"]})
    with pytest.raises(ValueError, match="'samm/01' and 'samm/1' differ only by zeros"):
        people(table)
    assert people(table[1:]).tolist() == ["samm/1", "smic/1"]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, " "])
def test_a_missing_subject_is_nobody(missing):
    table = pd.DataFrame({"clip_id": list("abc"), "subject": ["1", missing, "2"]})
    flow = np.zeros((3, 32, 32, 2), np.float32)
    for given in (table, Clips(None, flow, table).table):
        with pytest.raises(ValueError, match="1 of 3 clips have no subject"):
            people(given)


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", object, "category"])
def test_the_dtype_of_an_au_column_does_not_matter(dtype):
    table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)], "subject": np.repeat(list("abcd"), 10)})
    plain = table.assign(AU12=[1.0, 0.0, np.nan, 1.0] * 10)
    typed = table.assign(AU12=plain["AU12"].astype("Int64").astype(dtype))
    both = np.random.default_rng(0).normal(size=(40, 3))
    first, second = (leakage(BranchFeatures(both, both, both, one), targets=["aus"]) for one in (plain, typed))
    pd.testing.assert_frame_equal(first, second)


def test_text_in_an_au_column_is_named():
    with pytest.raises(ValueError, match=r"column AU12 holds text .*'yes'.*; an AU column holds 1, 0 or NaN"):
        Predictions(np.zeros((1, 2)), pd.DataFrame({"clip_id": ["a"], "AU12": ["yes"]}), ("x", "y"))


def test_an_unknown_numeric_factor_is_counted_in_any_dtype():
    with pytest.raises(ValueError, match="factor 'age' is not known of 1 clips"):
        partial_out(np.eye(3), factors=pd.DataFrame({"age": pd.array([1, None, 3], "Int64")}))


@pytest.mark.parametrize("name", ["logits", "au_logits"])
def test_scores_that_are_no_numbers_are_refused_by_clip(name):
    scores = {"logits": np.zeros((2, 2)), "au_logits": np.zeros((2, 1))}
    scores[name][1, 0] = np.nan
    table = pd.DataFrame({"clip_id": ["a", "b"]})
    with pytest.raises(ValueError, match=f"the {name} of 1 of 2 clips are NaN, such as of 'b'"):
        Predictions(scores["logits"], table, ("x", "y"), scores["au_logits"], ("AU12",))


@pytest.mark.parametrize("score", [accuracy, uf1, uar])
@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_score_refuses_missing_classes(score, missing):
    with pytest.raises(ValueError, match="1 of 2 true classes are missing"):
        score(["a", missing], ["a", "a"])


def test_predictions_of_no_clips_have_a_repr():
    nothing = Predictions(np.zeros((0, 2)), pd.DataFrame({"clip_id": [], "label": []}), ("x", "y"))
    assert repr(nothing).startswith("Predictions: 0 clips")
