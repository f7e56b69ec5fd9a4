"""DecouplingPanel and joined reports: what is shown, compared, explained and exported."""

import dataclasses

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from page_contents import click, control, figure_of, parts, text_of
from sample_records import sample_clips, sample_features

from medn_lab import diagnose
from medn_lab.records import DecouplingReport
from medn_lab.view.decoupling import MEANINGS
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


def drawn(panel):
    """The numbers of the rows that the figure holds, with their values; of a matrix with what it colours."""
    values = {}
    for trace in figure_of(panel).data:
        if trace.ids is not None:
            cells = trace.x if trace.type == "scatter" else np.ravel(trace.z)
            values |= {int(one): value for one, value in zip(trace.ids, cells, strict=True) if one != ""}
    return values


def frames(panel):
    return [shape for shape in figure_of(panel).layout.shapes if shape.name == "row"]


def test_joined_reports_keep_their_models_apart_and_give_them_back(reports, features):
    joined = DecouplingReport.joined(reports)
    assert joined.models == ["clean", "coupled"]
    assert len(joined.table) == sum(len(one.table) for one in reports.values())
    assert joined.source["models"]["clean"] == reports["clean"].source["models"]["sample"]
    assert joined.source["parameters"] == reports["clean"].source["parameters"]
    both = DecouplingReport.joined({"a": joined, "b": joined})
    assert both.models == ["a: clean", "a: coupled", "b: clean", "b: coupled"]
    other = diagnose.decoupling_report(features, seed=3, targets=[], **QUICK)
    parameters = DecouplingReport.joined({"clean": reports["clean"], "seed 3": other}).source["parameters"]
    assert [parameters[name]["seed"] for name in ("clean", "seed 3")] == [0, 3]
    alone = joined.only(["coupled"])
    assert alone.models == list(alone.source["models"]) == ["coupled"]
    own, given = (one.table.drop(columns="model") for one in (alone, reports["coupled"]))
    pd.testing.assert_frame_equal(own, given, check_dtype=False)
    for refused in (lambda: joined.only(["x"]), lambda: joined.only([]), lambda: DecouplingReport.joined({})):
        with pytest.raises(ValueError, match=r"no model|no report"):
            refused()


class TestPanel:
    def test_the_figure_holds_the_value_of_every_row_shown(self, panel, reports):
        expected = DecouplingReport.joined(reports).dependence.query("given == ''")
        assert len(panel.selection) == len(expected)
        for family, column in (("dependence", "value"), ("leakage", "excess"), ("information", "value")):
            panel.family = family
            assert drawn(panel) == pytest.approx(panel.selection[column].to_dict(), nan_ok=True)

    def test_a_click_explains_the_row_and_frames_it(self, panel):
        figure = figure_of(panel)
        number = next(k for k, trace in enumerate(figure.data) if trace.ids is not None)
        click(panel, number, 1)
        row = panel.selection.iloc[panel.row]
        assert figure.data[number].x[1] == row["value"]
        assert control(panel, "Row").value == panel.row
        text = text_of(panel)
        for fact in (f"linear CKA of motion and emotion branch of {row['model']}", "Lower is better", "40 clips"):
            assert fact in text
        assert len(frames(panel)) == 1
        assert frames(panel)[0].y0 < figure.data[number].y[1] < frames(panel)[0].y1

    def test_a_click_on_a_cell_of_the_matrix_explains_that_cell(self, panel, reports):
        leak = reports["coupled"].leakage.query("branch == 'emotion' and target == 'AUs'").iloc[0]
        panel.family = "leakage"
        wanted = panel.selection.query("model == 'coupled' and branch == 'emotion' and target == 'AUs'").index[0]
        number, cells = next((k, trace) for k, trace in enumerate(figure_of(panel).data) if trace.ids is not None)
        y, x = divmod(list(cells.ids).index(str(wanted)), len(cells.x))
        click(panel, number, [y, x])
        assert panel.row == wanted
        assert f"AUC {leak['value']:.3f}" in text_of(panel)
        assert "a leak" in text_of(panel)
        assert (frames(panel)[0].x0, frames(panel)[0].y0) == (x - 0.5, y - 0.5)

    def test_a_row_is_forgotten_with_the_figure_it_was_in(self, panel):
        panel.explain(1)
        panel.family = "leakage"
        assert panel.row is None
        assert control(panel, "Row").label == "choose a row"
        assert not frames(panel)
        with pytest.raises(ValueError, match="99"):
            panel.explain(99)

    def test_each_au_and_the_fused_branch_can_be_added(self, panel):
        panel.show("leakage")
        few = len(panel.selection)
        assert not panel.selection["target"].str.match(r"AU\d").any()
        control(panel, "each AU").value = True
        assert panel.selection["target"].str.match(r"AU\d").any()
        assert "fused" not in set(panel.selection["branch"])
        control(panel, "each AU").value, control(panel, "fused branch").value = False, True
        assert len(panel.selection) == few * 3 // 2

    def test_what_is_given_can_be_chosen(self, panel):
        rows = panel.show("dependence", given="emotion")
        assert set(rows["given"]) == {"emotion"}
        assert "given emotion" in panel.explain(rows.index[-1])
        for wrong in ({"family": "dependence", "given": "age"}, {"family": "all"}):
            with pytest.raises(ValueError, match=r"'age'|'all'"):
                panel.show(**wrong)

    def test_nats_are_explained_with_the_entropy_of_what_the_code_should_hold(self, panel, features):
        rows = panel.show("information")
        shares = features.table["label"].value_counts(normalize=True)
        entropy = -(shares * np.log(shares)).sum()
        assert rows["model"].tolist() == ["clean"]
        assert "1.500" in panel.explain(0)
        assert f"allowed {entropy:.3f}" in panel.explain(0)

    def test_any_other_kind_of_row_has_its_button_and_its_figure(self, reports):
        row = {"kind": "new_kind", "measure": "new_one", "target": "AUs", "branch": "emotion", "value": 0.7, "p": 0.01}
        table = pd.concat([reports["clean"].table, pd.DataFrame([row | {"low": 0.6, "high": 0.8}])])
        table = table.assign(model=table["model"].fillna("sample"))
        panel = DecouplingPanel({"clean": dataclasses.replace(reports["clean"], table=table)})
        parts(panel, ipywidgets.ToggleButtons)[0].value = "new_kind"
        assert drawn(panel) == {0: 0.7}
        assert "AUs (mean) from the emotion branch of clean: new one 0.700 [0.600, 0.800]" in panel.explain(0)

    def test_models_are_compared_as_they_are_ticked(self, panel):
        control(panel, "clean").value = False
        assert panel.models == ["coupled"]
        assert set(panel.selection["model"]) == {"coupled"}
        control(panel, "coupled").value = False
        assert "No model is ticked" in str(figure_of(panel).layout.annotations)
        assert len(panel.selection) == 0
        assert len(panel.compare(["clean"])) == len(drawn(panel)) > 0
        with pytest.raises(ValueError, match="'x'"):
            panel.compare(["x"])

    def test_the_rows_shown_can_be_followed(self, panel):
        seen = []
        panel.observe(lambda change: seen.append(set(change.new["kind"])), "selection")
        panel.family = "leakage"
        assert seen == [{"leakage"}]

    def test_the_page_holds_the_ticked_models_and_a_figure_of_each_kind(self, panel, reports, tmp_path):
        control(panel, "clean").value = False
        control(panel, "File").value = str(tmp_path / "new" / "page.html")
        control(panel, "Export").click()
        page = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
        assert page.count("<figure") == reports["coupled"].table["kind"].nunique()
        assert "coupled" in page
        assert "clean" not in page.split("<h2>Pictures")[0]
        assert "page.html" in text_of(panel)

    @pytest.mark.parametrize("name", ["", "report.pdf", "in the way/page.html"])
    def test_a_page_that_cannot_be_written_is_refused_on_the_page(self, panel, tmp_path, name):
        (tmp_path / "in the way").write_text("a file")
        path = str(tmp_path / name) if name else ""
        control(panel, "File").value = path
        control(panel, "Export").click()
        assert "medn-warn" in text_of(panel)
        with pytest.raises(ValueError, match=r"file|html|written"):
            panel.export(path)

    def test_every_control_has_a_tooltip(self, panel):
        inputs = (ipywidgets.Checkbox, ipywidgets.Dropdown, ipywidgets.Text, ipywidgets.Button)
        assert all(one.tooltip for one in parts(panel, inputs))
        assert all(parts(panel, ipywidgets.ToggleButtons)[0].tooltips)

    def test_every_measure_of_the_library_is_explained(self, reports):
        assert set(reports["clean"].table["measure"]) <= set(MEANINGS)


class TestWhatIsMissing:
    def test_a_bare_report_is_shown_under_the_name_of_its_source(self):
        table = pd.DataFrame({"measure": ["linear_cka"], "kind": ["dependence"], "value": [0.2], "p": [0.01]})
        panel = DecouplingPanel(DecouplingReport(table, {"name": "mine"}))
        assert panel.models == ["mine"]
        assert "linear CKA of motion and emotion branch of mine: 0.2" in panel.explain(0)

    def test_a_report_without_rows_of_a_kind_says_so(self, features, reports):
        nothing = dataclasses.replace(reports["clean"], table=reports["clean"].table.iloc[:0])
        panel = DecouplingPanel({"empty": nothing})
        assert "no rows on dependence" in str(figure_of(panel).layout.annotations)
        panel = DecouplingPanel(diagnose.decoupling_report(features, targets=[], **QUICK))
        for family in ("leakage", "information"):
            panel.family = family
            assert f"no rows on {family}" in str(figure_of(panel).layout.annotations)
            assert not drawn(panel)

    def test_a_model_of_one_branch_shows_why_it_has_no_values(self, features):
        panel = DecouplingPanel(diagnose.decoupling_report(dataclasses.replace(features, emotion=None), **QUICK))
        reason = panel.selection["reason"].iloc[0]
        assert reason in str(figure_of(panel).layout.annotations)
        assert f"no value, {reason}" in panel.explain(0)

    def test_without_aus_there_is_no_target_of_aus(self, features):
        table = features.table.drop(columns=["AU1", "AU4", "AU12", "AU15", "action_units"])
        smic = diagnose.decoupling_report(dataclasses.replace(features, table=table), **QUICK)
        targets = set(DecouplingPanel(smic).show("leakage")["target"])
        assert "AUs" not in targets
        assert "emotion" in targets

    def test_more_models_than_fit_are_counted(self, reports):
        many = {f"<{k}>": reports["clean"] for k in range(MOST_SIDE_BY_SIDE + 2)}
        panel = DecouplingPanel(many)
        assert len(panel.models) == MOST_SIDE_BY_SIDE
        control(panel, f"<{MOST_SIDE_BY_SIDE + 1}>").value = True
        assert "1 more models are ticked" in text_of(panel)
        assert "<0>" not in text_of(panel) + figure_of(panel).to_json()

    def test_a_leak_without_an_excess_is_drawn_without_colour(self, reports):
        table = reports["clean"].table.drop(columns=["excess", "excess_low", "excess_high"])
        panel = DecouplingPanel({"clean": dataclasses.replace(reports["clean"], table=table)})
        assert len(panel.show("leakage")) == len(drawn(panel)) > 0
        assert np.isnan(list(drawn(panel).values())).all()
