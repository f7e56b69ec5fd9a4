"""Figures of confusable pairs: every pair in its place, every number that of its clips, what is missing named."""

import re

import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses
from figure_contents import by_meta, check_look, pictures, texts
from sample_records import sample_clips, sample_features, sample_predictions, swaps_of

from medn_lab import view
from medn_lab.diagnose import confusable_sets, pair_separation, rank_pairs
from medn_lab.records import Attribution
from medn_lab.view.pair import pair_lines

CLIPS = sample_clips(n=40, size=32)
FEATURES, PREDICTIONS = sample_features(CLIPS), sample_predictions(CLIPS)
PAIRS = rank_pairs(CLIPS.table, features=FEATURES, predictions=PREDICTIONS)
NAMES = PAIRS.loc[PAIRS["action_units"] == "12", ["clip_a", "clip_b"]].iloc[0].tolist()


def test_every_pair_is_a_point_in_its_place_with_both_clips_under_the_pointer():
    figure = view.plot_confusable_pairs(PAIRS)
    check_look(figure, "Confusable pairs")
    points = {
        tuple(ids): (x, y, trace.marker.symbol, trace.meta, text)
        for trace in figure.data
        for ids, x, y, text in zip(trace.customdata, trace.x, trace.y, trace.hovertext, strict=True)
    }
    assert len(points) == len(PAIRS)
    for row in PAIRS.itertuples():
        x, y, symbol, verdict, text = points[row.clip_a, row.clip_b]
        assert (x, y) == pytest.approx((1 - row.motion_similarity, row.emotion_separation))
        assert (symbol == "diamond", verdict) == (row.opposite, row.verdict)
        assert text.endswith(f"rank {row.Index}")
        assert ("predicted" in text) == ((row.predicted_a, row.predicted_b) != (row.label_a, row.label_b))
    assert PAIRS.attrs["rule"] in texts(figure)
    many = pd.concat([PAIRS] * (4001 // len(PAIRS) + 1), ignore_index=True)
    assert f"{len(many)} pairs, one in 2 drawn" in texts(view.plot_confusable_pairs(many))


def test_the_bars_of_the_sets_and_the_separations_are_those_of_the_tables():
    sets, found = confusable_sets(CLIPS.table), pair_separation(CLIPS.table, features=FEATURES, n_resamples=50)
    figure = view.plot_confusable_sets(sets)
    check_look(figure, "AU sets with more than one emotion")
    assert all(list(trace.x) == sets[trace.name].tolist() for trace in figure.data)
    assert sum(sum(trace.x) for trace in figure.data) == sets["n_clips"].sum()
    figure, row = view.plot_pair_separation(found), found.iloc[0]
    check_look(figure, "Separation of confusable pairs")
    assert list(by_meta(figure, "value").x) == found["value"].tolist()
    assert [shape.x0 for shape in figure.layout.shapes] == [0.5]
    assert f"{row['n_pairs']} pairs compared with {row['n_controls']}" in texts(figure)
    found.attrs["n_left_out"] = 5
    assert "5 pairs without a control left out" in texts(view.plot_pair_separation(found))


def test_no_pairs_give_the_reason():
    table = CLIPS.table.assign(action_units="?")
    for figure in (
        view.plot_confusable_pairs(rank_pairs(table, features=FEATURES)),
        view.plot_confusable_sets(confusable_sets(table)),
        view.plot_pair_separation(pair_separation(table, features=FEATURES)),
    ):
        assert [trace.x for trace in figure.data] == [(None,)]
        assert "the AUs of all 40 clips are unknown" in texts(figure)


def test_a_branch_is_compared_with_its_controls_and_the_effects_of_swapping_add_up():
    for beyond, n, verdict in (
        (0.95, 20, "branch separates them"), (0.94, 45, "does not separate them"),
        (1.0, 19, "too few controls to say (19)"), (np.nan, 0, "no control"),
    ):  # fmt: skip
        pair = {"emotion_separation": 0.8, "emotion_beyond": beyond, "n_controls": n}
        (line,) = pair_lines(pd.Series(pair, dtype=object))
        assert (verdict in line, "controls and" in line, "80% of all pairs" in line) == (True, n > 0, True)
    line, *_ = pair_lines(pd.Series({"motion_similarity": 0.998, "motion_beyond": 3 / 45, "n_controls": 45}))
    assert "7% of 45 controls and 0.2% of all pairs" in line
    swaps = swaps_of((5.0, 2.0, -1.0, -6.0)).iloc[[2, 0, 3, 1]]
    assert "11.0 logits: +4.0 from the flow, +7.0 from the frames" in pair_lines(None, swaps=swaps)[0]


def test_the_figure_holds_faces_flows_attribution_scores_and_verdicts():
    both = CLIPS.select(NAMES)
    frames = np.zeros(both.frames.shape, np.float32)
    frames[0, 0] = 9  # the onset's own values do not count
    frames[0, 3, :, :13], frames[1, 3, :, 19:] = 1, -0.5  # red on the left of a, half as strong blue on the right of b
    attribution = Attribution(frames, None, both.table, "happiness - others", "emotion", "integrated_gradients")
    given = {"attribution": attribution, "pairs": PAIRS, "predictions": PREDICTIONS, "swaps": swaps_of()}
    figure = view.plot_pair(CLIPS, NAMES, width=760, **given)
    check_look(figure, "Confusable pair")
    assert (748 < figure.layout.width <= 760, len(pictures(figure))) == (True, 7)
    *_, red, blue = (picture.astype(int) for picture in pictures(figure))
    redness = (red[..., 0] - red[..., 2])[:, : int(0.4 * red.shape[1])].mean()
    blueness = (blue[..., 2] - blue[..., 0])[:, int(0.6 * blue.shape[1]) :].mean()
    assert redness > 80
    assert 0.4 < blueness / redness < 0.9  # half the value is paler
    assert re.findall(r"sum ([+-])", texts(figure)) == ["+", "-"]
    for bar, name in zip(figure.select_traces({"type": "bar"}), NAMES, strict=True):
        row = PREDICTIONS.table.index[PREDICTIONS.table["clip_id"] == name][0]
        assert np.asarray(bar.x) == pytest.approx(PREDICTIONS.probabilities[row])
    for part in ("motion branch", "emotion branch", "10.0 logits", "difference of flows", "red raises"):
        assert part in texts(figure)
    turned = texts(view.plot_pair(CLIPS, NAMES[::-1], **given))
    assert turned.index(NAMES[1]) < turned.index(NAMES[0])  # in the order given
    made = dict.fromkeys(("scores", "baseline_scores"), np.zeros(len(CLIPS)))
    every = Attribution(np.zeros(CLIPS.frames.shape), None, CLIPS.table, "x - y", "emotion", "saliency", **made)
    assert texts(view.plot_pair(CLIPS, NAMES, attribution=every)).count("score of") == 2  # of this pair alone
    assert_refuses(view.plot_pair, CLIPS, NAMES[:1], match="two clips; 1")
    labels = CLIPS.table.set_index("clip_id")["label"]
    alike = [NAMES[0], labels.drop(NAMES[0]).eq(labels[NAMES[0]]).idxmax()]
    for clips, names in ((CLIPS, alike), (CLIPS.with_table(CLIPS.table[["clip_id", "subject", "label"]]), NAMES)):
        check_look(view.plot_pair(clips, names), "Two clips")
