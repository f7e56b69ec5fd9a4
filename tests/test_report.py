"""The decoupling report: its rows are what the instruments say, its page stands alone, its text is escaped."""

import re
from dataclasses import replace
from html.parser import HTMLParser

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

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)
AUS = ["AU4", "AU12"]


def planted(*, name="planted", leak=0.0, seed=0, n_subjects=6, clips=16):
    """A motion branch that holds the AUs and an emotion branch that holds the cue, and `leak` times the AUs."""
    rng = np.random.default_rng(seed)
    n = n_subjects * clips
    table = pd.DataFrame(
        {
            "clip_id": [f"c{i:03d}" for i in range(n)],
            "dataset": "planted",
            "subject": np.repeat([f"s{i}" for i in range(n_subjects)], clips),
            "AU4": rng.integers(0, 2, n) * 1.0,
            "AU12": rng.integers(0, 2, n) * 1.0,
            "cue": rng.choice(["flush", "pallor"], n),
        }
    )
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
    return decoupling_report(
        models,
        n_permutations=99,
        n_shuffles=5,
        protocol="planted_2class",
        about={"decoupling": "none against bottleneck"},
        readers=["ridge", "knn"],
        seed=3,
    )


def row(report, **keys):
    table, keys = report.table, ({"kind": "leakage"} if "branch" in keys else {}) | keys
    for name, value in keys.items():
        table = table[table[name] == value]
    assert len(table) == 1, keys
    return table.iloc[0]


class TestRows:
    @pytest.mark.parametrize("given", ["", "emotion"])
    def test_a_row_of_dependence_is_the_permutation_test_inside_subjects_and_factor(self, report, given):
        features = planted(leak=1.5)
        pair, groups = [features.motion, features.emotion], features.table[["subject"]]
        if given:
            groups = features.table[["subject", "label"]]
            pair = [partial_out(part, factors=features.table["label"]) for part in pair]
        test = permutation_test(linear_cka, *pair, groups=groups, n_permutations=99, seed=3)
        found = row(report, model="without", measure="linear_cka", given=given)
        assert found[["value", "null_mean", "null_95", "p"]].to_list() == [
            test.value, test.null_mean, test.null_95, test.p_value,
        ]  # fmt: skip
        assert found["within"] == ("subject and emotion" if given else "subject")
        assert (found["n_clips"], found["n_subjects"]) == (96, 6)

    def test_the_rows_of_leakage_are_those_of_leakage(self, report):
        own = leakage(planted(leak=1.5), n_shuffles=5, seed=3)
        table = report.leakage
        table = table[table["model"] == "without"].reset_index(drop=True)
        same = [name for name in own if name != "split"]
        pd.testing.assert_frame_equal(table[same], own[same], check_dtype=False)

    def test_the_leak_is_found_and_its_absence_too(self, report):
        for measure in ("linear_cka", "distance_correlation", "hsic", "branch_correlation"):
            assert row(report, model="without", measure=measure, given="")["p"] == pytest.approx(0.01)
            assert row(report, model="bottleneck", measure=measure, given="")["p"] > 0.05
        leak = row(report, model="without", branch="emotion", target="AUs")
        assert leak["excess_low"] > 0.2
        assert abs(row(report, model="bottleneck", branch="emotion", target="AUs")["excess"]) < 0.1

    def test_the_rows_of_a_conditional_leak_are_those_of_conditional_leakage(self, report):
        for branch in ("emotion", "motion"):
            own = conditional_leakage(planted(leak=1.5), branch=branch, n_exchanges=99, seed=3)
            table = report.conditional.query("model == 'without' and branch == @branch").reset_index(drop=True)
            pd.testing.assert_frame_equal(table[list(own)], own, check_dtype=False)
        assert report.conditional.query("branch == 'emotion'")["target"].tolist() == 2 * [*AUS, "AUs"]
        for model, found in (("without", True), ("bottleneck", False)):
            leak = row(report, kind="conditional", model=model, branch="emotion", target="AUs")
            assert (leak["given"], leak["p"] <= 0.05) == ("cue", found)

    def test_the_rows_of_readers_are_those_of_usable_information_without_single_aus(self, report):
        own = usable_information(planted(leak=1.5), readers=["ridge", "knn"], seed=3).query("target == 'AUs'")
        table = report.readers.query("model == 'without' and branch == 'emotion'")
        assert table["measure"].tolist() == own["reader"].tolist() == ["ridge", "knn"]
        same = [
            "target",
            "value",
            "low",
            "high",
            "allowed",
            "excess",
            "excess_low",
            "excess_high",
            "n_clips",
            "direction",
        ]
        assert table[same].to_numpy().tolist() == own[same].to_numpy().tolist()
        assert set(report.readers["target"]) == {"AUs", "cue"}

    def test_the_family_is_all_measures_and_factors_of_a_model(self, report):
        table = report.dependence.query("model == 'without'").set_index(["given", "measure"])
        features, expected = planted(leak=1.5), {}
        for given, column in {"": None, "emotion": "label", "aus": "AU set"}.items():
            groups, pair = features.table[["subject"]], [features.motion, features.emotion]
            if given:
                classes = features.table["label"] if column == "label" else features.table[AUS].astype(str).sum(axis=1)
                groups = groups.assign(factor=classes)
                pair = [partial_out(part, factors=classes) for part in pair]
            tests = [
                permutation_test(one, *pair, groups=groups, n_permutations=99, seed=3) for one in MEASURES.values()
            ]
            expected[given] = family_wise_p(tests)
        least = 0.0
        for place, given in enumerate(sorted(expected, key=lambda name: expected[name].min())):  # Holm's steps
            found = np.clip((3 - place) * expected[given], least, 1)
            assert table.loc[given, "p_family"].to_list() == pytest.approx(found.tolist())
            least = found.min()
        assert (table["p_family"] >= table["p"]).all()
        assert (table["n_tests"] == 18).all()
        assert set(table["family"]) == {"measures and given factors of one model"}
        assert report.leakage["p_family"].isna().all()

    def test_what_costs_time_can_be_left_out(self):
        without = decoupling_report(planted(), n_permutations=9, n_shuffles=0, n_exchanges=0)
        assert set(without.table["kind"]) == {"dependence", "leakage"}
        assert without.readers.empty
        assert without.reader_order == ""
        emotion = decoupling_report(planted(), n_permutations=9, n_shuffles=0, n_exchanges=19, targets=["aus"])
        assert set(emotion.conditional["branch"]) == {"emotion"}

    def test_given_the_au_set_a_branch_that_is_the_aus_has_nothing_left_to_share(self, report):
        assert row(report, model="without", measure="linear_cka", given="aus")["p"] > 0.02

    def test_the_factors_own_dependence_is_what_is_allowed(self, report):
        table = planted().table
        truth = linear_cka(table[AUS].to_numpy(), pd.get_dummies(table["cue"], dtype=float).to_numpy())
        assert row(report, model="without", measure="linear_cka", given="")["allowed"] == pytest.approx(truth)

    @pytest.mark.parametrize(
        ("branch", "target", "direction"),
        [
            ("motion", "AUs", "higher"),
            ("emotion", "cue", "higher"),
            ("fused", "emotion", "higher"),
            ("emotion", "AU4", "at most allowed"),
            ("emotion", "emotion", "at most allowed"),
            ("fused", "subject", "at most allowed"),
            ("motion", "cue", "at most allowed"),
        ],
    )
    def test_each_row_has_its_good_direction(self, report, branch, target, direction):
        assert row(report, model="without", branch=branch, target=target)["direction"] == direction
        assert set(report.dependence["direction"]) == {"lower"}

    def test_information_stands_beside_the_entropy_of_the_cue(self, report):
        shares = planted().table["cue"].value_counts(normalize=True)
        found = row(report, kind="information")
        assert found["model"] == "bottleneck"
        assert found[["value", "low", "high"]].to_numpy(dtype=float) == pytest.approx(0.8)
        assert found["allowed"] == pytest.approx(-(shares * np.log(shares)).sum())

    def test_a_dead_branch_and_a_missing_one_have_reasons(self):
        whole = planted()
        dead = BranchFeatures(whole.motion, np.ones((96, 4)), whole.fused, whole.table)
        alone = BranchFeatures(whole.motion, None, whole.motion, whole.table)
        report = decoupling_report({"dead": dead, "alone": alone}, n_permutations=9, n_shuffles=0, targets=["aus"])
        assert row(report, model="dead", measure="linear_cka", given="")["reason"] == "the emotion branch is constant"
        assert "no emotion branch" in row(report, model="alone", measure="hsic", given="emotion")["reason"]
        leak = row(report, model="dead", branch="emotion", target="AUs")
        assert np.isnan(leak["value"])
        assert leak["reason"] == "the emotion branch is constant"
        assert "dead: the emotion branch is constant" in repr(report)

    def test_factors_that_leave_no_two_clips_alike_are_kept_as_far_as_they_can_be(self):
        features = planted()
        lone = features.table.assign(subject=[f"s{i}" for i in range(96)])
        given = BranchFeatures(features.motion, features.emotion, features.fused, lone)
        report = decoupling_report(given, given=["aus"], n_permutations=9, targets=[])
        assert set(report.table.loc[report.table["given"] == "", "within"]) == {""}
        assert set(report.table.loc[report.table["given"] == "aus", "within"]) == {"aus"}
        assert set(report.table["kind"]) == {"dependence"}

    def test_what_a_table_does_not_know_is_not_given(self):
        features = planted()
        bare = features.table.drop(columns=["cue", "AU4"]).assign(AU12=np.nan)
        report = decoupling_report(
            BranchFeatures(features.motion, features.emotion, features.fused, bare), n_permutations=9, n_shuffles=0
        )
        assert list(dict.fromkeys(report.dependence["given"])) == ["", "emotion"]
        assert row(report, branch="emotion", target="AUs")["n_unknown"] == 96
        assert report.source["parameters"]["given"] == ["emotion"]

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"given": ["posture"]}, "nothing can be given 'posture'"),
            ({"targets": ["posture"]}, "no target 'posture'"),
        ],
    )
    def test_an_error_says_what_is_wrong(self, options, sentence):
        with pytest.raises(ValueError, match=sentence):
            decoupling_report(planted(), n_permutations=1, n_shuffles=0, **options)

    def test_nats_must_be_finite_and_at_least_one_model_must_be_there(self):
        with pytest.raises(ValueError, match="nats of 96 of 96 clips"):
            decoupling_report(replace(planted(), nats=np.full(96, np.nan)), targets=[], given=[], n_permutations=1)
        with pytest.raises(ValueError, match="there is no model"):
            decoupling_report({})


class TestRecord:
    def test_it_comes_back_from_the_disk(self, report, tmp_path):
        again = DecouplingReport.load(report.save(tmp_path / "report"))
        pd.testing.assert_frame_equal(again.table, report.table, check_dtype=False)
        assert again.source == report.source
        assert repr(again) == repr(report)

    def test_it_tells_itself_a_line_a_model(self, report):
        first, second, third = repr(report).splitlines()
        assert first == f"DecouplingReport: {len(report.table)} measures of without, bottleneck; seed 3"
        cka = row(report, model="without", measure="linear_cka", given="")
        assert f"without: linear cka {cka['value']:.3f} (p 0.01)" in second
        assert "AUs from the emotion branch" in third

    def test_models_stand_side_by_side(self, report):
        wide = report.compare()
        assert list(wide.columns) == ["without", "bottleneck"]
        assert len(wide) == report.table.drop_duplicates(["kind", "measure", "given", "branch", "target"]).shape[0]
        key = ("leakage", "auc", "", "emotion", "AUs")
        for model in wide.columns:
            assert wide.loc[key, model] == row(report, model=model, branch="emotion", target="AUs")["value"]

    @pytest.mark.parametrize(
        ("values", "half", "said"),
        [
            ({"ridge": (0.1, 0.2), "knn": (0.0, 0.1)}, 0.01, "does not depend on the reader (ridge, knn: a < b)"),
            ({"ridge": (0.1, 0.2), "knn": (0.2, 0.1)}, 0.01, "depends on the reader (ridge: a < b; knn: b < a)"),
            ({"ridge": (0.1, 0.2), "knn": (0.2, 0.1)}, 0.08, "only where their intervals overlap (ridge: a < b; knn"),
        ],
    )
    def test_it_says_whether_the_order_of_models_depends_on_the_reader(self, values, half, said):
        rows = pd.DataFrame(
            [
                {"measure": reader, "model": model, "value": value, "low": value - half, "high": value + half}
                for reader, pair in values.items()
                for model, value in zip("ab", pair, strict=True)
            ]
        ).assign(kind="readers", branch="emotion", target="AUs", excess=np.nan)
        assert said in DecouplingReport(rows).reader_order

    def test_it_knows_how_it_was_made(self, report):
        source = report.source
        assert source["parameters"]["readers"] == ["ridge", "knn"]
        assert source["parameters"]["exchanges"] == 99
        assert source["models"]["without"]["sha256"] == "ab" * 32
        assert source["models"]["without"]["data sets"] == {"planted": 96}
        assert source["parameters"]["seed"] == 3
        assert source["protocol"] == "planted_2class"
        assert {"medn-lab", "numpy", "pandas"} <= set(source["versions"])


class Page(HTMLParser):
    """Opened and closed tags, what would be fetched, and the text."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.words, self.tags = [], [], [], []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "data", "srcset", "poster", "action"):
                self.fetched.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


class TestPage:
    @pytest.fixture
    def page(self, report, tmp_path):
        return Page(report.to_html(tmp_path / "deep" / "report.html").read_text(encoding="utf-8"))

    def test_it_holds_every_figure_and_how_it_was_made(self, page, report):
        text = re.sub(r"\s+", " ", " ".join(page.words))
        for said in ("without", "bottleneck", "ab" * 32, "planted_2class", "none against bottleneck", "seed", "numpy"):
            assert said in text
        leak = row(report, model="without", branch="emotion", target="AU4")
        assert f"{leak['value']:.3f}" in text
        assert f"allowed {leak['allowed']:.3f}, excess {leak['excess']:+.3f}" in text
        assert "given emotion; clips exchanged inside subject and emotion" in text
        cka = row(report, model="without", measure="linear_cka", given="")
        assert f"{cka['p']:.3f} {cka['p_family']:.3f}" in text
        inside = row(report, kind="conditional", model="without", branch="emotion", target="AU4")
        assert "emotion branch, given cue; clips exchanged inside subject and cue" in text
        assert f"{inside['value']:.3f} [{inside['low']:.2f}, {inside['high']:.2f}]" in text
        assert f"p {inside['p']:.3f}, family {inside['p_family']:.3f} (2 tests)" in text
        bits = row(report, kind="readers", model="without", measure="knn", target="AUs")
        assert f"excess {bits['excess']:+.3f}" in text
        assert report.reader_order in text
        assert "96 clips of 6 subjects" in text
        assert "What this does not show" in text

    def test_nothing_is_fetched(self, page, report, tmp_path):
        assert page.fetched == []
        text = report.to_html(tmp_path / "r.html", figures={"a dot": PNG}).read_text()
        assert all(link.startswith("data:image/png;base64,") for link in Page(text).fetched)
        assert not re.search(r"@import|url\(|<link|<iframe", text)

    def test_pictures_are_inside_and_plotly_is_there_once(self, report, tmp_path):
        figure = go.Figure(go.Bar(x=[1], y=[2]))
        text = report.to_html(tmp_path / "r.html", figures=[figure, figure]).read_text()
        assert text.count("Plotly.newPlot(") >= 2
        assert 3e6 < len(text) < 8e6
        assert not re.search(r"<script[^>]+src=", text)

    def test_what_data_say_is_text_and_never_a_tag(self, tmp_path):
        nasty = '<script>alert("x")</script>'
        features = planted(name=nasty)
        table = features.table.assign(dataset=nasty, label=np.where(features.table["AU4"] == 1, nasty, "b&b"))
        features = BranchFeatures(features.motion, features.emotion, features.fused, table, source={nasty: nasty})
        report = decoupling_report(
            {nasty: features}, n_permutations=9, n_shuffles=0, protocol=nasty, about={nasty: nasty},
            extra={nasty: table["AU12"].to_numpy()},
        )  # fmt: skip
        text = report.to_html(tmp_path / "r.html", title=nasty, figures={nasty: PNG}).read_text()
        page = Page(text)
        assert "script" not in page.tags
        assert nasty in "".join(page.words)

    def test_a_page_replaces_an_older_one_only_when_it_is_whole(self, report, tmp_path):
        path = report.to_html(tmp_path / "r.html")
        before = path.read_text()
        with pytest.raises(ValueError, match="a figure of the report is a str"):
            report.to_html(path, figures=["a caption alone"])
        assert path.read_text() == before
        assert [one.name for one in tmp_path.iterdir()] == ["r.html"]

    def test_a_report_with_few_columns_is_drawn_too(self, tmp_path):
        table = pd.DataFrame({"measure": ["linear_cka"], "value": [0.1], "p": [np.nan], "direction": ["lower"]})
        text = DecouplingReport(table, {"name": "tiny"}).to_html(tmp_path / "r.html").read_text()
        assert "linear_cka" in "".join(Page(text).words)
