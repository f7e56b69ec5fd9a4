"""BranchExplorer: filters, colours, the measures of a selection, and what it says of records that lack something."""

import asyncio
import dataclasses

import numpy as np
import pandas as pd
import pytest
import traitlets
from sample_records import CLASSES, sample_clips, sample_embedding, sample_features, sample_predictions
from test_widgets_explorer import click, lasso, styles_drawn

from medn_lab.diagnose import selection_measures
from medn_lab.records import Embedding, Predictions
from medn_lab.view import plot_embedding, theme
from medn_lab.widgets import BranchExplorer


@pytest.fixture(scope="module")
def records():
    clips = sample_clips(n=80, size=16)
    features = sample_features(clips)
    return {
        "embedding": sample_embedding(features),
        "clips": clips,
        "predictions": sample_predictions(clips),
        "features": features,
    }


@pytest.fixture
def explorer(records):
    return BranchExplorer(**records)


@pytest.fixture(scope="module")
def measure(records):
    return selection_measures(records["features"])


def on_the_maps(explorer):
    return np.flatnonzero(np.frombuffer(explorer.branch_maps.kept, np.uint8))


# Filters --------------------------------------------------------------------------------------------------------------


def test_a_filter_leaves_its_clips_alone_on_every_map(explorer, records):
    table = records["clips"].table
    explorer._controls.filters["subjects"].value = "s02"
    wanted = np.flatnonzero(table["subject"] == "s02")
    assert np.array_equal(on_the_maps(explorer), wanted)
    assert set(explorer.shown["subject"]) == {"s02"}
    assert "20 of 80 clips shown" in explorer._controls.shown.value
    explorer._controls.everything.click()
    assert len(on_the_maps(explorer)) == 80
    assert explorer._controls.filters["subjects"].value == ""
    assert explorer._controls.shown.value == ""


def test_filters_by_au_set_au_and_subject_work_together(explorer, records):
    table = records["clips"].table
    shown = explorer.filter(aus=["AU1"], subjects=["s01", "s02"])
    assert shown["clip_id"].tolist() == table.query("AU1 == 1 and subject in ['s01', 's02']")["clip_id"].tolist()
    assert (
        dict(explorer._controls.filters["subjects"].options)["2 chosen"] == explorer._controls.filters["subjects"].value
    )
    shown = explorer.filter(au_sets="AU1+AU4")
    assert set(shown["action_units"]) == {"1+4"}
    assert len(explorer.filter()) == 80


def test_a_lasso_a_group_and_same_aus_take_what_is_shown_alone(explorer, records):
    table = records["clips"].table
    explorer.filter(subjects=["s01"])
    lasso(explorer, [0, 1, 2, 4, 8])
    assert explorer.selection["clip_id"].tolist() == table["clip_id"].iloc[[0, 4, 8]].tolist()
    explorer._controls.groups.value = "others"
    assert set(explorer.selection["subject"]) == {"s01"}
    assert {value: name for name, value in explorer._controls.groups.options}["others"] == (
        f"others ({len(explorer.selection)})"
    )
    explorer.show(table["clip_id"].iloc[0])
    assert set(explorer.select_same_aus()["subject"]) == {"s01"}


def test_a_filter_takes_hidden_clips_out_of_the_selection_and_they_cannot_be_selected(explorer, records):
    table = records["clips"].table
    explorer.select(table["clip_id"].iloc[:4])
    explorer.filter(subjects=["s01"])
    assert explorer.selection["clip_id"].tolist() == [table["clip_id"].iloc[0]]
    with pytest.raises(ValueError, match="1 of 2 clips are hidden by the filter"):
        explorer.select(table["clip_id"].iloc[:2])


def test_a_filter_that_nothing_passes_is_refused_and_said_on_the_page(explorer):
    with pytest.raises(ValueError, match="no clip has the subject 'nobody'; there are s01, s02"):
        explorer.filter(subjects=["nobody"])
    with pytest.raises(ValueError, match="no clip has AU set AU1, AU AU12 all together"):
        explorer.filter(au_sets=["AU1"], aus=["AU12"])
    explorer._controls.filters["au_sets"].value = "AU1"
    explorer._controls.filters["aus"].value = "AU12"
    assert "all together" in explorer._pair.message.value
    assert set(explorer.shown["action_units"]) == {"1"}


def test_subjects_of_two_data_sets_are_told_apart(records):
    table = records["embedding"].table.assign(dataset=["one", "two"] * 40, subject="01")
    explorer = BranchExplorer(dataclasses.replace(records["embedding"], table=table))
    assert len(explorer.filter(subjects=["two/01"])) == 40
    assert len(explorer.filter(datasets=["one"])) == 40


# Colours --------------------------------------------------------------------------------------------------------------


def test_every_colouring_of_the_issue_has_a_legend(records):
    folds = dataclasses.replace(records["predictions"], fold=np.arange(80) % 4)
    explorer = BranchExplorer(**{**records, "predictions": folds})
    for key in ("label", "AU12", "au_set", "subject", "correctness", "gate", "fold"):
        explorer._controls.colour_list.value = key
        assert {one["name"] for one in styles_drawn(explorer)} == {one["name"] for one in explorer.branch_maps.styles}
        assert explorer.branch_maps.legend_title
    assert len(explorer.branch_maps.styles) == 4


def test_the_gate_is_joined_by_clip_and_coloured_in_steps(records):
    features = records["features"]
    turned = features.select(features.table["clip_id"].iloc[::-1])
    explorer = BranchExplorer(records["embedding"], features=turned, colour_by="gate")
    assert np.allclose(explorer.select(features.table["clip_id"][:5])["gate"], features.gate[:5].mean(axis=1))
    order = list(explorer._colours.styles)
    steps = [order.index(value) for value in explorer._colours.values]
    assert np.corrcoef(steps, features.gate.mean(axis=1))[0, 1] > 0.9
    figure = plot_embedding(records["embedding"], features=turned, colour_by="gate")
    assert "gate (0 all emotion, 1 all motion)" in figure.layout.title.text


# The measures of a selection ------------------------------------------------------------------------------------------


def test_the_measures_of_all_clips_and_then_of_the_selection_are_shown(records, measure):
    explorer = BranchExplorer(**records, measure=measure)
    pd.testing.assert_frame_equal(explorer.measures, measure())
    lasso(explorer, range(40))
    pd.testing.assert_frame_equal(explorer.measures, measure(records["clips"].table["clip_id"][:40]))
    written = explorer._measured.widget.value
    selected, every = (
        table.query("kind == 'leakage' and branch == 'emotion' and target == 'AUs'")["value"].iloc[0]
        for table in (explorer.measures, measure())
    )
    assert f"<b>{selected:.2f}</b><span>{every:.2f}</span>" in written
    assert "Selected: 40 clips of 4 subjects" in written
    explorer.clear()
    pd.testing.assert_frame_equal(explorer.measures, measure())


def test_too_small_a_selection_says_so(records, measure):
    explorer = BranchExplorer(**records, measure=measure)
    explorer.select(records["clips"].table["clip_id"][:3])
    assert "needs at least 4 clips, there are 3" in explorer._measured.widget.value
    assert "needs at least 20 clips of 2 subjects, there are 3 of 3" in explorer._measured.widget.value


def test_the_newest_selection_wins_and_what_is_under_way_is_said(records, measure):
    ids = records["clips"].table["clip_id"]

    async def two_lassos():
        explorer = BranchExplorer(**records, measure=measure)
        explorer.select(ids[:30])
        assert "Computing for 30 selected clips" in explorer._measured.widget.value or (
            "computing" in explorer._measured.widget.value
        )
        await asyncio.sleep(0.05)
        explorer.select(ids[10:70])
        heard = []
        explorer.observe(lambda change: heard.append(set(change.new["drawn_from"])), "measures")
        for _ in range(6000):
            await asyncio.sleep(0.05)
            if explorer._measured._steps._left == []:
                break
        assert heard
        assert all(one == {60} for one in heard)
        pd.testing.assert_frame_equal(explorer.measures, measure(ids[10:70]))
        pd.testing.assert_frame_equal(explorer._measured._all, measure())

    asyncio.run(two_lassos())


def test_a_plain_function_may_measure_and_its_complaint_is_said(records):
    def plain(clip_ids):
        if len(clip_ids) == 1:
            raise ValueError("one clip is not enough")
        row = {"kind": "dependence", "measure": "linear_cka", "branch": "", "target": "", "chance": 0.0, "reason": ""}
        return pd.DataFrame([{**row, "value": len(clip_ids) / 100, "n_clips": len(clip_ids), "n_subjects": 2}])

    explorer = BranchExplorer(**records, measure=plain)
    explorer.select(records["clips"].table["clip_id"][:40])
    assert "<b>0.40</b><span>0.80</span>" in explorer._measured.widget.value
    explorer.select(records["clips"].table["clip_id"][:1])
    assert "one clip is not enough" in explorer._measured.widget.value


def test_without_a_measure_it_says_how_to_get_one(explorer):
    assert "selection_measures(features)" in explorer._measured.widget.value


# The partner at a click -----------------------------------------------------------------------------------------------


def test_a_click_shows_the_pair_where_that_is_switched_on(explorer, records):
    click(explorer, 0)
    assert explorer.partner_id == ""
    explorer._controls.partner_at_click.value = True
    click(explorer, 1)
    table = records["clips"].table.set_index("clip_id")
    assert table.loc[explorer.partner_id, "action_units"] == table.loc[explorer.clip_id, "action_units"]
    assert table.loc[explorer.partner_id, "label"] != table.loc[explorer.clip_id, "label"]
    lonely = int(np.flatnonzero(table["action_units"] == "")[0])
    click(explorer, lonely)
    assert explorer.partner_id == ""
    assert "no confusable partner here" in explorer._pair.message.value


# What is lacking ------------------------------------------------------------------------------------------------------


def test_maps_of_layers_alone_can_be_explored(records):
    xy = records["embedding"].motion_xy
    layers = {f"layer {place}": xy + place for place in range(4)}
    embedding = Embedding(None, None, None, records["embedding"].table, layers=layers)
    explorer = BranchExplorer(embedding, clips=records["clips"])
    assert explorer.branch_maps.titles == ["layer 0", "layer 1", "layer 2"]
    explorer.select(embedding.table["clip_id"].iloc[[1, 6]])
    assert explorer.branch_maps.rows.tolist() == [1, 6]
    places = np.frombuffer(explorer.branch_maps.xy, np.float32).reshape(3, -1, 2)
    assert np.allclose(places[2, [1, 6]], xy[[1, 6]] + 2)
    explorer.show(embedding.table["clip_id"].iloc[0])
    assert explorer.show_partner()
    assert "layer 0 map" in explorer._pair.message.value
    assert BranchExplorer(embedding, maps=["layer 3"]).branch_maps.titles == ["layer 3"]
    with pytest.raises(ValueError, match="name one to 3 different ones of layer 0"):
        BranchExplorer(embedding, maps=["motion"])


def test_an_empty_record_is_named_and_harmless(records):
    empty = dataclasses.replace(
        records["embedding"], table=records["embedding"].table.iloc[:0],
        **{f"{name}_xy": np.zeros((0, 2), np.float32) for name in ("motion", "emotion", "fused")},
    )  # fmt: skip
    explorer = BranchExplorer(empty, measure=lambda ids: pd.DataFrame())
    assert "There are no clips on these maps" in explorer._foot.value
    explorer.clear()
    explorer._controls.same.click()
    assert "hover or click a point first" in explorer._pair.message.value


def test_predictions_of_another_class_list_are_not_called_wrong(records):
    classes = ("negative", "others")
    other = Predictions(np.eye(2)[np.arange(80) % 2] * 3, records["clips"].table, classes)
    explorer = BranchExplorer(records["embedding"], predictions=other, colour_by="correctness")
    assert "know negative, others and not disgust, happiness, surprise" in explorer._foot.value
    labels = records["clips"].table["label"].to_numpy()
    assert set(explorer._colours.values[labels != "others"]) == {"unknown"}
    assert set(explorer._colours.values[labels == "others"]) == {"right", "wrong"}
    explorer.select(records["clips"].table["clip_id"])
    judged = (labels == "others").sum()
    assert f"of {judged} predicted right" in explorer._selected.value
    explorer.show(records["clips"].table["clip_id"].iloc[0])
    assert "negative" in explorer._pair.cards[0].value


def test_labels_and_aus_that_are_not_known_are_shown_as_that(records):
    table = records["embedding"].table.copy()
    table["label"] = table["label"].where(np.arange(80) % 3 > 0)
    table = table.drop(columns=["action_units"]).assign(AU1=np.nan, AU4=np.nan, AU12=np.nan, AU15=np.nan)
    features = dataclasses.replace(records["features"], table=table)
    explorer = BranchExplorer(
        dataclasses.replace(records["embedding"], table=table), features=features, clips=records["clips"],
        predictions=records["predictions"], measure=selection_measures(features),
    )  # fmt: skip
    assert theme.GREY in {one["colour"] for one in explorer.branch_maps.styles}
    explorer.select(table["clip_id"][:30])
    explorer.show(table["clip_id"].iloc[0])
    assert "AUs unknown" in explorer._pair.cards[0].value
    explorer._controls.partner.click()
    assert "is not known" in explorer._pair.message.value
    explorer.show(table["clip_id"].iloc[1])
    explorer._controls.same.click()
    assert "the AUs of" in explorer._pair.message.value
    assert "no AU has 8 positive" in explorer._measured.widget.value


def test_one_subject_one_class_and_one_branch_are_enough(records):
    table = records["embedding"].table.assign(subject="s01", label=CLASSES[0], emotion=CLASSES[0])
    features = dataclasses.replace(records["features"], table=table, emotion=None, gate=None)
    embedding = dataclasses.replace(records["embedding"], table=table, emotion_xy=None)
    explorer = BranchExplorer(embedding, features=features, measure=selection_measures(features))
    assert "no emotion branch" in explorer._measured.widget.value
    assert "subjects" not in explorer._controls.filters
    explorer.show(table["clip_id"].iloc[0])
    explorer._controls.partner.click()
    assert "are labelled" in explorer._pair.message.value
    assert len(explorer.select(table["clip_id"])) == 80


def test_ten_thousand_clips_are_made_filtered_and_lassoed_in_time():
    rng = np.random.default_rng(0)
    n = 10_000
    table = pd.DataFrame(
        {
            "clip_id": [f"clip{k:05d}" for k in range(n)], "subject": [f"s{k % 200:03d}" for k in range(n)],
            "label": rng.choice(CLASSES, n), "AU4": rng.integers(0, 2, n).astype(float),
        }
    )  # fmt: skip
    maps = {f"{name}_xy": rng.normal(size=(n, 2)).astype(np.float32) for name in ("motion", "emotion", "fused")}
    explorer = BranchExplorer(Embedding(**maps, table=table))
    lasso(explorer, range(0, n, 4))
    explorer.filter(aus=["AU4"])
    explorer.show("clip00007")
    assert len(explorer.selection) == (table["AU4"].iloc[::4] == 1).sum()
    assert np.array_equal(np.frombuffer(explorer.branch_maps.kept, np.uint8) == 1, table["AU4"] == 1)


class TestHiddenClips:
    """What a filter hides is neither shown, ringed, selected nor anyone's partner."""

    @pytest.fixture
    def hidden(self, records):
        """An explorer with a filter, and a clip that it hides."""
        explorer = BranchExplorer(**records)
        subject = explorer.shown["subject"].iloc[0]
        clip_id = explorer.shown.loc[explorer.shown["subject"] != subject, "clip_id"].iloc[0]
        return explorer, subject, clip_id

    def test_a_hidden_clip_is_not_shown(self, hidden):
        explorer, subject, clip_id = hidden
        explorer.filter(subjects=[subject])
        for act in (explorer.show, lambda name: setattr(explorer, "clip_id", name)):
            with pytest.raises((ValueError, traitlets.TraitError), match=r"hidden by the filter; call filter\(\)"):
                act(clip_id)
        explorer._controls.clip_list.value = clip_id
        assert "hidden by the filter" in explorer._pair.message.value
        assert (explorer.clip_id, explorer._controls.clip_list.value) == ("", "")
        explorer.filter()
        explorer.show(clip_id)
        assert explorer.clip_id == clip_id

    def test_a_filter_puts_away_what_it_hides(self, hidden):
        explorer, subject, clip_id = hidden
        explorer.show(clip_id)
        explorer.filter(subjects=[subject])
        assert (explorer.clip_id, explorer.partner_id, explorer.branch_maps.rings) == ("", "", [])
        with pytest.raises(ValueError, match="no clip is in hand"):
            explorer.show_partner()

    def test_a_filter_puts_a_partner_away_and_leaves_the_clip(self, hidden):
        explorer, subject, clip_id = hidden
        own = explorer.shown.loc[explorer.shown["subject"] == subject, "clip_id"].iloc[0]
        explorer.show(own)
        explorer.partner_id = clip_id
        explorer.filter(subjects=[subject])
        assert (explorer.clip_id, explorer.partner_id) == (own, "")

    def test_the_partner_is_the_nearest_that_the_filter_leaves(self):
        table = pd.DataFrame(
            {"clip_id": list("abcd"), "subject": list("1234"), "AU4": [1, 1, 1, 0], "label": ["x", "y", "y", "y"]}
        )
        places = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0], [0.1, 0.0]], np.float32)
        explorer = BranchExplorer(Embedding(places, places, places, table))
        explorer.show("a")
        assert explorer.show_partner() == "b"
        explorer.filter(subjects=["1", "3", "4"])
        assert (explorer.clip_id, explorer.partner_id) == ("a", "")
        assert explorer.show_partner() == "c"

    def test_all_partners_hidden_is_one_sentence(self):
        table = pd.DataFrame(
            {"clip_id": list("abc"), "subject": ["1", "2", "2"], "AU4": [1, 1, 1], "label": ["x", "y", "y"]}
        )
        explorer = BranchExplorer(Embedding(*np.random.default_rng(0).normal(size=(3, 3, 2)), table))
        explorer.filter(subjects=["1"])
        explorer.show("a")
        with pytest.raises(ValueError, match="all 2 confusable partners of 'a' are hidden by the filter; show all"):
            explorer.show_partner()
        assert explorer.partner_id == ""

    def test_the_line_counts_the_clips_that_are_shown(self, hidden):
        explorer, subject, _ = hidden
        own = explorer.shown.loc[explorer.shown["subject"] == subject, "clip_id"]
        explorer.select(list(own[:3]))
        assert f"<b>3 of {len(explorer.shown)} clips</b>" in explorer._selected.value
        explorer.filter(subjects=[subject])
        assert f"<b>3 of {len(own)} shown clips</b>" in explorer._selected.value

    def test_a_filter_that_leaves_none_leaves_the_lists_as_they_were(self, records):
        table = pd.DataFrame({"clip_id": list("ab"), "subject": ["1", "2"], "AU4": [1, 0], "AU12": [0, 1]})
        explorer = BranchExplorer(Embedding(*np.random.default_rng(0).normal(size=(3, 2, 2)), table))
        explorer.filter(subjects=["1"])
        explorer._controls.filters["aus"].value = "AU12"
        assert "no clip has" in explorer._pair.message.value
        assert (explorer._controls.filters["aus"].value, explorer._controls.filters["subjects"].value) == ("", "1")
        assert explorer.shown["clip_id"].tolist() == ["a"]
