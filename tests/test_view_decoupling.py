"""Pictures of dependence and leakage, judged by the data they hold."""

import numpy as np
import pandas as pd
import pytest
from figure_contents import words
from scipy.stats import kstwo

from medn_lab import view
from medn_lab.records import DecouplingReport
from medn_lab.view.leakage import EXCESS_RANGE
from medn_lab.view.p_values import ks_band

TOLD = (("AU4", 0.9, 0.6), ("AU12", np.nan, np.nan), ("AUs", 0.8, 0.7), ("cue", 0.5, 0.52))
MEASURES = ("linear_cka", "hsic", "canonical_correlations")


def leakage_table(models=("",)):
    rows = []
    for number, model in enumerate(models):
        for branch in ("motion", "emotion"):
            for target, auc, allowed in TOLD:
                rows.append(
                    {
                        "model": model, "branch": branch, "target": target, "value": auc - 0.1 * number,
                        "low": 0.7, "high": 0.95, "null_mean": 0.5, "null_95": 0.55, "allowed": allowed,
                        "excess": auc - 0.1 * number - allowed, "excess_low": 0.1 if target == "AU4" else -0.1,
                        "excess_high": 0.4, "n_clips": 200, "n_subjects": 8,
                        "n_positive": 0 if target == "AU12" else 37,
                        "reason": "no clip <has> it" if target == "AU12" else "",
                    }
                )  # fmt: skip
    table = pd.DataFrame(rows)
    return table.drop(columns="model") if models == ("",) else table


def report(models=("m",), given=("", "emotion")):
    rows = [
        {
            "model": model, "kind": "dependence", "measure": measure, "given": one, "value": value,
            "null_mean": 0.1, "null_95": 0.2, "p": p, "allowed": 0.15, "n_clips": 200, "n_subjects": 8,
            "within": "subject and aus" if one else "subject", "reason": "",
        }
        for model in models
        for measure, value, p in zip(MEASURES, (0.05, 0.5, 0.19), (0.6, 0.01, 0.05), strict=True)
        for one in given
    ]  # fmt: skip
    return DecouplingReport(pd.DataFrame(rows), {})


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


class TestLeakage:
    def test_each_cell_holds_the_area_and_what_is_allowed_and_is_coloured_by_the_excess(self):
        figure = view.plot_leakage(leakage_table())
        assert np.allclose(figure.data[1].z, [[0.1, 0.1], [-0.02, -0.02], [0.3, 0.3], [np.nan, np.nan]], equal_nan=True)
        assert (figure.data[1].zmin, figure.data[1].zmax) == (-EXCESS_RANGE, EXCESS_RANGE)
        said = words(figure)
        assert said.count("<b>.80</b> <span style='font-size:11px'>of .70</span>") == 2
        assert said.count("–") == 2

    def test_a_leak_beyond_its_interval_has_a_mark(self):
        marked = [text for text in words(view.plot_leakage(leakage_table())) if "▲" in text]
        assert len(marked) == 2
        assert all(text.startswith("<b>.90</b>") for text in marked)

    def test_the_mean_comes_first_each_au_last_and_the_clips_stand_beside_the_names(self):
        labels = view.plot_leakage(leakage_table()).layout.yaxis.ticktext
        assert [label.split("  ")[0] for label in labels] == ["<b>AUs, mean</b>", "cue", "AU4", "AU12"]
        assert ">37<" in labels[2]
        assert len(view.plot_leakage(leakage_table(), each_au=False).layout.yaxis.ticktext) == 2

    def test_several_models_stand_side_by_side(self):
        figure = view.plot_leakage(leakage_table(("first", "sec<ond")))
        assert figure.data[1].z.shape == (4, 4)
        assert figure.data[1].z[0, 2] == pytest.approx(0.0)
        assert {"<b>first</b>", "<b>sec&lt;ond</b>"} <= set(words(figure))

    def test_hovering_tells_the_reason_or_the_intervals(self):
        hover = view.plot_leakage(leakage_table()).data[1].customdata
        assert "no clip &lt;has&gt; it" in hover[3, 0]
        assert "AUC 0.900 [0.700, 0.950]" in hover[2, 1]
        assert "allowed 0.600<br>excess +0.300 [0.100, 0.400]" in hover[2, 1]

    def test_without_a_truth_there_is_no_colour(self):
        table = leakage_table().assign(allowed=np.nan, excess=np.nan, excess_low=np.nan)
        figure = view.plot_leakage(table)
        assert np.isnan(figure.data[1].z).all()
        assert "<b>.80</b>" in words(figure)

    def test_a_report_is_taken_as_it_is(self):
        rows = leakage_table(("m",))
        figure = view.plot_leakage(DecouplingReport(rows.assign(kind="leakage"), {}))
        assert np.allclose(figure.data[1].z, view.plot_leakage(leakage_table(("m",))).data[1].z, equal_nan=True)

    @pytest.mark.parametrize(
        ("table", "sentence"),
        [(leakage_table().iloc[:0], "is empty"), (leakage_table().drop(columns="allowed"), "lacks allowed")],
    )
    def test_an_unfit_table_is_refused(self, table, sentence):
        with pytest.raises(ValueError, match=sentence):
            view.plot_leakage(table)


class TestDependence:
    def test_bands_run_from_the_null_s_mean_to_its_95_percent_where_the_threshold_is(self):
        figure = view.plot_dependence(report())
        bars, marks = traces(figure, "null: mean to 95 %"), traces(figure, "threshold")
        assert len(bars) == len(marks) == len(MEASURES)
        assert np.allclose(bars[0].base, 0.1)
        assert np.allclose(np.add(bars[0].base, bars[0].x), 0.2)
        assert np.allclose(marks[0].x, 0.2)
        assert np.allclose(traces(figure, "what they should hold")[0].x, 0.15)

    def test_a_value_is_red_and_filled_from_p_05_downwards(self):
        figure = view.plot_dependence(report())
        above = [np.isfinite(np.array(trace.x, dtype=float)).all() for trace in traces(figure, "above the null")]
        within = [np.isfinite(np.array(trace.x, dtype=float)).all() for trace in traces(figure, "within the null")]
        assert above == [False, True, True]
        assert within == [True, False, False]
        assert traces(figure, "above the null")[1].x[0] == 0.5
        assert traces(figure, "above the null")[0].marker.symbol == "circle"

    def test_every_point_lies_inside_its_axis(self):
        figure = view.plot_dependence(report())
        for number, value in enumerate((0.05, 0.5, 0.19)):
            low, high = figure.layout[f"xaxis{number + 1 if number else ''}"].range
            assert low < min(0, value) <= max(0.2, value) < high

    def test_rows_say_what_is_given_and_for_which_model_and_p_stands_beside(self):
        one = view.plot_dependence(report(given=("", "aus")))
        assert list(one.layout.yaxis.ticktext) == ["as it is", "given AU set"]
        assert words(one).count("p .010") == 2
        assert "clips exchanged inside subject, subject and AU set" in one.layout.title.subtitle.text
        two = view.plot_dependence(report(models=("a", "<b")))
        assert list(two.layout.yaxis.ticktext) == [
            "a · as it is", "a · given emotion", "&lt;b · as it is", "&lt;b · given emotion",
        ]  # fmt: skip
        assert not two.layout.yaxis2.showticklabels

    def test_a_missing_figure_shows_its_reason(self):
        table = report().dependence
        table.loc[0, ["value", "p", "null_mean", "null_95"]] = np.nan
        table.loc[0, "reason"] = "a branch does not vary"
        assert "a branch does not vary" in words(view.plot_dependence(table))

    def test_a_table_without_models_or_factors_is_drawn(self):
        bare = report(given=("",)).dependence[["measure", "value", "null_mean", "null_95", "p"]]
        assert list(view.plot_dependence(bare).layout.yaxis.ticktext) == ["value"]

    def test_rows_exchanged_over_all_beside_others_are_told(self):
        mixed = report(models=("a", "b")).dependence
        mixed["within"] = np.where(mixed["model"] == "a", "", "subject")
        said = view.plot_dependence(mixed).layout.title.subtitle.text
        assert said == "200 clips · clips exchanged inside subject, or over all"
        assert view.plot_dependence(mixed.assign(within="")).layout.title.subtitle.text.endswith("all clips exchanged")

    def test_the_legend_has_no_diamond_where_nothing_is_known_of_the_factors(self):
        known, unknown = report().dependence, report().dependence.assign(allowed=np.nan)
        assert traces(view.plot_dependence(known), "what they should hold")[0].showlegend
        assert not any(trace.showlegend for trace in traces(view.plot_dependence(unknown), "what they should hold"))

    @pytest.mark.parametrize(
        ("table", "sentence"),
        [(pd.DataFrame(), "lacks measure"), (report().dependence.iloc[:0], "is empty")],
    )
    def test_an_unfit_table_is_refused(self, table, sentence):
        with pytest.raises(ValueError, match=sentence):
            view.plot_dependence(table)


class TestBranchCorrelation:
    MATRIX = np.array([[0.1, -0.9, np.nan], [0.2, 0.3, np.nan]])

    def test_it_is_drawn_as_it_is_or_sorted_by_strength(self):
        plain = view.plot_branch_correlation(self.MATRIX, sort=False).data[1]
        assert np.allclose(plain.z, self.MATRIX, equal_nan=True)
        ordered = view.plot_branch_correlation(self.MATRIX).data[1]
        assert np.allclose(ordered.z, [[-0.9, 0.1, np.nan], [0.3, 0.2, np.nan]], equal_nan=True)
        assert ordered.customdata[0, 0].tolist() == [0, 1]
        assert (ordered.zmin, ordered.zmax) == (-1, 1)

    def test_it_says_how_large_they_are_by_chance_and_what_does_not_vary(self):
        said = view.plot_branch_correlation(self.MATRIX, n_clips=101).layout.title.subtitle.text
        assert "mean |r| 0.375, largest 0.90" in said
        assert "101 clips: by chance 95 % stay below 0.20" in said
        assert said.endswith("<br>grey: 1 of 5 features do not vary at all")
        grey = view.plot_branch_correlation(self.MATRIX, sort=False).data[0].z
        assert np.isfinite(grey[:, 2].astype(float)).all()

    def test_each_line_of_what_is_said_fits_the_picture(self):
        figure = view.plot_branch_correlation(
            np.where(np.arange(8) < 4, -0.123, np.nan) * np.ones((64, 1)), n_clips=9999
        )
        lines = figure.layout.title.subtitle.text.split("<br>")
        assert max(map(len, lines)) * 6.5 < figure.layout.width - 12
        assert figure.layout.margin.t > 40 + 17 * len(lines)

    def test_branches_that_do_not_vary_at_all_are_said_to(self):
        said = view.plot_branch_correlation(np.full((2, 2), np.nan)).layout.title.subtitle.text
        assert said == "no feature varies"

    @pytest.mark.parametrize(
        ("matrix", "options", "sentence"),
        [
            (np.zeros(3), {}, r"have shape \(3,\)"),
            (np.full((2, 2), 1.5), {}, "this matrix holds 1.5"),
            (np.zeros((2, 2)), {"limit": 0}, "limit is 0"),
        ],
    )
    def test_what_is_no_correlation_is_refused(self, matrix, options, sentence):
        with pytest.raises(ValueError, match=sentence):
            view.plot_branch_correlation(matrix, **options)


class TestPValues:
    DRAWS = pd.DataFrame({"nothing": np.arange(1, 101) / 100, "r <= .5": np.full(100, 0.01)})

    def test_a_line_is_the_share_of_draws_with_such_a_p_or_a_smaller_one(self):
        line = next(trace for trace in view.plot_p_values(self.DRAWS).data if trace.meta == "nothing")
        at = dict(zip(line.x, line.y, strict=True))  # the last of equal x is the height after the step
        assert at[0.05] == pytest.approx(0.05)
        assert at[0.5] == pytest.approx(0.5)
        assert (line.x[0], line.y[0], line.x[-1], line.y[-1]) == (0, 0, 1, 1)
        assert line.line.shape == "hv"

    def test_the_share_found_at_the_level_stands_beside_the_name(self):
        names = [trace.name for trace in view.plot_p_values(self.DRAWS).data if trace.meta]
        assert names == ["nothing<br><b>.050</b> at or below .05", "r &lt;= .5<br><b>1.000</b> at or below .05"]

    @pytest.mark.parametrize("n", [10, 40, 200])
    def test_the_band_holds_95_of_100_lines_of_uniform_p_values(self, n):
        # Against the exact law of the statistic (scipy's kstwo).
        assert kstwo.cdf(ks_band(n), n) == pytest.approx(0.95, abs=0.003)

    def test_the_band_is_that_of_the_setting_with_the_fewest_draws_and_stays_in_the_picture(self):
        fewer = self.DRAWS.assign(nothing=self.DRAWS["nothing"].where(self.DRAWS.index < 20))
        figure = view.plot_p_values(fewer)
        band = figure.data[0]
        assert max(band.y[:101] - band.x[:101]) == pytest.approx(ks_band(20))
        assert min(band.y) == 0
        assert max(band.y) == 1
        assert figure.layout.title.subtitle.text.startswith("20 to 100 draws")

    @pytest.mark.parametrize(
        ("table", "sentence"),
        [
            (pd.DataFrame(), "the table has no column"),
            (pd.DataFrame({"a": [np.nan, np.nan]}), "no p value is known of 'a'"),
            (pd.DataFrame({"a": [0.2, 1.2]}), r"lies in \[0, 1\]; 'a' holds 0.2 to 1.2"),
        ],
    )
    def test_what_is_no_p_value_is_refused(self, table, sentence):
        with pytest.raises(ValueError, match=sentence):
            view.plot_p_values(table)
