"""The decoupling report: its rows are what the single functions return, its page stands alone, its text is escaped."""

import html
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from planted_branches import AUS, planted

from medn_lab import diagnose
from medn_lab.diagnose import decoupling_report, family_wise_p, leakage, linear_cka, permutation_test
from medn_lab.diagnose.similarity import MEASURES
from medn_lab.records import DecouplingReport


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
    return decoupling_report(models, protocol="planted_2class", about=about, **how)


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
    classes = {"emotion": features.table["label"], "aus": features.table[AUS].astype(str).sum(axis=1)}
    for given, own in classes.items():
        tested[given] = [diagnose.partial_out(part, factors=own) for part in pair], by_person.assign(factor=own)
    expected, names = {}, ["value", "null_mean", "null_95", "p"]
    for given, (parts, groups) in tested.items():
        how = {"groups": groups, "n_permutations": 39, "seed": 3}
        tests = [permutation_test(one, *parts, **how) for one in MEASURES.values()]
        figures = pd.DataFrame([test.figures for test in tests])[names].to_numpy()
        assert table.loc[given, names].loc[[*MEASURES]].to_numpy() == pytest.approx(figures, nan_ok=True)
        expected[given] = family_wise_p(tests)
    least = 0.0
    for place, given in enumerate(sorted(expected, key=lambda name: expected[name].min())):  # Holm's steps
        found = np.clip((3 - place) * expected[given], least, 1)
        assert table.loc[given, "p_family"].to_list() == pytest.approx(found.tolist())
        least = found.min()
    within = {"": "subject", "aus": "subject and aus", "emotion": "subject and emotion"}
    assert table.groupby("given")["within"].first().to_dict() == within
    facts = table[["n_tests", "n_clips", "n_subjects", "direction"]].drop_duplicates()
    assert facts.to_numpy().tolist() == [[18, 96, 6, "lower"]]
    # What the branches should hold depends on each other as much as is allowed.
    true = linear_cka(features.table[AUS].to_numpy(), pd.get_dummies(features.table["cue"], dtype=float).to_numpy())
    assert table.loc[("", "linear_cka"), "allowed"] == pytest.approx(true)


def test_the_other_rows_are_those_of_leakage_conditional_leakage_and_usable_information(report):
    features, how, both = model(leak=3.0), {"seed": 3}, ("emotion", "motion")
    bits = [diagnose.usable_information(features, branch=one, readers=["ridge", "knn"], **how) for one in both]
    bits = pd.concat(bits).rename(columns={"reader": "measure"}).drop(columns=["bits", "prior_bits"])
    given = {
        "leakage": leakage(features, n_shuffles=5, **how).drop(columns="split"),
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
    report = decoupling_report(given, n_permutations=9, targets=[])
    assert "no emotion branch" in row(report, model="alone", measure="hsic", given="emotion")["reason"]
    within = report.table.query("model == 'lone'").groupby("given")["within"].first()
    assert within.to_dict() == {"": "", "aus": "aus", "emotion": "emotion"}  # no two clips of one subject
    assert set(report.table.query("model == 'bare'")["given"]) == {"", "emotion"}
    emotion = decoupling_report(whole, n_permutations=9, n_shuffles=0, n_exchanges=19, targets=["aus"])
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
    with pytest.raises(ValueError, match="a figure of the report is a str"):
        report.to_html(path, figures=["a caption alone"])
    assert path.read_text("utf-8") == text
    assert [one.name for one in tmp_path.iterdir()] == ["r.html"]
    table = pd.DataFrame({"measure": ["linear_cka"], "value": [0.1], "p": [np.nan], "direction": ["lower"]})
    text = DecouplingReport(table, {"name": "tiny"}).to_html(path).read_text("utf-8")  # of few columns
    assert "linear CKA" in text_of(text)
