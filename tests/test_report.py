"""The decoupling report: its rows are what the single functions return, its page stands alone, its text is escaped."""

import html
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from medn_lab.diagnose import (
    conditional_leakage,
    decoupling_report,
    family_wise_p,
    leakage,
    linear_cka,
    partial_out,
    permutation_test,
    usable_information,
)
from medn_lab.diagnose.similarity import MEASURES
from medn_lab.records import BranchFeatures, DecouplingReport

DOT = SimpleNamespace(to_plotly_json=dict, to_html=lambda **_: "<p>a dot</p>")  # a figure without a script
AUS = ["AU4", "AU12"]


def planted(*, name="planted", leak=0.0, seed=0, n_subjects=6, clips=16):
    """A motion branch that holds the AUs and an emotion branch that holds the cue, and `leak` times the AUs."""
    rng = np.random.default_rng(seed)
    n = n_subjects * clips
    table = pd.DataFrame({"clip_id": [f"c{i:03d}" for i in range(n)], "dataset": "planted"}).assign(
        subject=np.repeat([f"s{i}" for i in range(n_subjects)], clips),
        AU4=rng.integers(0, 2, n) * 1.0, AU12=rng.integers(0, 2, n) * 1.0, cue=rng.choice(["flush", "pallor"], n),
    )  # fmt: skip
    table["label"] = np.where((table["AU12"] == 1) & (table["cue"] == "flush"), "happiness", "others")
    aus = table[AUS].to_numpy()
    mixing, other = rng.normal(size=(2, 4)), rng.normal(size=(2, 4))
    motion = aus @ mixing + 0.2 * rng.normal(size=(n, 4))
    emotion = np.outer(table["cue"] == "flush", rng.normal(size=4)) + leak * aus @ other + 0.2 * rng.normal(size=(n, 4))
    return BranchFeatures(
        motion, emotion, np.hstack([motion, emotion]), table, source={"name": name, "sha256": "ab" * 32}
    )


@pytest.fixture(scope="module")
def report():
    models = {"without": planted(leak=1.5), "bottleneck": replace(planted(), nats=np.full(96, 0.8))}
    how = {"n_permutations": 99, "n_shuffles": 5, "n_exchanges": 19, "readers": ["ridge", "knn"], "seed": 3}
    about = {"decoupling": "none against bottleneck"}
    return decoupling_report(models, protocol="planted_2class", about=about, **how)


def row(report, **keys):
    table, keys = report.table, ({"kind": "leakage"} if "branch" in keys else {}) | keys
    table = table[(table[list(keys)] == pd.Series(keys)).all(axis=1)]
    assert len(table) == 1, keys
    return table.iloc[0]


class TestRows:
    def test_dependence_is_the_permutation_test_inside_subjects_and_factor_with_one_family_of_all(self, report):
        features = planted(leak=1.5)
        table = report.dependence.query("model == 'without'").set_index(["given", "measure"])
        by_person = features.table[["subject"]]
        classes = {"emotion": features.table["label"], "aus": features.table[AUS].astype(str).sum(axis=1)}
        tested = {"": ([features.motion, features.emotion], by_person)}
        for given, own in classes.items():
            pair = [partial_out(part, factors=own) for part in (features.motion, features.emotion)]
            tested[given] = pair, by_person.assign(factor=own)
        expected = {}
        for given, (pair, groups) in tested.items():
            tests = [
                permutation_test(one, *pair, groups=groups, n_permutations=99, seed=3) for one in MEASURES.values()
            ]
            for measure, test in zip(MEASURES, tests, strict=True):
                names = ["value", "null_mean", "null_95", "p"]
                figures = [test.figures[name] for name in names]
                assert table.loc[(given, measure), names].to_list() == pytest.approx(figures, nan_ok=True)
            expected[given] = family_wise_p(tests)
        least = 0.0
        for place, given in enumerate(sorted(expected, key=lambda name: expected[name].min())):  # Holm's steps
            found = np.clip((3 - place) * expected[given], least, 1)
            assert table.loc[given, "p_family"].to_list() == pytest.approx(found.tolist())
            least = found.min()
        assert table.groupby("given")["within"].first().to_dict() == {
            "": "subject", "aus": "subject and aus", "emotion": "subject and emotion"
        }  # fmt: skip
        assert (table["n_tests"] == 18).all()
        assert (set(table["n_clips"]), set(table["n_subjects"]), set(table["direction"])) == ({96}, {6}, {"lower"})
        # What the branches should hold depends on each other as much as is allowed.
        cue = pd.get_dummies(features.table["cue"], dtype=float).to_numpy()
        assert table.loc[("", "linear_cka"), "allowed"] == pytest.approx(
            linear_cka(features.table[AUS].to_numpy(), cue)
        )

    def test_the_other_rows_are_those_of_leakage_conditional_leakage_and_usable_information(self, report):
        features, how, both = planted(leak=1.5), {"seed": 3}, ("emotion", "motion")
        bits = [usable_information(features, branch=one, readers=["ridge", "knn"], **how) for one in both]
        bits = pd.concat(bits).rename(columns={"reader": "measure"}).drop(columns=["bits", "prior_bits"])
        given = {
            "leakage": leakage(features, n_shuffles=5, **how).drop(columns="split"),
            "conditional": pd.concat(
                [conditional_leakage(features, branch=one, n_exchanges=19, **how) for one in both]
            ),
            "readers": bits[~bits["target"].isin(AUS)],  # without single AUs
        }
        for kind, own in given.items():
            table = getattr(report, kind).query("model == 'without'").reset_index(drop=True)
            pd.testing.assert_frame_equal(table[list(own)], own.reset_index(drop=True), check_dtype=False)
        assert report.leakage["p_family"].isna().all()

    def test_the_leak_is_found_and_its_absence_too(self, report):
        for measure in ("linear_cka", "distance_correlation", "hsic", "branch_correlation"):
            assert row(report, model="without", measure=measure, given="")["p"] == pytest.approx(0.01)
            assert row(report, model="bottleneck", measure=measure, given="")["p"] > 0.05
        # Given the AU set a branch that is the AUs has nothing left to share.
        assert row(report, model="without", measure="linear_cka", given="aus")["p"] > 0.02
        assert row(report, model="without", branch="emotion", target="AUs")["excess_low"] > 0.2
        assert abs(row(report, model="bottleneck", branch="emotion", target="AUs")["excess"]) < 0.1
        for model, found in (("without", True), ("bottleneck", False)):
            leak = row(report, kind="conditional", model=model, branch="emotion", target="AUs")
            assert (leak["given"], leak["p"] <= 0.05) == ("cue", found)

    def test_what_costs_time_can_be_left_out(self):
        emotion = decoupling_report(planted(), n_permutations=9, n_shuffles=0, n_exchanges=19, targets=["aus"])
        assert set(emotion.table["kind"]) == {"dependence", "leakage", "conditional"}
        assert set(emotion.conditional["branch"]) == {"emotion"}
        assert emotion.reader_order == ""

    def test_each_row_has_its_good_direction_and_information_the_entropy_of_the_cue(self, report):
        good = report.leakage.query("model == 'without'").set_index(["branch", "target"])["direction"]
        held = {"motion": ["AU4", "AU12", "AUs"], "emotion": ["cue"]}
        held["fused"] = [*held["motion"], "emotion", "cue"]
        higher = {(branch, target) for branch, targets in held.items() for target in targets}
        assert set(good[good == "higher"].index) == higher
        assert set(good.drop(list(higher))) == {"at most allowed"}
        shares = planted().table["cue"].value_counts(normalize=True)
        found = row(report, kind="information")
        assert found["model"] == "bottleneck"
        assert found[["value", "low", "high"]].to_numpy(dtype=float) == pytest.approx(0.8)
        assert found["allowed"] == pytest.approx(-(shares * np.log(shares)).sum())

    def test_what_is_missing_has_a_reason_or_is_not_given(self):
        whole = planted()
        given = {
            "alone": replace(whole, emotion=None),
            "lone": replace(whole, table=whole.table.assign(subject=[f"s{i}" for i in range(96)])),
            "bare": replace(whole, table=whole.table.drop(columns=["cue", "AU4"]).assign(AU12=np.nan)),
        }
        report = decoupling_report(given, n_permutations=9, targets=[])
        assert "no emotion branch" in row(report, model="alone", measure="hsic", given="emotion")["reason"]
        within = report.table.query("model == 'lone'").groupby("given")["within"].first()
        assert within.to_dict() == {"": "", "aus": "aus", "emotion": "emotion"}  # no two clips of one subject
        assert set(report.table.query("model == 'bare'")["given"]) == {"", "emotion"}
        with pytest.raises(ValueError, match="nothing can be given 'posture'"):
            decoupling_report(whole, n_permutations=1, given=["posture"])


class TestRecord:
    def test_it_comes_back_from_the_disk_with_how_it_was_made(self, report, tmp_path):
        again = DecouplingReport.load(report.save(tmp_path / "report"))
        pd.testing.assert_frame_equal(again.table, report.table, check_dtype=False)
        assert (again.source, repr(again)) == (report.source, repr(report))
        parameters, facts = report.source["parameters"], report.source["models"]["without"]
        assert (parameters["readers"], parameters["exchanges"], parameters["seed"]) == (["ridge", "knn"], 19, 3)
        assert (facts["sha256"], facts["data sets"]) == ("ab" * 32, {"planted": 96})
        assert report.source["protocol"] == "planted_2class"
        assert {"medn-lab", "numpy", "pandas"} <= set(report.source["versions"])
        cka = row(report, model="without", measure="linear_cka", given="")
        _, first, second = repr(report).splitlines()
        assert f"without: linear cka {cka['value']:.3f} (p 0.01)" in first
        assert "AUs from the emotion branch" in second

    def test_it_says_whether_the_order_of_models_depends_on_the_reader(self):
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


class TestPage:
    def test_it_holds_every_figure_and_how_it_was_made_and_fetches_nothing(self, report, tmp_path):
        page = report.to_html(tmp_path / "deep" / "report.html", figures={"a dot": DOT}).read_text("utf-8")
        text = text_of(page)
        for fact in ("without", "bottleneck", "ab" * 32, "planted_2class", "none against bottleneck", "seed", "numpy"):
            assert fact in text
        leak = row(report, model="without", branch="emotion", target="AU4")
        cka = row(report, model="without", measure="linear_cka", given="")
        inside = row(report, kind="conditional", model="without", branch="emotion", target="AU4")
        bits = row(report, kind="readers", model="without", measure="knn", target="AUs")
        mean = row(report, model="without", branch="emotion", target="AUs")
        worst = f"worst {mean['worst_target']} {mean['worst_auc']:.3f}"
        assert worst in repr(report)
        for figure in (
            worst,
            f"{leak['value']:.3f}",
            f"{leak['allowed']:.3f} {leak['excess']:+.3f} [".replace("-", "−"),
            "inside subject and emotion (given emotion)",
            f"{cka['p']:.3f} {cka['p_family']:.3f}",
            "inside subject and cue (given cue)",
            f"{inside['value']:.3f} [{inside['low']:.3f}, {inside['high']:.3f}]",
            f"{inside['p']:.3f} {inside['p_family']:.3f}",
            f"{bits['excess']:+.3f} [".replace("-", "−"),
            report.reader_order,
            "96 clips of 6 subjects",
        ):
            assert figure in text
        assert not re.findall('(?:src|href)="', page)
        for tag in ("table", "tr", "td", "th", "figure", "h2", "div"):
            assert len(re.findall(f"<{tag}[ >]", page)) == page.count(f"</{tag}>")

    def test_plotly_is_inside_once_and_a_page_replaces_an_older_one_only_when_it_is_whole(self, report, tmp_path):
        figure = go.Figure(go.Bar(x=[1], y=[2]))
        path = report.to_html(tmp_path / "r.html", figures=[figure, figure])
        text = path.read_text("utf-8")
        assert text.count("Plotly.newPlot(") >= 2
        assert 3e6 < len(text) < 8e6
        assert not re.search(r"<script[^>]+src=|@import |<link|<iframe", text)
        with pytest.raises(ValueError, match="a figure of the report is a str"):
            report.to_html(path, figures=["a caption alone"])
        assert path.read_text("utf-8") == text
        assert [one.name for one in tmp_path.iterdir()] == ["r.html"]

    def test_what_data_say_is_text_and_never_a_tag_and_a_report_with_few_columns_is_drawn_too(self, report, tmp_path):
        nasty = '<script>alert("x")</script>'
        facts = {"models": {nasty: {nasty: nasty}}, "protocol": nasty, "about": {nasty: nasty}}
        evil = DecouplingReport(report.table.assign(model=nasty, reason=nasty), report.source | facts)
        page = evil.to_html(tmp_path / "r.html", title=nasty, figures={nasty: DOT}).read_text("utf-8")
        assert "<script" not in page
        assert nasty in text_of(page)
        table = pd.DataFrame({"measure": ["linear_cka"], "value": [0.1], "p": [np.nan], "direction": ["lower"]})
        text = DecouplingReport(table, {"name": "tiny"}).to_html(tmp_path / "r.html").read_text("utf-8")
        assert "linear CKA" in text_of(text)
