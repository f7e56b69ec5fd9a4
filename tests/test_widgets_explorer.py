"""BranchExplorer: what a gesture in one map does to the others, to the selection and to the clip in hand."""

import asyncio
import dataclasses
import re
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from sample_records import sample_clips, sample_embedding, sample_features, sample_predictions

from medn_lab.records import Embedding
from medn_lab.view import theme
from medn_lab.widgets import BranchExplorer
from medn_lab.widgets.partners import all_partners, confusable_partner
from medn_lab.widgets.timing import Dwell

MAPS = ("motion", "emotion", "fused")


@pytest.fixture(scope="module")
def records():
    clips = sample_clips(n=40)
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


def lasso(explorer, rows):
    """What the page does when a lasso was let go."""
    explorer.branch_maps.lit = np.asarray(sorted(rows), dtype=np.int32).tobytes()


def click(explorer, row):
    explorer.branch_maps.clicked = [row, explorer.branch_maps.clicked[1] + 1]


def hover(explorer, row):
    explorer.branch_maps.hovered = row


def followed(explorer):
    """A list that grows with the sizes of the selections."""
    seen = []
    explorer.observe(lambda change: seen.append(len(change.new)), "selection")
    return seen


def ringed(explorer):
    return [row for row, _ in explorer.branch_maps.rings]


def styles_drawn(explorer):
    """The category of each clip as it is drawn: name, colour, symbol."""
    return [explorer.branch_maps.styles[place] for place in explorer.branch_maps.style_of]


def faces(explorer):
    return explorer._pair.view.faces


def test_a_lasso_in_one_map_lights_the_same_clips_in_the_others(explorer, records):
    rows = [3, 7, 11]
    lasso(explorer, rows)
    places = np.frombuffer(explorer.branch_maps.xy, np.float32).reshape(3, 40, 2)
    for branch, drawn in zip(MAPS, places, strict=True):
        assert np.array_equal(drawn, getattr(records["embedding"], f"{branch}_xy"))
    assert explorer.branch_maps.titles == list(MAPS)
    assert explorer.branch_maps.rows.tolist() == rows
    assert explorer.selection["clip_id"].tolist() == records["clips"].table["clip_id"].iloc[rows].tolist()
    assert "3 of 40 clips" in explorer._selected.value


def test_the_selection_can_be_followed(explorer):
    seen = followed(explorer)
    lasso(explorer, [1, 2])
    explorer.clear()
    assert seen == [2, 0]


def test_the_selection_carries_the_predictions(explorer, records):
    chosen = explorer.select(records["clips"].table["clip_id"].iloc[[5, 2]])
    expected = records["predictions"].predicted[[2, 5]]
    assert chosen["predicted"].tolist() == expected.tolist()


def test_clearing_brings_every_clip_back(explorer):
    lasso(explorer, [0, 1])
    explorer._controls.clear.click()
    assert len(explorer.selection) == 0
    assert explorer.branch_maps.rows.tolist() == []
    assert "Nothing is selected" in explorer._selected.value


def test_hovering_rings_the_clip_in_every_map_and_shows_it(explorer, records):
    hover(explorer, 9)
    assert ringed(explorer) == [9]
    assert explorer.clip_id == records["clips"].table["clip_id"].iloc[9]
    assert explorer.clip_id in explorer._pair.cards[0].value
    assert [face["count"] for face in faces(explorer)] == [8]


def test_a_click_shows_the_clip_with_its_scores_and_coded_aus(explorer, records):
    click(explorer, 0)
    card = explorer._pair.cards[0].value
    share = records["predictions"].probabilities[0].max()
    assert f"{share:.0%}" in card
    assert "AU4" in card
    assert "◀ label" in card


def test_the_partner_has_the_same_aus_and_another_emotion_and_plays_beside(explorer, records):
    table = records["clips"].table.set_index("clip_id")
    explorer.show(table.index[0])
    assert len(faces(explorer)) == 1
    partner = explorer.show_partner()
    assert table.loc[partner, "action_units"] == table.loc[explorer.clip_id, "action_units"]
    assert table.loc[partner, "label"] != table.loc[explorer.clip_id, "label"]
    assert len(faces(explorer)) == 2
    assert partner in explorer._pair.cards[1].value
    assert [colour for _, colour in explorer.branch_maps.rings] == [theme.RING, theme.PARTNER_RING]


def test_the_partner_is_the_nearest_in_the_motion_features(records):
    table, motion = records["clips"].table, records["features"].motion
    first = table["clip_id"].iloc[0]
    partner, distance = confusable_partner(table, first, places=motion)
    scaled = motion / motion.std(axis=0)
    alike = (table["action_units"] == table["action_units"].iloc[0]) & (table["label"] != table["label"].iloc[0])
    distances = np.linalg.norm(scaled - scaled[0], axis=1)[alike]
    assert distance == pytest.approx(distances.min(), rel=1e-5)
    assert partner == table.loc[alike, "clip_id"].iloc[distances.argmin()]


def test_a_clip_without_a_partner_says_why_on_the_page(explorer, records):
    lonely = records["clips"].table.query("action_units == ''")["clip_id"].iloc[0]
    explorer.show(lonely)
    with pytest.raises(ValueError, match="no AU is coded in"):
        explorer.show_partner()
    explorer._controls.partner.click()
    assert "no confusable partner here" in explorer._pair.message.value


def test_a_button_without_a_clip_in_hand_says_what_to_do(explorer):
    explorer._controls.same.click()
    assert "hover or click a point first" in explorer._pair.message.value


def test_same_aus_selects_every_clip_with_that_au_set(explorer, records):
    table = records["clips"].table
    explorer.show(table["clip_id"].iloc[1])
    chosen = explorer.select_same_aus()
    assert set(chosen["clip_id"]) == set(table.loc[table["action_units"] == "12", "clip_id"])


def test_a_group_of_the_colouring_can_be_lit_from_the_list(explorer, records):
    explorer.colour_by = "AU12"
    explorer._controls.groups.value = "AU12"
    assert set(explorer.selection["clip_id"]) == set(records["clips"].table.query("AU12 == 1")["clip_id"])


def test_colouring_recolours_every_map_and_the_legend(explorer):
    explorer._controls.colour_list.value = "predicted"
    assert explorer.colour_by == "predicted"
    assert [one["name"] for one in styles_drawn(explorer)] == explorer.shown["predicted"].tolist()
    assert all(one["colour"] == theme.emotion_colour(one["name"]) for one in styles_drawn(explorer))
    assert explorer.branch_maps.legend_title == "predicted emotion"


def test_a_clip_named_in_the_box_is_shown_and_an_unknown_one_is_explained(explorer, records):
    wanted = records["clips"].table["clip_id"].iloc[4]
    explorer._controls.clip_list.value = wanted
    assert explorer.clip_id == wanted
    explorer._controls.clip_list.value = "nobody"
    assert "nobody" in explorer._pair.message.value
    assert explorer.clip_id == wanted


def test_an_unknown_or_an_empty_selection_is_refused(explorer):
    with pytest.raises(ValueError, match="1 of 1 clips are not in this explorer, such as 'nobody'"):
        explorer.select(["nobody"])
    with pytest.raises(ValueError, match="the selection is empty"):
        explorer.select([])
    with pytest.raises(ValueError, match="'nobody'"):
        explorer.show("nobody")


def test_without_clips_predictions_and_some_maps_it_shows_the_rest(records):
    embedding = dataclasses.replace(records["embedding"], fused_xy=None)
    explorer = BranchExplorer(embedding)
    explorer.show(embedding.table["clip_id"].iloc[0])
    assert explorer.branch_maps.titles == ["motion", "emotion"]
    assert "No clips were given" in explorer._pair.view.notes[0]
    assert "No predictions were given" in explorer._pair.cards[0].value
    assert explorer.show_partner()


def test_flow_without_frames_and_clips_left_out_are_named(records):
    flow_alone = dataclasses.replace(records["clips"], frames=None)
    explorer = BranchExplorer(records["embedding"], clips=flow_alone)
    ids = records["clips"].table["clip_id"]
    explorer.show(ids.iloc[0])
    assert "no frames" in explorer._pair.view.notes[0]
    few = BranchExplorer(records["embedding"], clips=records["clips"].select(ids.iloc[:3]))
    few.show(ids.iloc[9])
    assert f"{ids.iloc[9]} is not among the clips" in few._pair.view.notes[0]


def test_a_bare_table_is_enough():
    xy = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    explorer = BranchExplorer(Embedding(None, xy, None, pd.DataFrame({"clip_id": list("abcdef")})))
    explorer.select(["a", "b"])
    explorer.show("c")
    explorer._controls.partner.click()
    assert "is not known" in explorer._pair.message.value
    assert "2 of 6 clips" in explorer._selected.value


def test_names_from_the_table_are_escaped(records):
    table = records["embedding"].table.assign(label="<b>x</b>", subject="<script>")
    explorer = BranchExplorer(dataclasses.replace(records["embedding"], table=table))
    explorer.show(table["clip_id"].iloc[0])
    explorer.select(table["clip_id"].iloc[:2])
    written = explorer._pair.cards[0].value + explorer._selected.value
    assert "<b>x" not in written
    assert "<script>" not in written


def test_features_of_other_clips_are_refused(records):
    features = records["features"]
    with pytest.raises(ValueError, match="35 of 40 clips are not in these BranchFeatures"):
        BranchExplorer(records["embedding"], features=features.select(features.table["clip_id"].iloc[:5]))


def test_only_the_last_of_a_quick_run_of_gestures_is_acted_on():
    done = []

    async def sweep():
        dwell = Dwell(done.append, seconds=0.02)
        for row in range(5):
            dwell(row)
        await asyncio.sleep(0.08)

    asyncio.run(sweep())
    assert done == [4]


def test_the_explorer_can_be_found_on_the_page(explorer):
    assert "medn-branch-explorer" in explorer._dom_classes


def test_the_page_can_draw_every_marker_of_the_theme():
    page = files("medn_lab.widgets").joinpath("branch_maps.js").read_text(encoding="utf-8")
    cornered = set(re.findall(r'^  "([a-z-]+)": ', page, flags=re.MULTILINE))
    used = {*theme.SYMBOL_GLYPHS, *theme.EMOTION_SYMBOLS.values(), *theme.CATEGORY_SYMBOLS}
    assert used - cornered == {"circle", "circle-open", "x-thin-open"}  # round, or lines without an inside


def test_a_category_that_the_legend_switches_off_is_hidden_and_not_selected(explorer, records):
    lasso(explorer, range(40))
    explorer.branch_maps.hidden = ["others"]
    left = records["clips"].table.query("label != 'others'")["clip_id"].tolist()
    assert explorer.shown["clip_id"].tolist() == left == explorer.selection["clip_id"].tolist()
    explorer.colour_by = "subject"
    assert (explorer.branch_maps.hidden, len(explorer.shown)) == ([], 40)


def test_a_clip_is_drawn_by_its_category_and_the_pointer_reads_plain_text(records):
    table = records["embedding"].table.assign(label="a < b & c")
    explorer = BranchExplorer(dataclasses.replace(records["embedding"], table=table))
    assert explorer.branch_maps.texts[0].split("\n")[0] == table["clip_id"].iloc[0]
    assert "a < b & c" in explorer.branch_maps.texts[0]


def test_the_partners_of_all_clips_are_those_that_are_shown_one_by_one():
    rng = np.random.default_rng(0)
    n = 120
    table = pd.DataFrame(
        {
            "clip_id": [f"c{k}" for k in range(n)], "AU4": rng.integers(0, 2, n), "AU12": rng.integers(0, 2, n),
            "label": rng.choice(["a", "b", None], n),
        }
    )  # fmt: skip
    places = rng.normal(size=(n, 3))
    for clip_id, found in zip(table["clip_id"], all_partners(table, places=places), strict=True):
        try:
            assert confusable_partner(table, clip_id, places=places)[0] == table["clip_id"].iloc[found]
        except ValueError:
            assert found == -1
