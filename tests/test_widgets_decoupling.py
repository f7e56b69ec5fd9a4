"""DecouplingPanel, joined reports and the words beside a figure: what is shown, compared, explained and exported."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sample_records import sample_clips, sample_features

from medn_lab import diagnose, view
from medn_lab.records import DecouplingReport
from medn_lab.view.decoupling_words import MEANINGS, explain_row
from medn_lab.widgets import DecouplingPanel
from medn_lab.widgets.decoupling import MOST_SIDE_BY_SIDE

QUICK = {"n_permutations": 39, "n_shuffles": 3}


@pytest.fixture(scope="module")
def features():
    return sample_features(sample_clips(n=40))


@pytest.fixture(scope="module")
def reports(features):
    """Independent branches with a bottleneck, and an emotion branch that holds all that its motion branch holds."""
    coupled = dataclasses.replace(features, emotion=np.hstack([features.emotion, features.motion]))
    emotion, nats = np.random.default_rng(0).normal(size=features.emotion.shape), np.full(len(features), 1.5)
    clean = dataclasses.replace(features, emotion=emotion, nats=nats)
    return {
        "clean": diagnose.decoupling_report(clean, **QUICK),
        "coupled": diagnose.decoupling_report(coupled, **QUICK),
    }


@pytest.fixture
def panel(reports):
    return DecouplingPanel(reports)


def pressed(panel, row, column):
    panel._grid.button(row, column).click()
    return panel._words.value


class TestJoinedReports:
    def test_the_models_take_the_names_of_their_reports(self, reports):
        joined = DecouplingReport.joined(reports)
        assert joined.models == ["clean", "coupled"]
        assert len(joined.table) == sum(len(one.table) for one in reports.values())
        assert joined.source["models"]["clean"] == reports["clean"].source["models"]["sample"]
        assert joined.source["parameters"] == reports["clean"].source["parameters"]

    def test_what_differs_stands_under_each_name(self, features, reports):
        other = diagnose.decoupling_report(features, seed=3, targets=[], **QUICK)
        told = DecouplingReport.joined({"clean": reports["clean"], "seed 3": other}).source["parameters"]
        assert [told[name]["seed"] for name in ("clean", "seed 3")] == [0, 3]

    def test_a_report_on_several_keeps_them_apart(self, reports):
        both = DecouplingReport.joined(reports)
        assert DecouplingReport.joined({"a": both, "b": both}).models == [
            "a: clean", "a: coupled", "b: clean", "b: coupled",
        ]  # fmt: skip

    def test_one_model_can_be_taken_out_again(self, reports):
        joined = DecouplingReport.joined(reports)
        alone = joined.only(["coupled"])
        assert alone.models == list(alone.source["models"]) == ["coupled"]
        pd.testing.assert_frame_equal(
            alone.table.drop(columns="model"), reports["coupled"].table.drop(columns="model"), check_dtype=False
        )
        with pytest.raises(ValueError, match="no model 'x'; the report has clean, coupled"):
            joined.only(["x"])
        with pytest.raises(ValueError, match="no model is named"):
            joined.only([])
        with pytest.raises(ValueError, match="no report to join"):
            DecouplingReport.joined({})


class TestPanel:
    def test_every_measure_of_every_model_has_a_cell_with_its_figures(self, panel, reports):
        rows = DecouplingReport.joined(reports).dependence.query("given == ''")
        assert len(panel.selection) == len(rows) == len(panel._numbers)
        first = rows[(rows["measure"] == "linear_cka") & (rows["model"] == "coupled")].iloc[0]
        button = panel._grid.button(0, 1)
        assert button.description.startswith(f"{first['value']:.3f}")
        assert "above its null" in button.tooltip

    def test_a_value_above_its_null_looks_other_than_one_within(self, panel):
        grounds = {True: set(), False: set()}
        for (y, x), number in panel._numbers.items():
            grounds[bool(panel.selection["p"].iloc[number] <= 0.05)].add(panel._grid.button(y, x).style.button_color)
        assert all(len(one) == 1 for one in grounds.values())
        assert grounds[True] != grounds[False]

    def test_a_pressed_cell_says_meaning_direction_and_what_it_rests_on(self, panel):
        said = pressed(panel, 0, 1)
        for part in ("linear CKA of motion and emotion branch of coupled", "straight lines", "Lower is better"):
            assert part in said
        assert "chance does not explain it" in said
        assert "40 clips, 4 subjects" in said
        assert "medn-picked" in panel._grid.button(0, 1)._dom_classes

    def test_the_leakage_matrix_has_the_reported_figures(self, panel, reports):
        panel._families.value = "leakage"
        assert panel.family == "leakage"
        leak = reports["coupled"].leakage.query("branch == 'emotion' and target == 'AUs'").iloc[0]
        place = next(
            spot for spot, number in panel._numbers.items()
            if tuple(panel.selection.iloc[number][["model", "branch", "target"]]) == ("coupled", "emotion", "AUs")
        )  # fmt: skip
        cell = panel._grid.button(*place)
        assert f"AUC {leak['value']:.3f}, allowed {leak['allowed']:.3f}" in cell.tooltip
        assert "▲" in cell.description
        assert "The interval of the excess lies above 0: a leak." in pressed(panel, *place)

    def test_each_au_and_the_fused_branch_can_be_added(self, panel):
        panel.show("leakage")
        few = len(panel.selection)
        assert not panel.selection["target"].str.match(r"AU\d").any()
        panel._each.value = True
        assert panel.selection["target"].str.match(r"AU\d").any()
        assert "fused" not in set(panel.selection["branch"])
        panel._each.value, panel._fused.value = False, True
        assert len(panel.selection) == few * 3 // 2

    def test_what_is_given_can_be_switched(self, panel):
        rows = panel.show("dependence", given="emotion")
        assert set(rows["given"]) == {"emotion"}
        assert "given the emotion" in panel.explain(0)
        with pytest.raises(ValueError, match="nothing was measured given 'age'"):
            panel.show("dependence", given="age")
        with pytest.raises(ValueError, match="no family of measures 'all'"):
            panel.show("all")

    def test_the_nats_stand_beside_what_the_code_should_hold(self, panel, features):
        panel._families.value = "information"
        shares = features.table["label"].value_counts(normalize=True)
        entropy = -(shares * np.log(shares)).sum()
        assert panel.selection["model"].tolist() == ["clean"]
        said = pressed(panel, 0, 0)
        assert "carries 1.50 nats" in said
        assert f"holds {entropy:.2f}" in said

    def test_models_are_compared_as_they_are_ticked(self, panel):
        panel._boxes[0].value = False
        assert panel.models == ["coupled"]
        assert set(panel.selection["model"]) == {"coupled"}
        panel._boxes[1].value = False
        assert "No model is ticked" in panel._words.value
        assert len(panel.selection) == 0
        assert len(panel.compare(["clean"])) == len(panel._numbers) > 0
        with pytest.raises(ValueError, match="no model 'x'"):
            panel.compare(["x"])

    def test_the_rows_shown_can_be_followed(self, panel):
        seen = []
        panel.observe(lambda change: seen.append(set(change.new["kind"])), "selection")
        panel._families.value = "leakage"
        assert seen == [{"leakage"}]

    def test_a_row_that_is_not_there_is_refused(self, panel):
        with pytest.raises(ValueError, match="there is no row 99"):
            panel.explain(99)

    def test_the_page_is_written_where_it_is_named(self, panel, tmp_path):
        panel._boxes[0].value = False
        panel._path.value = str(tmp_path / "new" / "page.html")
        panel._export.click()
        page = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
        assert page.count("<figure") == 2
        assert "coupled" in page
        assert "clean" not in page.split("<h2>Pictures")[0]
        assert "page.html" in panel._said.value

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [("", "name a file to write"), ("report.pdf", "end &#x27;report.pdf&#x27; in .html")],
    )
    def test_a_page_without_a_good_name_is_refused_on_the_page(self, panel, name, sentence):
        panel._path.value = name
        panel._export.click()
        assert sentence in panel._said.value
        with pytest.raises(ValueError, match=r"file|html"):
            panel.export(name)

    def test_a_page_that_cannot_be_written_is_said(self, panel, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(ValueError, match="cannot be written"):
            panel.export(str(tmp_path / "file" / "page.html"))

    def test_every_control_has_a_tooltip(self, panel):
        controls = [
            *panel._boxes,
            panel._families,
            panel._givens,
            panel._each,
            panel._fused,
            panel._path,
            panel._export,
        ]
        assert all(getattr(one, "tooltip", None) or getattr(one, "tooltips", None) for one in controls)


class TestWhatIsMissing:
    def test_a_bare_report_is_shown_under_the_name_of_its_source(self):
        table = pd.DataFrame({"measure": ["linear_cka"], "kind": ["dependence"], "value": [0.2], "p": [0.01]})
        panel = DecouplingPanel(DecouplingReport(table, {"name": "mine"}))
        assert panel.models == ["mine"]
        assert "linear CKA of motion and emotion branch of mine: 0.2" in pressed(panel, 0, 0)

    def test_an_empty_report_says_that_it_holds_nothing(self, reports):
        nothing = dataclasses.replace(reports["clean"], table=reports["clean"].table.iloc[:0])
        panel = DecouplingPanel({"empty": nothing})
        assert panel._grid.layout.display == "none"
        assert "medn-warn" in panel._words.value

    def test_a_report_without_leakage_or_bottleneck_says_so(self, features):
        panel = DecouplingPanel(diagnose.decoupling_report(features, targets=[], **QUICK))
        panel._families.value = "leakage"
        assert "made without targets" in panel._words.value
        panel._families.value = "information"
        assert "None of these models has a bottleneck" in panel._words.value

    def test_a_model_of_one_branch_shows_why_it_has_no_figures(self, features):
        alone = diagnose.decoupling_report(dataclasses.replace(features, emotion=None), **QUICK)
        panel = DecouplingPanel(alone)
        assert panel._grid.button(0, 0).description == "–"
        assert "no figure." in pressed(panel, 0, 0)

    def test_without_aus_there_is_no_target_of_aus(self, features):
        table = features.table.drop(columns=["AU1", "AU4", "AU12", "AU15", "action_units"])
        smic = diagnose.decoupling_report(dataclasses.replace(features, table=table), **QUICK)
        panel = DecouplingPanel(smic)
        panel.show("leakage")
        assert "AUs" not in set(panel.selection["target"])
        assert "emotion" in set(panel.selection["target"])

    def test_more_models_than_fit_are_counted(self, reports):
        many = {f"<{k}>": reports["clean"] for k in range(MOST_SIDE_BY_SIDE + 2)}
        panel = DecouplingPanel(many)
        assert len(panel.models) == MOST_SIDE_BY_SIDE
        panel._boxes[-1].value = True
        assert "1 more models are ticked than fit" in panel._words.value
        assert not any("<0>" in text.value for text in panel._grid._texts)


class TestWords:
    def test_every_measure_of_the_library_is_explained(self, reports):
        assert set(reports["clean"].dependence["measure"]) <= set(MEANINGS)

    def test_what_is_unknown_is_not_spoken_of(self):
        what, reading = explain_row({"kind": "leakage", "branch": "motion", "target": "cue", "value": 0.5})
        assert what == "cue read from the motion branch: AUC 0.500."
        assert "rests on" not in reading
        assert explain_row({"measure": "mine", "value": 1.0})[0] == "mine: 1."

    def test_a_missing_figure_gives_its_reason(self):
        row = {"kind": "leakage", "branch": "motion", "target": "AU9", "value": np.nan, "reason": "no clip has it"}
        assert explain_row(row)[0].endswith("no figure. No clip has it.")

    def test_the_picture_of_nats_holds_them_with_interval_and_entropy(self, reports):
        figure = view.plot_information(reports["clean"])
        row = reports["clean"].table.query("kind == 'information'").iloc[0]
        bar, entropy = figure.data
        assert list(bar.x) == [row["value"]]
        assert np.allclose(bar.x + bar.error_x.array, row["high"])
        assert list(entropy.x) == [row["allowed"]]
        with pytest.raises(ValueError, match="none of these models has a bottleneck"):
            view.plot_information(reports["coupled"])


def test_a_leak_without_an_excess_is_drawn_plain(reports):
    table = reports["clean"].table.drop(columns=["excess", "excess_low", "excess_high"])
    panel = DecouplingPanel({"clean": dataclasses.replace(reports["clean"], table=table)})
    panel.show("leakage")
    assert len(panel.selection) > 0
