"""Figures of decoupling and the sentences on a row: each value is found in the data that the figure holds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses
from figure_contents import by_meta, check_look, texts, words
from sample_records import sample_clips, sample_features
from scipy.stats import kstwo

from medn_lab import diagnose, records, view
from medn_lab.view.decoupling import EXCESS_RANGE, explain_row

MEASURES = {"linear_cka": (0.05, 0.6), "hsic": (0.5, 0.01), "canonical_correlations": (0.19, 0.05)}


def leakage_table(models=("",)):
    aucs = (("AU4", 0.9, 0.6), ("AU12", np.nan, np.nan), ("AUs", 0.8, 0.7), ("cue", 0.5, 0.52))
    rows = [
        (model, branch, target, auc - 0.1 * number, allowed)
        for number, model in enumerate(models) for branch in ("motion", "emotion") for target, auc, allowed in aucs
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["model", "branch", "target", "value", "allowed"]).assign(kind="leakage")
    au4, au12 = table["target"] == "AU4", table["target"] == "AU12"
    table = table.assign(excess=table["value"] - table["allowed"], excess_low=np.where(au4, 0.1, -0.1), excess_high=0.4)
    table = table.assign(low=0.7, high=0.95, n_clips=200, n_subjects=8, n_positive=np.where(au12, 0, 37))
    return table.assign(reason=np.where(au12, "no clip <has> it", ""))


def dependence(models=("m",), given=("", "emotion")):
    rows = [
        {"model": model, "measure": measure, "given": one, "value": value, "p": p}
        for model in models for measure, (value, p) in MEASURES.items() for one in given
    ]  # fmt: skip
    same = {"null_mean": 0.1, "null_95": 0.2, "allowed": 0.15, "n_clips": 200, "n_subjects": 8, "reason": ""}
    table = pd.DataFrame(rows).assign(kind="dependence", **same)
    return table.assign(within=np.where(table["given"] == "", "subject", "subject and aus"))


def test_a_cell_of_leakage_holds_the_auc_and_what_is_allowed_and_its_colour_is_the_excess():
    figure = view.plot_leakage(leakage_table())
    check_look(figure, "Leakage")
    cells, notes = figure.data[-1], np.ravel(figure.data[-1].text).tolist()
    assert np.allclose(cells.z, [[0.1, 0.1], [-0.02, -0.02], [0.3, 0.3], [np.nan, np.nan]], equal_nan=True)
    assert (cells.zmin, cells.zmax) == (-EXCESS_RANGE, EXCESS_RANGE)
    assert sum(text.startswith("<b>.80</b>") and "of .70" in text for text in notes) == notes.count("–") == 2
    assert [text[:10] for text in notes if "▲" in text] == ["<b>.90</b>"] * 2  # the interval lies above 0
    assert list(figure.layout.yaxis.ticktext) == ["<b>AUs, mean</b> (37)", "cue (37)", "AU4 (37)", "AU12 (0)"]
    assert "no clip &lt;has&gt; it" in cells.customdata[3, 0]
    two = leakage_table(("first", "sec<ond")).assign(allowed=np.nan, excess=np.nan, excess_low=np.nan)
    unknown = view.plot_decoupling(records.DecouplingReport(two, {}), kind="leakage")
    assert np.isnan(unknown.data[-1].z).all()
    assert unknown.data[-1].text[0, 0] == unknown.data[0].text[0, 0] == "<b>.80</b>"  # the cell is grey
    heads = {note.text.split("<br>")[0]: note.x for note in unknown.layout.annotations if note.yref == "paper"}
    assert heads == {"<b>first</b>": 0.5, "<b>sec&lt;ond</b>": 2.5}  # each model once, over its branches
    assert (len(unknown.layout.xaxis.ticktext), unknown.layout.xaxis.tickangle) == (4, 0)  # long names turn nothing
    assert len(view.plot_leakage(two, each_au=False).layout.yaxis.ticktext) == 2
    few = view.plot_leakage(leakage_table().query("target == 'AU4'"))
    assert 120 <= few.data[-1].colorbar.len <= 34 + few.layout.margin.b  # room for its ticks below a single row
    assert_refuses(view.plot_leakage, pd.concat([two, two]), match="the same model, branch and target")


def test_values_thresholds_and_p_are_drawn_on_the_lines_of_their_rows():
    table = dependence()
    table.loc[0, ["value", "p", "null_mean", "null_95"]], table.loc[0, "reason"] = np.nan, "does not <vary>"
    figure = view.plot_dependence(table)
    check_look(figure, "Dependence between the branches")
    drawn = [trace for trace in figure.data if trace.meta == "value"]
    assert [one.x[1] for one in drawn] == [value for value, _ in MEASURES.values()]
    assert [one.marker.symbol[1] for one in drawn] == ["circle-open", "circle", "circle"]  # filled from p .05 downwards
    assert [list(one.x) for one in figure.data if one.name == "threshold"] == [[0.2], [0.2, 0.2], [0.2, 0.2]]
    assert list(figure.layout.yaxis.ticktext) == ["unconditional", "given emotion"]
    assert [words(figure).count(text) for text in ("does not &lt;vary&gt;", "0.500  p .010")] == [1, 2]
    assert "200 clips of 8 subjects · clips exchanged inside subject, subject and AU set" in texts(figure)
    joined = view.plot_dependence(pd.concat([table.assign(model="a"), table.assign(model="b")]))
    ids = np.ravel([trace.ids for trace in joined.data if trace.ids is not None])
    assert len({*ids}) == len(ids) == 12  # plotly would leave out all but one point of an id
    assert (figure.layout.xaxis.showticklabels, figure.layout.xaxis2.domain[0] > 0.5) == (True, True)
    table[["value", "p", "null_mean", "null_95", "allowed"]] = np.nan
    table["reason"] = "a code needs 8 clips with and without it"
    empty = view.plot_dependence(table).layout  # no scale without a value, and no reason runs into another panel
    assert (empty.xaxis.showticklabels, empty.xaxis2.domain[0]) == (False, 0)


def test_a_reason_that_is_longer_than_its_panel_is_wrapped():
    features = sample_features(sample_clips(n=20))
    figure = view.plot_selection_measures(diagnose.selection_measures(features)(features.table["clip_id"][:1]))
    assert max(map(len, "<br>".join(words(figure)).split("<br>"))) < 45
    assert figure.layout.margin.t == 50 + 17 + 18  # two lines at y = 1 of an axis are no heading


def test_a_row_is_explained_with_all_its_figures_and_concluded_from_the_interval_of_the_excess_or_p():
    row = leakage_table(("m",)).query("target == 'AU4' and branch == 'emotion'").iloc[0].to_dict()
    what, reading = explain_row(row | {"measure": "auc", "direction": "at most allowed", "p": 0.01})
    facts = "AU4 from the emotion branch of m", "AUC 0.900 [0.700, 0.950]", "allowed 0.600", "p 0.01"
    assert all(fact in what for fact in (*facts, "excess +0.300 [+0.100, +0.400]"))
    assert all(fact in reading for fact in ("a leak", "0.5 is chance", "200 clips of 8 subjects, 37 clips with it"))
    missing = explain_row({"kind": "leakage", "branch": "motion", "target": "AU9", "reason": "no clip has it"})
    assert missing == ("AU9 from the motion branch: no value, no clip has it.", "")
    for change in ({"target": "emotion"}, {"target": "AUs"}, {"kind": "conditional"}):  # the rarest class, AU or kind
        assert "37 clips with it" not in explain_row(row | change)[1]
    for row, fact in (
        ({"p": 0.05}, "above its null"), ({"p": 0.06}, "within its null"),
        ({"p": 0.01, "p_family": 0.04, "n_tests": 9}, "above its null"),
        ({"p": 0.01, "p_family": 0.08, "n_tests": 9}, "within its null"),
        ({"p": 0.01, "excess_low": -0.1, "excess_high": 0.1}, "includes 0"),
        ({"excess_low": -0.2, "excess_high": -0.1}, "below 0"),
    ):  # fmt: skip
        what, reading = explain_row({"measure": "auc", "value": 0.6} | row)
        assert fact in reading
        assert ("p 0.01 (corrected for 9 tests: 0.0" in what) == ("n_tests" in row)


def test_correlations_are_sorted_by_strength_and_compared_with_chance():
    table = pd.DataFrame([[0.1, -0.9, np.nan], [0.2, 0.3, np.nan]])
    measured = diagnose.branch_correlation(np.random.default_rng(0).normal(size=(101, 2)), np.eye(101)[:, :3])
    table.attrs = measured.attrs
    figure = view.plot_branch_correlation(table)
    check_look(figure, "Correlation between the branches' features")
    cells = figure.data[-1]
    assert np.allclose(cells.z, [[-0.9, 0.1, np.nan], [0.3, 0.2, np.nan]], equal_nan=True)
    assert cells.customdata[0, 0].tolist() == [0, 1]
    for fact in ("mean |r| 0.375, largest 0.90", "101 clips: by chance 95 % stay below 0.20", "1 of 5 features"):
        assert fact in texts(figure)
    assert_refuses(view.plot_branch_correlation, np.full((2, 2), 1.5), match="up to")


def test_p_values_are_drawn_as_shares_in_the_band_of_the_fewest_draws():
    draws = pd.DataFrame({"r <= .5": np.full(100, 0.01), "nothing": np.arange(1, 101) / 100})
    draws["few"] = draws["nothing"].where(draws.index < 20)
    figure = view.plot_p_values(draws)
    check_look(figure, "Distribution of p values")
    line, band = by_meta(figure, "nothing"), by_meta(figure, "band")
    at = dict(zip(line.x, line.y, strict=True))  # the last of equal x is the height after the step
    assert (at[0.05], at[0.5]) == (pytest.approx(0.05), pytest.approx(0.5))
    assert (line.x[0], line.y[0], line.x[-1], line.y[-1], line.line.shape) == (0, 0, 1, 1, "hv")
    assert by_meta(figure, "r <= .5").name.startswith("r &lt;= .5: <b>1.000</b>")
    assert view.plot_p_values(draws.join(draws.add_prefix("x"))).layout.margin.b == figure.layout.margin.b + 3 * 19
    # Stephens 1974: 95 of 100 distributions of n uniform p values stay this near the diagonal.
    half = max(band.y[:101] - band.x[:101])
    assert half == pytest.approx(1.358 / (20**0.5 + 0.12 + 0.11 / 20**0.5), rel=0.01)
    assert kstwo.cdf(half, 20) == pytest.approx(0.95)
    assert_refuses(view.plot_p_values, pd.DataFrame({"mine": [0.2, 1.2]}), match="'mine'")


def test_a_clip_is_a_point_at_its_mean_gate_and_the_groups_are_in_order():
    features = sample_features(sample_clips(n=3))
    gate = np.array([[0.2, 0.4], [0.9, 0.7], [0.5, 0.7]], dtype=np.float32)
    table = features.table.assign(label=["happiness", "<img src=x>", "happiness"], clip_id=list("abc"))
    features = replace(features, gate=gate, table=table)
    figure = view.plot_gate(features)
    check_look(figure, "Gate of CoFM")
    evil, group = figure.data
    assert (evil.name, group.name, list(group.text)) == ("&lt;img src=x&gt; (1)", "happiness (2)", ["a", "c"])
    np.testing.assert_allclose(group.x, [0.3, 0.6], rtol=1e-6)
    many = sample_features(sample_clips(n=30))
    many = replace(many, table=many.table.assign(subject=[f"s{place}" for place in range(30)]))
    assert len(view.plot_gate(many, by="subject").data) == 30  # also of more groups than a map has colours
    assert_refuses(view.plot_gate, replace(features, gate=None), match="only a network with both branches and CoFM")
