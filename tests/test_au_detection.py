"""AU figures: scikit-learn's numbers, the positives behind them, and no figure where there are none."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit
from sklearn.metrics import f1_score, roc_auc_score

from medn_lab.evaluate import au_detection
from medn_lab.evaluate.resampling import draw_subjects
from medn_lab.records import Predictions

AUS = ("AU1", "AU4", "AU12", "AU20")


def scored(coded, logits, *, subjects=None, aus=AUS):
    coded, logits = np.asarray(coded, dtype=float), np.asarray(logits, dtype=np.float32)
    n = len(coded)
    table = pd.DataFrame({"clip_id": [f"c{i}" for i in range(n)], "label": "others"})
    table["subject"] = [f"s{i % 4}" for i in range(n)] if subjects is None else subjects
    table[list(aus)] = coded
    return Predictions(np.zeros((n, 1), np.float32), table, ("others",), au_logits=logits, aus=aus)


@pytest.fixture(scope="module")
def drawn():
    """Scores rounded to quarters, so that there are ties; the last AU is shown by no one."""
    generator = np.random.default_rng(0)
    coded = (generator.random((120, 4)) < [0.5, 0.2, 0.05, 0.0]).astype(float)
    coded[generator.random((120, 4)) < 0.1] = np.nan
    logits = np.round(4 * (np.nan_to_num(coded) - 0.4 + generator.normal(0, 0.6, coded.shape))) / 4
    return scored(coded, logits)


def test_auc_and_f1_are_those_of_scikit_learn_over_the_coded_clips(drawn):
    rows = au_detection(drawn).table.set_index("au")
    for column, au in enumerate(AUS[:3]):
        coded = drawn.table[au].to_numpy()
        known = ~np.isnan(coded)
        logits = drawn.au_logits[known, column]
        assert rows.loc[au, "auc"] == pytest.approx(roc_auc_score(coded[known], logits))
        assert rows.loc[au, "f1"] == pytest.approx(f1_score(coded[known], logits >= 0))
        counted = (rows.loc[au, "n_positive"], rows.loc[au, "n_negative"], rows.loc[au, "n_unknown"])
        assert counted == ((coded == 1).sum(), (coded == 0).sum(), (~known).sum())


def test_the_interval_is_that_of_repeated_clips(drawn):
    rows = au_detection(drawn, n_resamples=150, seed=4).table.set_index("au")
    draws = draw_subjects(drawn.table, n_resamples=150, level=0.95, seed=4)
    coded = drawn.table["AU4"].to_numpy()
    aucs, f1s = [], []
    for counts in draws.counts.astype(int):
        repeated = np.repeat(np.arange(len(coded)), counts[draws.person])
        repeated = repeated[~np.isnan(coded[repeated])]
        aucs.append(roc_auc_score(coded[repeated], drawn.au_logits[repeated, 1]))
        f1s.append(f1_score(coded[repeated], drawn.au_logits[repeated, 1] >= 0))
    known = int((~np.isnan(coded)).sum())
    for name, values in (("auc", aucs), ("f1", f1s)):
        bounds = draws.bounds(np.array(values), n_clips=known, share=True, n_people=int(rows.loc["AU4", "n_subjects"]))
        assert tuple(rows.loc["AU4", [f"{name}_low", f"{name}_high"]]) == pytest.approx(bounds)


def test_an_au_without_positives_gets_no_figure_and_says_why(drawn):
    found = au_detection(drawn)
    row = found.table.set_index("au").loc["AU20"]
    assert np.isnan(row[["auc", "auc_low", "f1", "f1_high"]].to_numpy(dtype=float)).all()
    assert row["reason"] == f"no positive among {row['n_negative']} coded clips"
    assert f"AU20  none: {row['reason']}" in repr(found)
    assert not row["in_macro"]


def test_an_au_that_is_coded_nowhere_or_everywhere_gets_no_figure():
    coded = np.full((8, 4), np.nan)
    coded[:, 1] = 1
    coded[:, 2] = [0, 1] * 4
    rows = au_detection(scored(coded, np.zeros((8, 4))), min_positives=1).table.set_index("au")
    assert rows.loc["AU1", "reason"] == "it is coded in no clip"
    assert rows.loc["AU4", "reason"] == "no negative among 8 coded clips"
    assert rows.loc["AU12", "auc"] == 0.5  # all tied


def test_positives_of_one_subject_have_a_figure_and_no_interval():
    coded = np.zeros((8, 1))
    coded[0:8:4] = 1
    row = au_detection(scored(coded, 2 * coded - 1, aus=("AU1",)), min_positives=1).table.iloc[0]
    assert (row["auc"], row["f1"], row["n_subjects"]) == (1.0, 1.0, 1)
    assert np.isnan(row["auc_low"])
    assert row["reason"] == "all positives are of one subject: no interval"


def test_perfect_scores_give_one_with_the_interval_of_so_many_clips():
    coded = np.tile([[1, 0], [0, 1]], (8, 1))
    found = au_detection(scored(coded, 2 * coded - 1, aus=("AU1", "AU2")), min_positives=2)
    for interval in (found.macro_auc, found.macro_f1):
        assert (interval.value, interval.high) == (1.0, 1.0)
        t = stdtrit(interval.n_subjects - 1, 0.975)
        assert interval.low == pytest.approx(interval.n_clips / (interval.n_clips + t**2))


def test_scores_without_knowledge_stand_at_one_half():
    generator = np.random.default_rng(1)
    coded = (generator.random((4000, 1)) < 0.3).astype(float)
    row = au_detection(scored(coded, generator.normal(size=coded.shape), aus=("AU1",))).table.iloc[0]
    assert row["auc"] == pytest.approx(0.5, abs=0.03)


def test_the_macro_mean_is_over_aus_with_enough_positives(drawn):
    found = au_detection(drawn, min_positives=10)
    inside = found.table[found.table["n_positive"] >= 10]
    assert set(inside["au"]) == {"AU1", "AU4"}
    assert found.macro_auc.value == pytest.approx(inside["auc"].mean())
    assert found.macro_f1.value == pytest.approx(inside["f1"].mean())
    assert "over 2 of 4 AUs, those with 10 positives or more" in repr(found)
    none = au_detection(drawn, min_positives=500)
    assert none.macro_auc is None
    assert "no AU has 500 positives or more" in repr(none)


def test_figures_do_not_depend_on_the_order_of_clips(drawn):
    shuffled = drawn.select(np.random.default_rng(0).permutation(drawn.table["clip_id"]))
    pd.testing.assert_frame_equal(au_detection(drawn).table, au_detection(shuffled).table)


def test_predictions_without_au_scores_are_refused(drawn):
    bare = Predictions(drawn.logits, drawn.table, drawn.classes)
    with pytest.raises(ValueError, match="hold no AU scores"):
        au_detection(bare)
    with pytest.raises(ValueError, match="min_positives must be at least 1; got 0"):
        au_detection(drawn, min_positives=0)
