"""DecouplingPanel and joined reports: what is shown, compared, explained and exported."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from page_contents import click, control, figure_of, text_of
from sample_records import sample_clips, sample_features

from medn_lab import diagnose
from medn_lab.records import DecouplingReport
from medn_lab.view.decoupling import MEANINGS
from medn_lab.widgets import DecouplingPanel
from medn_lab.widgets.decoupling import MOST_TICKED

QUICK = {"n_permutations": 19, "n_shuffles": 2}


FEATURES = sample_features(sample_clips(n=40))


@pytest.fixture(scope="module")
def reports():
    """Independent branches with a bottleneck, and an emotion branch that holds all that its motion branch holds."""
    coupled = replace(FEATURES, emotion=np.hstack([FEATURES.emotion, FEATURES.motion]))
    emotion, nats = np.random.default_rng(0).normal(size=FEATURES.emotion.shape), np.full(len(FEATURES), 1.5)
    clean = replace(FEATURES, emotion=emotion, nats=nats)
    return {name: diagnose.decoupling_report(one, **QUICK) for name, one in (("clean", clean), ("coupled", coupled))}


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


def notes(panel):
    return " ".join(note.text for note in figure_of(panel).layout.annotations)


def test_joined_reports_keep_their_models_apart_and_give_them_back(reports):
    joined = DecouplingReport.joined(reports)
    assert joined.models == ["clean", "coupled"]
    assert joined.source["models"]["clean"] == reports["clean"].source["models"]["sample"]
    assert joined.source["parameters"] == reports["clean"].source["parameters"]
    both = DecouplingReport.joined({"a": joined, "b": joined})
    assert both.models == ["a: clean", "a: coupled", "b: clean", "b: coupled"]
    other = diagnose.decoupling_report(FEATURES, seed=3, targets=[], **QUICK)
    parameters = DecouplingReport.joined({"clean": reports["clean"], "seed 3": other}).source["parameters"]
    assert [parameters[name]["seed"] for name in ("clean", "seed 3")] == [0, 3]
    alone = joined.only(["coupled"])
    assert alone.models == list(alone.source["models"]) == ["coupled"]
    own, given = (one.table.drop(columns="model") for one in (alone, reports["coupled"]))
    pd.testing.assert_frame_equal(own, given, check_dtype=False)


def test_the_figure_holds_every_row_and_a_click_explains_and_frames_one(panel, reports):
    assert set(reports["clean"].table["measure"]) <= set(MEANINGS)  # each is explained
    assert len(panel.selection) == len(DecouplingReport.joined(reports).dependence.query("given == ''"))
    for family, column in (("leakage", "excess"), ("information", "value"), ("dependence", "value")):
        panel.family = family
        assert drawn(panel) == pytest.approx(panel.selection[column].to_dict(), nan_ok=True)
    number, trace = next((k, trace) for k, trace in enumerate(figure_of(panel).data) if trace.ids is not None)
    click(panel, number, 1)
    row = panel.selection.iloc[panel.row]
    assert (trace.x[1], control(panel, "Row").value) == (row["value"], panel.row)
    for fact in (f"linear CKA of motion and emotion branch of {row['model']}", "Lower is better", "40 clips"):
        assert fact in text_of(panel)
    (frame,) = frames(panel)
    assert frame.y0 < trace.y[1] < frame.y1
    panel.family = "leakage"
    assert (panel.row, control(panel, "Row").value, frames(panel)) == (None, -1, [])
    wanted = panel.selection.query("model == 'coupled' and branch == 'emotion' and target == 'AUs'").index[0]
    number, cells = next((k, trace) for k, trace in enumerate(figure_of(panel).data) if trace.ids is not None)
    y, x = divmod(list(cells.ids).index(str(wanted)), len(cells.x))
    click(panel, number, [y, x])  # a cell of a matrix
    assert panel.row == wanted
    assert "a leak" in text_of(panel)
    assert (frames(panel)[0].x0, frames(panel)[0].y0) == (x - 0.5, y - 0.5)


def test_each_au_and_what_is_given_can_be_chosen(panel, reports):
    few = len(panel.show("leakage"))
    assert not panel.selection["target"].str.match(r"AU\d").any()
    assert panel.show("leakage", each_au=True)["target"].str.match(r"AU\d").any()
    assert "fused" not in set(panel.selection["branch"])
    control(panel, "each AU").value = False
    assert len(panel.selection) == few
    assert set(panel.show("dependence", given="emotion")["given"]) == {"emotion"}
    assert "given emotion" in panel.explain(0)
    rows, shares = panel.show("information"), FEATURES.table["label"].value_counts(normalize=True)
    assert rows["model"].tolist() == ["clean"]
    for fact in ("1.500", f"allowed {-(shares * np.log(shares)).sum():.3f}"):  # nats, and the entropy of the label
        assert fact in panel.explain(0)


def test_the_models_ticked_are_compared_in_their_order_and_exported(panel, reports, tmp_path):
    panel.models = ["coupled", "clean"]
    assert panel.selection["model"].drop_duplicates().tolist() == ["coupled", "clean"]
    control(panel, "clean").value = False
    assert set(panel.selection["model"]) == {"coupled"}
    page = panel.export(tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert page.count("<figure") == reports["coupled"].table["kind"].nunique()
    assert "coupled" in page
    assert "clean" not in re.sub("(?s)<script.*?</script>", "", page)
    control(panel, "coupled").value = False
    assert "No model is ticked" in notes(panel)
    panel = DecouplingPanel({f"<{k}>": reports["clean"] for k in range(MOST_TICKED + 2)})
    control(panel, f"<{MOST_TICKED + 1}>").value = True
    assert panel.selection["model"].drop_duplicates().tolist() == [*(f"<{k}>" for k in range(5)), "<6>"]
    assert "<0>" not in text_of(panel) + figure_of(panel).to_json()


def test_long_names_of_models_leave_room_for_the_values_on_a_narrow_page(reports):
    for name, columns in (("clean", 2), ("a_name_of_forty_letters_that_leaves_none", 1)):
        panel = DecouplingPanel({name: reports["clean"], f"{name} 2": reports["clean"]})
        assert len({axis.domain for axis in figure_of(panel).select_xaxes()}) == columns
        panel.family = "conditional"
        assert figure_of(panel).layout.margin.l < 330


def test_what_a_report_lacks_is_named_and_the_rest_is_shown(reports, tmp_path):
    table = pd.DataFrame({"measure": ["linear_cka"], "kind": ["dependence"], "value": [0.2], "p": [0.01]})
    panel = DecouplingPanel(DecouplingReport(table, {"name": "mine"}))
    assert "linear CKA of motion and emotion branch of mine: 0.2" in panel.explain(0)
    both = DecouplingPanel({"clean": reports["clean"], "mine": DecouplingReport(table)})
    page = both.export(tmp_path / "both.html").read_text(encoding="utf-8")
    assert re.search("(?s)clean: 40 clips of 4 subjects;.*linear CKA 0.200 [(]p 0.01[)]", page)
    assert "nan" not in re.sub("(?s)<script.*?</script>", "", page)
    panel.family = "leakage"
    assert "no rows on leakage" in notes(panel)
    panel = DecouplingPanel(diagnose.decoupling_report(replace(FEATURES, emotion=None), targets=[], **QUICK))
    reason = panel.selection["reason"].iloc[0]
    assert reason in notes(panel).replace("<br>", " ")
    assert f"no value, {reason}" in panel.explain(0)
    table = reports["clean"].table.drop(columns=["excess", "excess_low", "excess_high"])
    panel = DecouplingPanel({"clean": replace(reports["clean"], table=table)})
    assert len(panel.show("leakage")) == len(drawn(panel)) > 0
    assert np.isnan(list(drawn(panel).values())).all()  # a leak without an excess has no colour
