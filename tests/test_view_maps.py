"""Maps, their colouring and their stability: figures judged by the data they hold."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses
from figure_contents import check_look, texts
from sample_records import sample_clips, sample_features, sample_predictions

from medn_lab import records, view
from medn_lab.diagnose import aligned_umap, umap
from medn_lab.view.maps import CAUTION
from medn_lab.view.rows import colour_choices, colouring

N = 300


CLIPS = sample_clips(n=60)
FEATURES = sample_features(CLIPS)


@pytest.fixture(scope="module")
def embedding():
    return umap(FEATURES, layers={"stem<1>": FEATURES.motion[:, :3]}, method="pca")


@pytest.fixture(scope="module")
def table():
    """Categories of every kind, each of another size: the k-th of m has about k times the clips of the first."""
    rng = np.random.default_rng(0)

    def some(m, name):
        return [f"{name}{place:02}" for place in rng.choice(m, N, p=np.arange(1, m + 1) / (m * (m + 1) / 2))]

    columns = {
        "clip_id": [f"c{place}" for place in range(N)], "subject": some(40, "s"), "label": some(14, "e"),
        "session": some(20, "day "), "few": some(12, "g"),
    }  # fmt: skip
    return pd.DataFrame(columns | {f"AU{number}": rng.integers(0, 2, size=N) for number in (1, 2, 4, 6, 7, 12)})


def places(figure, axis):
    """The points on one pair of axes, as a table by clip_id."""
    own = [pd.DataFrame({"x": t.x, "y": t.y}, index=t.customdata) for t in figure.data if t.xaxis == axis]
    return pd.concat(own).sort_index()


def test_each_clip_stands_once_on_each_map_in_its_emotions_colour(embedding):
    wanted = CLIPS.table["clip_id"][10:25]
    figure = view.plot_embedding(embedding, selected=wanted)
    check_look(figure, "Feature maps")
    facts = ["stem&lt;1&gt;", "PCA · metric euclidean · 60 clips", CAUTION, "15 of 60 clips selected"]
    for axis, (name, xy) in zip(("x", "x2", "x3", "x4"), embedding.maps.items(), strict=True):
        drawn = places(figure, axis)
        assert len(drawn) == 60
        np.testing.assert_allclose(drawn.loc[embedding.table["clip_id"]], xy)
        traces = [trace for trace in figure.data if trace.xaxis == axis]
        lit = [clip_id for trace in traces for clip_id in trace.customdata[list(trace.selectedpoints)]]
        assert ({trace.meta for trace in traces}, sorted(lit)) == ({name}, sorted(wanted))
        facts += [f"{what} {getattr(embedding, what)[name]:.3f}" for what in ("trustworthiness", "continuity")]
        facts += [f"{embedding.params['variance'][name]:.0%} of the variance"]
    assert all(trace.marker.color == view.emotion_colour(trace.legendgroup) for trace in figure.data)
    for fact in (*facts, f"{embedding.params['quality_chance']:.2f}"):
        assert fact in texts(figure)


def test_predictions_are_joined_by_clip_id_not_by_row(embedding):
    predictions = sample_predictions(CLIPS)
    turned = predictions.select(predictions.table["clip_id"][::-1])
    figure = view.plot_embedding(embedding, colour_by="correctness", predictions=turned)
    right = predictions.table["clip_id"][predictions.predicted == predictions.table["label"]]
    assert {*right} == {clip for trace in figure.data if trace.legendgroup == "right" for clip in trace.customdata}
    table = predictions.table.assign(clip_id=[f"other{i}" for i in range(60)])
    other, none = dataclasses.replace(predictions, table=table), "none of the 60 clips .* among the 60 predictions"
    assert_refuses(view.plot_embedding, embedding, predictions=other, match=none)


def test_checkpoints_share_axes_and_the_figure_names_what_may_be_compared():
    maps = aligned_umap({"early": sample_features(CLIPS, seed=5), "late": FEATURES}, method="pca")
    figure, late = view.plot_embeddings(maps), maps["late"]
    check_look(figure, "Feature maps of 2 checkpoints")
    assert (figure.layout.xaxis4.matches, figure.layout.yaxis6.matches) == ("x", "y3")
    np.testing.assert_allclose(places(figure, "x4").loc[late.table["clip_id"], "x"], late.motion_xy[:, 0])
    assert f"shift {late.params['shift']['motion']:.2f}" in texts(figure)
    assert ("aligned to early" in texts(figure), "UMAP" in texts(figure)) == (True, False)
    few = umap(FEATURES.select(CLIPS.table["clip_id"][:10]), method="umap")
    assert "neighbours 4, too few clips for 15" in texts(view.plot_embedding(few))
    single = view.plot_embeddings(dict.fromkeys("ab", umap(FEATURES, method="pca")))
    assert "places cannot be compared between rows" in texts(single)
    assert single.layout.xaxis4.matches is None
    with pytest.raises(ValueError, match="in 10 clips"):
        view.plot_embeddings({"early": maps["early"], "late": late.select(late.table["clip_id"][:50])})


@pytest.mark.parametrize("by", ["subject", "label", "session"])
def test_the_rarest_categories_share_one_entry_and_the_pointer_names_the_true_one(table, by):
    colours = colouring(table, by)
    own = pd.Series(colours.own, index=table["clip_id"])
    sizes = own.value_counts()
    folded = sizes[~sizes.index.isin(colours.counts)]
    *named, (last, count) = colours.counts.items()
    assert (len(named), last, count, sum(colours.counts.values())) == (11, "other", folded.sum(), N)
    assert min(size for _, size in named) >= folded.max()
    figure = view.plot_embedding(records.Embedding(np.ones((N, 2)), None, None, table), colour_by=by)
    rest = figure.data[-1]
    assert (rest.name, len(rest.x)) == (f"other ({count})", count)
    assert f", 11 of {len(sizes)} named" in figure.layout.title.text
    for clip_id, text in zip(rest.customdata, rest.hovertext, strict=True):
        assert any(f" {line}".endswith(f" {own[clip_id]}") for line in text.split("<br>"))


def test_a_table_can_be_coloured_by_all_that_it_offers(table):
    more = {"dataset": ["A", "B"] * (N // 2), "predicted": table["label"].shift(), "fold": 0, "length": np.arange(N)}
    offered = table.assign(**more, AU4=table["AU4"].where(table.index > 0), few=table["few"].mask(table.index == 0))
    choices = set(colour_choices(offered))
    assert choices >= {"label", "predicted", "correctness", "subject", "dataset", "fold", "au_set", "AU4"}
    counts = {key: colouring(offered, key).counts for key in (*choices, "few", "length")}
    assert {sum(one.values()) for one in counts.values()} == {N}
    right = int((offered["predicted"] == offered["label"]).sum())
    assert counts["correctness"] == {"right": right, "wrong": N - 1 - right, "unknown": 1}
    assert (counts["AU4"]["AU4"], len(counts["few"])) == (offered["AU4"].sum(), 13)  # 12 and unknown, not folded
    assert list(counts["length"].values()) == [60] * 5  # quintiles
    assert colouring(offered.assign(subject="01"), "subject").counts == {"A/01": N // 2, "B/01": N // 2}
    assert_refuses(colouring, offered, "AU9", match="cannot colour by 'AU9'; there are label")


def test_the_mean_and_the_ends_of_all_pairs_of_seeds_and_chance_are_drawn():
    columns = {"map": ["motion"] * 3 + ["stem"] * 3, "seed_a": [0, 0, 1] * 2, "seed_b": [1, 2, 2] * 2, "chance": 0.05}
    columns |= {"overlap": [0.9, 0.8, 0.7, 0.3, 0.2, 0.1], "disparity": [0.1, 0.2, 0.3] * 2, "n_clips": 300}
    figure = view.plot_map_stability(pd.DataFrame(columns | {"n_neighbors": 15}))
    check_look(figure, "Stability of the maps over seeds")
    overlap = next(trace for trace in figure.data if trace.name == "mean overlap")
    np.testing.assert_allclose([overlap.error_x.array, overlap.error_x.arrayminus], 0.1)
    means = {trace.name: list(trace.x) for trace in figure.data}
    assert (means["mean overlap"], means["mean disparity"]) == (pytest.approx([0.8, 0.2]), pytest.approx([0.2, 0.2]))
    assert [shape.x0 for shape in figure.layout.shapes] == [0.05]
    assert "300 clips · 3 seeds" in texts(figure)
