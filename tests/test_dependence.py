"""Measures of dependence against outside programs, closed forms and invariances; permutation tests with their level.

The decoupling report: its rows are what the single functions return, its page stands alone, its text is escaped.
"""

import html
import itertools
import re
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from cases import assert_refuses, mostly_slow
from planted_branches import AUS, noise, planted
from scipy.linalg import sqrtm
from scipy.stats import kstest

from medn_lab import diagnose
from medn_lab.diagnose import branch_correlation, hsic, linear_cka, partial_out, permutation_test
from medn_lab.diagnose.similarity import MEASURES
from medn_lab.records import BranchFeatures, DecouplingReport, reports
from medn_lab.view.decoupling import MEANINGS

# Twelve clips without chance, so that another program can be given the same.
X = np.array([[i * 7 % 11, i * 5 % 13, i * i % 7] for i in range(12)], dtype=float)
Y = np.array([[i * 3 % 8, (i * i + i) % 9] for i in range(12)], dtype=float)

# The one value of each measure that does not need one width.
VALUES = {
    "linear_cka": linear_cka,
    "distance_correlation": diagnose.distance_correlation,
    "hsic": hsic,
    "branch_correlation": lambda x, y: branch_correlation(x, y).attrs["mean_square"],
    "canonical_correlations": lambda x, y: diagnose.canonical_correlations(x, y)[0],
}


def rotation(d):
    return np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]


def test_values_are_those_of_dcor_hyppo_numpy_and_closed_forms():
    # Printed in an environment of their own. dcor 0.7: dcor.u_distance_correlation_sqr(X, Y)
    # hyppo 0.5.2: hyppo.independence.Dcorr(bias=False).statistic(X, Y) gives the same.
    assert diagnose.distance_correlation(X, Y) == pytest.approx(0.5416721616340657, abs=1e-12)
    # dcor 0.7: u = [dcor.u_centered(g - np.diag(np.diag(g))) for g in (X @ X.T, Y @ Y.T)]
    # dcor.u_product(*u) / np.sqrt(dcor.u_product(u[0], u[0]) * dcor.u_product(u[1], u[1]))
    assert linear_cka(X, Y) == pytest.approx(0.521718177625243, abs=1e-12)
    # scikit-learn 1.9.1, dcor 0.7, scipy 1.17.1: d = [pdist(v) for v in (X, Y)]
    # k = [rbf_kernel(v, gamma=1 / (2 * np.median(a[a > 0]) ** 2)) for v, a in zip((X, Y), d)]
    # u = [dcor.u_centered(1 - m) for m in k]; dcor.u_product(*u)
    assert hsic(X, Y) == pytest.approx(0.020302530790686092, abs=1e-12)
    found = branch_correlation(np.column_stack([X, np.ones(12)]), Y)
    assert found.to_numpy()[:3] == pytest.approx(np.corrcoef(X.T, Y.T)[:3, 3:])
    assert found.loc[3].isna().all()
    x, y = np.array([[[1.0, 0], [2, 0], [0, 3], [1, 1]], [[5, 0], [0, 1], [0, -1], [1, 0]]])
    assert diagnose.absolute_cosine(x, y) == pytest.approx((1 + 0 + 1 + np.sqrt(0.5)) / 4)


def test_canonical_correlations_are_those_of_covariances_with_a_ridge():
    covariance, roots = np.cov(np.hstack([X, Y]).T), []
    for rows in (slice(0, 3), slice(3, 5)):
        own = covariance[rows, rows]
        roots.append(np.linalg.inv(sqrtm(own + 0.1 * np.diag(own).mean() * np.eye(len(own))).real))
    expected = np.linalg.svd(roots[0] @ covariance[:3, 3:] @ roots[1], compute_uv=False)
    assert diagnose.canonical_correlations(X, Y) == pytest.approx(expected)


def test_a_bent_dependence_is_found_by_distances_and_kernels_alone_and_a_cosine_of_0_is_not_independence():
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 300)
    x, y = np.column_stack([np.cos(angle), np.sin(angle)]), np.column_stack([np.cos(2 * angle), np.sin(2 * angle)])
    assert linear_cka(x, y) < 0.02 < min(diagnose.distance_correlation(x, y), hsic(x, y) / hsic(x, x))
    x = noise(60, 4)
    turned = np.stack([x[:, 1], -x[:, 0], x[:, 3], -x[:, 2]], axis=1)
    assert (diagnose.absolute_cosine(x, turned), linear_cka(x, turned)) == pytest.approx((0, 1))


@pytest.mark.parametrize("name", VALUES)
def test_what_must_not_matter_does_not_and_more_of_the_other_branch_gives_more(name):
    measure, order = VALUES[name], np.random.default_rng(0).permutation(12)
    if name != "canonical_correlations":  # independent noise is around 0
        values = [measure(noise(24, 8, seed=2 * s), noise(24, 6, seed=2 * s + 1)) for s in range(200)]
        assert min(values) < 0
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    moved = 0.01 * X @ rotation(3) + 7 if name != "branch_correlation" else X * [1, -20, 0.3]
    wide = np.column_stack([X, np.full(12, 3.3)])  # with a constant column
    for pair in ((X[order], Y[order]), (Y, X), (X.astype(np.float32), Y.astype(np.float32)), (wide, Y), (moved, Y)):
        assert measure(*pair) == pytest.approx(measure(X, Y))
    if name in ("linear_cka", "distance_correlation"):
        assert measure(X, 3 * X @ rotation(3) + 5) == pytest.approx(1.0)
    x, other = noise(80, 5), noise(80, 5, seed=1)
    values = [measure(x, share * x + other) for share in (0.0, 0.5, 1.0, 3.0)]
    assert values == sorted(values)
    assert np.isfinite(measure(np.repeat(X[:2], 2, axis=0), Y[:4]))  # four clips are the fewest, copies are clips


def test_what_does_not_fit_is_refused():
    test = partial(permutation_test, linear_cka, X, X)
    assert_refuses(hsic, X, Y[:10], match="12 rows and y has 10")
    assert_refuses(linear_cka, np.where(X[0] == X, np.nan, X), Y, match="x: .* not finite")
    assert_refuses(diagnose.absolute_cosine, X, Y, match="x is 3-d but y 2-d")
    assert_refuses(partial_out, X, factors=["a", "b"], match="12 rows but factors 2")
    assert_refuses(test, groups=np.arange(12), match="12 groups")
    assert_refuses(test, groups=np.zeros(11), match="12 rows but groups 11")
    assert_refuses(test, scheme="mirror", match="'mirror'")
    assert_refuses(test, scheme="shift", match=r"12 different shifts inside 1 groups, so p cannot be below 0\.083")


def test_the_overview_is_every_measure_that_fits_the_two_branches(monkeypatch):
    table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(12)], "subject": list("abc") * 4})
    found = diagnose.dependence(BranchFeatures(X, Y, X, table)).set_index("measure")["value"]
    expected = {name: value(X, Y) for name, value in VALUES.items()}  # the widths differ, so there is no cosine
    pd.testing.assert_series_equal(found, pd.Series(expected), check_names=False, check_like=True)
    assert len(diagnose.dependence(BranchFeatures(X, X[:, ::-1], X, table))) == len(MEASURES)
    assert set(MEASURES) == set(reports.MEASURES) <= set(MEANINGS)  # each has a name and a meaning for its reader
    assert_refuses(diagnose.dependence, BranchFeatures(X, None, X, table), match="no emotion branch")
    monkeypatch.setitem(MEASURES, "mine", linear_cka)
    few = diagnose.selection_measures(BranchFeatures(X, Y, X, table))(["c1"])
    assert set(few.loc[few["kind"] == "dependence", "measure"]) == {*expected, "mine"}


def test_a_factor_s_means_are_taken_off_and_what_two_branches_share_beyond_it_stays():
    rng, emotion = np.random.default_rng(1), np.tile(list("abcde"), 24)
    x, factors = noise(120, 4), pd.DataFrame({"emotion": emotion, "AU4": rng.integers(0, 2, 120)})
    means = pd.DataFrame(x).groupby([factors["emotion"], factors["AU4"]]).transform("mean")
    assert partial_out(x, factors=factors) == pytest.approx(x - means.to_numpy())
    assert not partial_out([1.0, 1.0, 5.0, 5.0], factors=["a", "a", None, None]).any()  # unknown is a class
    centres, given = 3 * noise(5, 4, seed=2)[np.tile(np.arange(5), 24)], partial(partial_out, factors=emotion)
    x, y = centres + noise(120, 4, seed=3), centres + noise(120, 4, seed=4)
    assert abs(linear_cka(given(x), given(y))) < 0.05 < 0.5 < linear_cka(x, y)
    assert linear_cka(given(x), given(x @ rotation(4) + 0.3 * noise(120, 4, seed=6))) > 0.8


def uniform(p_values):
    """The p of a Kolmogorov-Smirnov test against the uniform law, of tests with 39 permutations.

    p takes 40 values; spread evenly over its step it is continuous, as the test assumes.
    """
    return kstest(np.asarray(p_values) - np.random.default_rng(0).random(len(p_values)) / 40, "uniform").pvalue


def drifting(rng, *, groups, clips):
    """Features of three columns that drift in each group: autoregressive, .9 from clip to clip, variance 1."""
    found = rng.normal(size=(groups, clips, 3))
    for clip in range(1, clips):
        found[:, clip] = 0.9 * found[:, clip - 1] + np.sqrt(1 - 0.9**2) * found[:, clip]
    return found.reshape(-1, 3)


COUPLED = mostly_slow(itertools.product((linear_cka, diagnose.absolute_cosine), (False, True)))


@pytest.mark.parametrize(("measure", "given"), COUPLED)
def test_p_is_uniform_inside_subjects_or_emotions_where_these_alone_couple_the_branches(measure, given):
    inside, over_all = [], []
    groups = np.repeat(np.arange(4), 6)
    for draw in range(120):
        rng, test = np.random.default_rng(draw), partial(permutation_test, measure, seed=draw, n_permutations=39)
        levels = rng.normal(size=(2, 4, 2))
        x, y = (level[groups] + 0.5 * rng.normal(size=(24, 2)) for level in levels[[0, 0 if given else 1]])
        pair = [partial_out(part, factors=groups) for part in (x, y)] if given else (x, y)
        inside.append(test(*pair, groups=groups).p_value)
        if draw < 40:
            over_all.append(test(x, y).p_value)
    assert uniform(inside) > 0.01
    # Permuting everything calls the groups' levels a coupling in most draws, of a cosine in more than .05 of them.
    assert np.mean(np.array(over_all) <= 0.05) > (0.1 if measure is diagnose.absolute_cosine else 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "clips"), [(1, 200), (4, 80)])
def test_shifts_keep_the_level_where_independent_branches_drift_and_exchange_does_not(groups, clips):
    rejected = {"exchange": [], "shift": []}
    for draw in range(100):
        rng = np.random.default_rng(draw)
        pair = [drifting(rng, groups=groups, clips=clips) for _ in range(2)]
        for scheme, found in rejected.items():
            how = {"scheme": scheme, "groups": np.repeat(np.arange(groups), clips), "n_permutations": 39}
            found.append(permutation_test(branch_correlation, *pair, seed=draw, **how).p_value <= 0.05)
    assert np.mean(rejected["exchange"]) > 0.4
    assert abs(np.mean(rejected["shift"]) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 100)


def orders_seen(groups, **options):
    """The orders of y that a test passes to a measure, as row numbers."""
    seen, rows = [], np.arange(len(groups))
    permutation_test(lambda a, b: float(seen.append(b[:, 0].astype(int)) or 0), rows, rows, groups=groups, **options)
    return seen


@pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda measure: measure.__name__)
def test_the_prepared_measure_gives_what_calling_the_measure_gives(measure):
    x, y = noise(18, 4), noise(18, 4, seed=1) + noise(18, 4)
    called = VALUES.get(measure.__name__, diagnose.absolute_cosine)
    test = partial(permutation_test, x=x, y=y, groups=np.repeat([0, 1, 2], 6), seed=3, n_permutations=25)
    prepared, plain = test(measure), test(lambda a, b: called(a, b))
    assert [prepared.value, *prepared.null] == pytest.approx([plain.value, *plain.null], abs=1e-10)
    assert prepared.p_value == plain.p_value == (1 + (plain.null >= plain.value).sum()) / 26
    expected = {"null_mean": plain.null.mean(), "null_95": np.quantile(plain.null, 0.95)}
    assert {name: plain.figures[name] for name in expected} == pytest.approx(expected)
    assert diagnose.family_wise_p([prepared]).tolist() == [prepared.p_value]
    assert (test(measure, seed=4).null != prepared.null).any()


def test_clips_are_exchanged_inside_their_group_or_shifted_there_in_a_circle():
    groups = np.array(list("abacbacbb"))
    assert all((groups[order] == groups).all() for order in orders_seen(groups, n_permutations=50))
    every = [tuple(order) for order in orders_seen([0] * 4, n_permutations=4800)]  # each of 24 orders as often
    assert [every.count(order) for order in itertools.permutations(range(4))] == pytest.approx([200] * 24, rel=0.25)
    table = pd.DataFrame({"subject": list("aaabbb"), "emotion": ["x", "x", "y", "x", "y", "z"]})
    assert {tuple(order) for order in orders_seen(table, n_permutations=20)} == {(0, 1, 2, 3, 4, 5), (1, 0, 2, 3, 4, 5)}
    groups, moves = np.array(list("aabbbabbaab")), set()
    for order in orders_seen(groups, n_permutations=200, scheme="shift"):
        rows_of = [np.flatnonzero(groups == name) for name in "ab"]
        steps = [int(np.flatnonzero(rows == order[rows][0])[0]) for rows in rows_of]
        assert all((order[rows] == np.roll(rows, -step)).all() for rows, step in zip(rows_of, steps, strict=True))
        moves.add(tuple(steps))
    assert len(moves) == 5 * 6  # 200 draws meet every pair of numbers


def test_branches_that_drift_have_a_wider_null_by_shifts_and_a_report_says_what_its_null_assumes():
    rng, groups = np.random.default_rng(0), np.repeat(list("abcd"), 40)
    x, y = (drifting(rng, groups=4, clips=40) for _ in range(2))
    test = partial(permutation_test, linear_cka, x, x + y, groups=groups, n_permutations=99)
    assert test(scheme="shift").p_value == 0.01
    features = BranchFeatures(x, y, x, pd.DataFrame({"clip_id": [f"c{i}" for i in range(160)], "subject": groups}))
    report = partial(diagnose.decoupling_report, features, n_permutations=99, targets=[])
    exchange, shift = (report(scheme=scheme).table for scheme in ("exchange", "shift"))
    assert [set(rows["within"]) for rows in (exchange, shift)] == [{"subject"}, {"subject by shifts in time"}]
    assert shift["null_95"].iloc[0] > exchange["null_95"].iloc[0]


def test_the_p_of_a_family_is_the_share_of_the_largest_standardised_statistic():
    tests = [permutation_test(one, noise(30, 3), noise(30, 3, seed=1), n_permutations=99) for one in MEASURES.values()]
    every = np.array([[test.value, *test.null] for test in tests])
    standard = (every - every.mean(axis=1, keepdims=True)) / every.std(axis=1, keepdims=True)
    p = diagnose.family_wise_p(tests)
    assert p == pytest.approx([(standard.max(axis=0) >= one).mean() for one in standard[:, 0]])
    assert (p >= [test.p_value for test in tests]).all()
    test = tests[0]  # copies, scales and tests without a value change nothing
    scaled = replace(test, value=1 + 8 * test.value, null=1 + 8 * test.null)
    dead = permutation_test(hsic, np.ones((30, 2)), noise(30, 3), n_permutations=99)
    expected = [np.nan, *[test.p_value] * 3]
    assert diagnose.family_wise_p([dead, test, test, scaled]) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(diagnose.family_wise_p([dead])).all()


# --- the decoupling report --------------------------------------------------------------------------------------------


def model(leak=0.0):
    """A motion branch that holds the AUs and an emotion branch that holds the cue, and `leak` times AU6."""
    features = planted(inside=leak, n_subjects=6, clips=16)
    label = np.where((features.table["AU12"] == 1) & (features.table["cue"] == "flush"), "happiness", "others")
    return replace(features, table=features.table.assign(label=label), source={"name": "planted", "sha256": "ab" * 32})


@pytest.fixture(scope="module")
def report():
    models = {"without": model(leak=3.0), "bottleneck": replace(model(), nats=np.full(96, 0.8))}
    how = {"n_permutations": 39, "n_shuffles": 5, "n_exchanges": 19, "readers": ["ridge", "knn"], "seed": 3}
    about = {"decoupling": "none against bottleneck"}
    return diagnose.decoupling_report(models, protocol="planted_2class", about=about, **how)


def row(report, **keys):
    table, keys = report.table, ({"kind": "leakage"} if "branch" in keys else {}) | keys
    table = table[(table[list(keys)] == pd.Series(keys)).all(axis=1)]
    assert len(table) == 1, keys
    return table.iloc[0]


def test_dependence_is_the_permutation_test_inside_subjects_and_factor_with_one_family_of_all(report):
    features = model(leak=3.0)
    table = report.dependence.query("model == 'without'").set_index(["given", "measure"])
    pair, by_person = [features.motion, features.emotion], features.table[["subject"]]
    tested = {"": (pair, by_person)}
    for given, own in {"emotion": features.table["label"], "aus": features.table[AUS].astype(str).sum(axis=1)}.items():
        tested[given] = [diagnose.partial_out(part, factors=own) for part in pair], by_person.assign(factor=own)
    expected, names = {}, ["value", "null_mean", "null_95", "p"]
    for given, (parts, groups) in tested.items():
        how = {"groups": groups, "n_permutations": 39, "seed": 3}
        tests = [permutation_test(one, *parts, **how) for one in MEASURES.values()]
        figures = pd.DataFrame([test.figures for test in tests])[names].to_numpy()
        assert table.loc[given, names].loc[[*MEASURES]].to_numpy() == pytest.approx(figures, nan_ok=True)
        expected[given] = diagnose.family_wise_p(tests)
    least = 0.0
    for place, given in enumerate(sorted(expected, key=lambda name: expected[name].min())):  # Holm's steps
        found = np.clip((3 - place) * expected[given], least, 1)
        assert table.loc[given, "p_family"].to_list() == pytest.approx(found.tolist())
        least = found.min()
    within = {"": "subject", "aus": "subject and aus", "emotion": "subject and emotion"}
    assert table.groupby("given")["within"].first().to_dict() == within
    facts = table[["n_tests", "n_clips", "n_subjects", "direction"]].drop_duplicates()
    assert facts.to_numpy().tolist() == [[3 * len(MEASURES), 96, 6, "lower"]]
    # What the branches should hold depends on each other as much as is allowed.
    true = linear_cka(features.table[AUS].to_numpy(), pd.get_dummies(features.table["cue"], dtype=float).to_numpy())
    assert table.loc[("", "linear_cka"), "allowed"] == pytest.approx(true)


def test_the_other_rows_are_those_of_leakage_conditional_leakage_and_usable_information(report):
    features, how, both = model(leak=3.0), {"seed": 3}, ("emotion", "motion")
    bits = [diagnose.usable_information(features, branch=one, readers=["ridge", "knn"], **how) for one in both]
    bits = pd.concat(bits).rename(columns={"reader": "measure"}).drop(columns=["bits", "prior_bits"])
    given = {
        "leakage": diagnose.leakage(features, n_shuffles=5, **how).drop(columns="split"),
        "conditional": pd.concat(diagnose.conditional_leakage(features, branch=b, n_exchanges=19, **how) for b in both),
        "readers": bits[~bits["target"].isin(AUS)],  # without single AUs
    }
    for kind, own in given.items():
        table = getattr(report, kind).query("model == 'without'").reset_index(drop=True)
        pd.testing.assert_frame_equal(table[list(own)], own.reset_index(drop=True), check_dtype=False)
    assert report.leakage["p_family"].isna().all()


def test_each_row_has_its_good_direction_and_information_the_entropy_of_the_cue(report):
    good = report.leakage.query("model == 'without'").set_index(["branch", "target"])["direction"]
    held = {"motion": [*AUS, "AUs"], "emotion": ["cue"], "fused": [*AUS, "AUs", "emotion", "cue"]}
    assert {one: list(good[one][good[one] == "higher"].index) for one in held} == held
    assert set(good) == {"higher", "at most allowed"}
    shares = model().table["cue"].value_counts(normalize=True)
    found = row(report, kind="information")
    assert found["model"] == "bottleneck"
    assert found[["value", "low", "high"]].to_numpy(dtype=float) == pytest.approx(0.8)
    assert found["allowed"] == pytest.approx(-(shares * np.log(shares)).sum())


def test_what_is_missing_has_a_reason_and_what_costs_time_can_be_left_out():
    whole = model()
    given = {
        "alone": replace(whole, emotion=None),
        "lone": replace(whole, table=whole.table.assign(subject=[f"s{i}" for i in range(96)])),
        "bare": replace(whole, table=whole.table.drop(columns=["cue", "AU4", "AU6"]).assign(AU12=np.nan)),
    }
    report = diagnose.decoupling_report(given, n_permutations=9, targets=[])
    assert "no emotion branch" in row(report, model="alone", measure="hsic", given="emotion")["reason"]
    within = report.table.query("model == 'lone'").groupby("given")["within"].first()
    assert within.to_dict() == {"": "", "aus": "aus", "emotion": "emotion"}  # no two clips of one subject
    assert set(report.table.query("model == 'bare'")["given"]) == {"", "emotion"}
    emotion = diagnose.decoupling_report(whole, n_permutations=9, n_shuffles=0, n_exchanges=19, targets=["aus"])
    assert set(emotion.table["kind"]) == {"dependence", "leakage", "conditional"}
    assert set(emotion.conditional["branch"]) == {"emotion"}


def test_it_comes_back_from_the_disk_with_how_it_was_made(report, tmp_path):
    again = DecouplingReport.load(report.save(tmp_path / "report"))
    pd.testing.assert_frame_equal(again.table, report.table, check_dtype=False)
    assert (again.source, repr(again)) == (report.source, repr(report))
    parameters, facts = report.source["parameters"], report.source["models"]["without"]
    assert (parameters["readers"], parameters["exchanges"], parameters["seed"]) == (["ridge", "knn"], 19, 3)
    assert (facts["sha256"], facts["data sets"]) == ("ab" * 32, {"planted": 96})
    assert {"medn-lab", "numpy", "pandas"} <= set(report.source["versions"])
    cka = row(report, model="without", measure="linear_cka", given="")
    assert f"without: linear CKA {cka['value']:.3f} (p {cka['p']:.2g})" in repr(report)


def test_it_says_whether_the_order_of_models_depends_on_the_reader():
    for knn, half, verdict in (
        ((0.0, 0.1), 0.01, "does not depend on the reader (ridge, knn: a < b)"),
        ((0.2, 0.1), 0.01, "depends on the reader (ridge: a < b; knn: b < a)"),
        ((0.2, 0.1), 0.08, "only where their intervals overlap (ridge: a < b; knn"),
    ):
        table = pd.DataFrame({"measure": ["ridge", "ridge", "knn", "knn"], "model": list("abab")})
        table = table.assign(value=[0.1, 0.2, *knn], kind="readers", branch="emotion", target="AUs", excess=np.nan)
        found = DecouplingReport(table.assign(low=table["value"] - half, high=table["value"] + half))
        assert verdict in found.reader_order


def text_of(page):
    """The text of a page, every tag taken off, each blank once."""
    body = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(body))


def test_it_holds_every_figure_and_how_it_was_made_and_fetches_nothing(report, tmp_path):
    dot = SimpleNamespace(to_plotly_json=dict, to_html=lambda **_: "<p>a dot</p>")  # a figure without a script
    page = report.to_html(tmp_path / "deep" / "report.html", figures={"a dot": dot}).read_text("utf-8")
    text = text_of(page)
    leak, mean = (row(report, model="without", branch="emotion", target=target) for target in ("AU4", "AUs"))
    cka = row(report, model="without", measure="linear_cka", given="")
    inside = row(report, kind="conditional", model="without", branch="emotion", target="AU4")
    bits = row(report, kind="readers", model="without", measure="knn", target="AUs")
    worst = f"worst {mean['worst_target']} {mean['worst_auc']:.3f}"
    assert worst in repr(report)
    for fact in (
        "without", "bottleneck", "ab" * 32, "planted_2class", "none against bottleneck", "seed", "numpy", worst,
        f"{leak['value']:.3f}", "inside subject and emotion (given emotion)", "inside subject and cue (given cue)",
        f"{leak['allowed']:.3f} {leak['excess']:+.3f} [".replace("-", "−"),
        f"{cka['p']:.3f} {cka['p_family']:.3f}", f"{inside['p']:.3f} {inside['p_family']:.3f}",
        f"{bits['excess']:+.3f} [".replace("-", "−"),
        report.reader_order, "96 clips of 6 subjects",
    ):  # fmt: skip
        assert fact in text
    assert not re.findall('(?:src|href)="', page)
    for tag in ("table", "tr", "td", "th", "figure", "h2", "div"):
        assert len(re.findall(f"<{tag}[ >]", page)) == page.count(f"</{tag}>")


def test_plotly_is_inside_once_and_only_a_whole_page_replaces_another(report, tmp_path):
    path = tmp_path / "r.html"
    text = report.to_html(path, figures=[go.Figure(go.Bar(x=[1], y=[2]))] * 2).read_text("utf-8")
    assert text.count("Plotly.newPlot(") >= 2
    assert 3e6 < len(text) < 8e6
    assert not re.search(r"<script[^>]+src=|@import |<link|<iframe", text)
    assert_refuses(report.to_html, path, figures=["a caption alone"], match="a figure of the report is a str")
    assert path.read_text("utf-8") == text
    assert [one.name for one in tmp_path.iterdir()] == ["r.html"]
    table = pd.DataFrame({"measure": ["linear_cka"], "value": [0.1], "p": [np.nan], "direction": ["lower"]})
    # Of few columns.
    assert "linear CKA" in text_of(DecouplingReport(table, {"name": "tiny"}).to_html(path).read_text("utf-8"))
