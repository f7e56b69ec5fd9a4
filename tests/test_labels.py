"""Labels and subjects typed by hand: one spelling in every room, or an error that names what to do."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from slow_cases import mostly_slow
from tiny_clips import tiny_clips

from medn_lab import diagnose, evaluate
from medn_lab.evaluate import accuracy, confusion_matrix, predict, uar, uf1
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import BranchFeatures, Clips, Predictions, check_label, normalise_labels, people
from medn_lab.train import TrainConfig, fit

LOSO = {"training": TrainConfig(epochs=1, batch_size=8), "n_jobs": 1, "progress": False}
ONE_SPELLING = ["happiness ", " happiness", "ｈａｐｐｉｎｅｓｓ", "happiness\u3000", "happiness\n"]
MISSING = [None, np.nan, pd.NA, "", "  "]
PAIR_LABELS = ["disgust", "happiness", "disgust", "happiness", "happiness", "disgust"]


def with_labels(clips, labels, column="label"):
    return replace(clips, table=clips.table.assign(**{column: labels}))


def test_blanks_and_full_width_signs_make_no_second_class(clips):
    labels = clips.table["label"].to_numpy(dtype=object, copy=True)
    labels[np.flatnonzero(labels == "happiness")[:5]] = ONE_SPELLING
    given, own = with_labels(clips, labels, "mood"), {"label": "mood"}
    config = MEDNConfig.for_clips(given, dim=16, branches="motion", **own)
    assert config.classes == ("happiness", "others")
    predictions = predict(MEDN(config), given)
    assert confusion_matrix(predictions, **own).to_numpy().sum() == 24
    assert evaluate.evaluation_summary(predictions, n_resamples=20, **own).scores["n_clips"].eq(24).all()
    scored = evaluate.bootstrap_interval(predictions, n_resamples=20, **own).value
    assert scored == accuracy(clips.table["label"], predictions.predicted)
    found = evaluate.evaluate_loso(config, given, **LOSO, **own)
    assert found.folds["n_happiness"].sum() == (clips.table["label"] == "happiness").sum()


def bare_table(labels):
    """Two AU sets of three clips each, as a table that no reader made."""
    aus, subjects = ["12", "12", "4", "4", "12", "4"], list("112233")
    return pd.DataFrame({"clip_id": list("abcdef"), "subject": subjects, "action_units": aus, "label": labels})


def of_a_bare_table(table):
    """What each function that reads labels from a bare table gives."""
    rng = np.random.default_rng(0)
    features = BranchFeatures(rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), None, table)
    ranked = diagnose.rank_pairs(table, features=features)
    return [
        diagnose.confusable_pairs(table).to_numpy().tolist(),
        diagnose.confusable_sets(table).to_numpy().tolist(),
        ranked[["clip_a", "clip_b", "label_a"]].to_numpy().tolist(),
        diagnose.pair_separation(table, features=features, n_resamples=20)["value"].tolist(),
    ]


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ([*ONE_SPELLING[:2], "disgust", *ONE_SPELLING[2:]], ["happiness"] * 2 + ["disgust"] + ["happiness"] * 3),
        (["0", 1, 0.0, 1.0, 1, "0 "], list("010110")),
    ],
    ids=["words", "numbers"],
)
def test_a_bare_table_has_one_spelling_too(given, plain):
    given, plain = bare_table(given), bare_table(plain)
    assert of_a_bare_table(given) == of_a_bare_table(plain)
    assert repr(evaluate.au_only_floor(given)) == repr(evaluate.au_only_floor(plain))
    for measure in (accuracy, uf1, uar):
        assert measure(given["label"], plain["label"]) == measure(plain["label"], given["label"]) == 1


def test_a_clip_without_a_label_is_in_no_pair_and_has_no_floor_and_no_score():
    table = bare_table([np.nan, *PAIR_LABELS[1:]])
    pairs, *_ = of_a_bare_table(table)
    assert pairs == [pair for pair in of_a_bare_table(bare_table(PAIR_LABELS))[0] if pair[0] != "a"]
    with pytest.raises(ValueError, match="1 of 6 clips have no label, such as 'a'"):
        evaluate.au_only_floor(table)
    for score in (accuracy, uf1, uar):
        with pytest.raises(ValueError, match="1 of 6 true classes"):
            score(table["label"], PAIR_LABELS)


def test_leaks_and_reports_read_one_spelling_and_leave_clips_without_a_label_out():
    def features(labels):
        table = tiny_clips().table.drop(columns=["label", "emotion"], errors="ignore").assign(mood=labels)
        return BranchFeatures(*np.random.default_rng(0).normal(size=(3, 24, 2)), table)

    labels, quickly = tiny_clips().table["label"], {"n_shuffles": 2, "label": "mood"}
    plain, typed = (features(own) for own in (labels, labels.where(labels.index != 0, labels[0] + " ")))
    pd.testing.assert_frame_equal(diagnose.leakage(plain, **quickly), diagnose.leakage(typed, **quickly))
    quickly["n_permutations"] = 3
    rows = diagnose.decoupling_report(features([*MISSING, *labels[5:]]), **quickly).table
    assert set(rows.loc[rows["given"] == "emotion", "n_clips"]) == {24 - len(MISSING)}
    with pytest.raises(ValueError, match=r"'emotion'.* none of 24 clips"):
        diagnose.decoupling_report(features([pd.NA] * 24), given=["emotion"], **quickly)


@pytest.mark.parametrize("dtype", mostly_slow(["category", "Int64", "string", float], quick=2))
def test_the_dtype_of_a_label_column_does_not_matter_and_numbers_are_class_names(clips, dtype):
    numbers = dtype in ("Int64", float)
    given = with_labels(clips, pd.Series(np.arange(24) % 2 if numbers else clips.table["label"]).astype(dtype))
    config = MEDNConfig.for_clips(given, dim=16)
    assert config.classes == (("0", "1") if numbers else ("happiness", "others"))
    predictions = predict(MEDN(config, seed=1), given)
    true = np.array(config.classes)[np.arange(24) % 2] if numbers else clips.table["label"].to_numpy()
    right = (predictions.predicted == true).mean()
    assert confusion_matrix(predictions).to_numpy().trace() / 24 == pytest.approx(right)
    assert f"{right:.3f} of them right" in repr(predictions)


def test_missing_labels_are_counted_and_named(clips, model):
    labels = clips.table["label"].astype(object).copy()
    labels[range(3, 8)] = MISSING
    given = with_labels(clips, labels)
    predictions = predict(model, given)
    for call in (
        lambda: MEDNConfig.for_clips(given),
        lambda: fit(model, given, training=LOSO["training"], progress=False),
        lambda: evaluate.evaluate_loso(model.config, given, **LOSO),
        lambda: confusion_matrix(predictions),
        lambda: evaluate.bootstrap_interval(predictions),
        lambda: evaluate.compare_predictions(predictions, predictions),
    ):
        with pytest.raises(ValueError, match="5 of 24 clips have no label, such as 'tiny0_s00_c03'; write"):
            call()
    notes = evaluate.evaluation_summary(predictions, n_resamples=20).notes
    assert any("5 of 24 clips have no label" in note for note in notes)


def test_names_that_differ_in_capital_letters_are_refused(clips):
    given = with_labels(clips, clips.table["label"].where(clips.table.index != 0, "Others"))
    with pytest.raises(ValueError, match="'Others' and 'others', which differ in capital letters"):
        MEDNConfig.for_clips(given)
    for call in (evaluate.au_only_floor, of_a_bare_table):
        with pytest.raises(ValueError, match="'disgust' and 'Disgust', which differ in capital letters"):
            call(bare_table([*PAIR_LABELS[:5], "Disgust"]))


def test_the_index_of_a_table_does_not_matter(clips):
    table = clips.table.set_axis(range(100, 124)[::-1])
    assert check_label(table, label="label").tolist() == clips.table["label"].tolist()
    assert normalise_labels(table["label"]).index.equals(table.index)
    assert people(table).tolist() == people(clips.table).tolist()


def test_one_person_is_one_person_however_written_and_a_missing_one_is_nobody():
    for column in ([1, "1", 1.0, " 1"], pd.array([1, 1, 1, 1], "Int64")):
        table = pd.DataFrame({"clip_id": list("abcd"), "subject": column})
        assert people(table).tolist() == ["1"] * 4
        assert Predictions(np.zeros((4, 2)), table, ("x", "y")).table["subject"].tolist() == ["1"] * 4
    table = pd.DataFrame({"clip_id": list("abc"), "dataset": ["samm", "samm", "smic"], "subject": ["01", 1, "1"]})
    with pytest.raises(ValueError, match="'samm/01' and 'samm/1' differ only by zeros"):
        people(table)
    assert people(table[1:]).tolist() == ["samm/1", "smic/1"]
    for missing in (None, pd.NA, " "):
        table = pd.DataFrame({"clip_id": list("abc"), "subject": ["1", missing, "2"]})
        for given in (table, Clips(None, np.zeros((3, 32, 32, 2), np.float32), table).table):
            with pytest.raises(ValueError, match="1 of 3 clips have no subject"):
                people(given)


@pytest.mark.slow
def test_the_dtype_of_an_au_column_does_not_matter():
    table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)], "subject": np.repeat(list("abcd"), 10)})
    plain = table.assign(AU12=[1.0, 0.0, np.nan, 1.0] * 10)
    both = [np.random.default_rng(0).normal(size=(40, 3))] * 3
    tables = plain, table.assign(AU12=plain["AU12"].astype("Int64"))
    first, second = (diagnose.leakage(BranchFeatures(*both, one), targets=["aus"]) for one in tables)
    pd.testing.assert_frame_equal(first, second)
    unknown = pd.DataFrame({"age": pd.array([1, None, None], "Int64")})  # one class
    assert diagnose.partial_out(np.eye(3), factors=unknown).tolist() == [[0, 0, 0], [0, 0.5, -0.5], [0, -0.5, 0.5]]
