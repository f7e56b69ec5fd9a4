"""BranchExplorer: what a gesture in one map does to the others, to the selection and to the clip in hand."""

import asyncio
import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sample_records import sample_clips, sample_embedding, sample_features, sample_predictions

from medn_lab.records import Embedding
from medn_lab.view import theme
from medn_lab.widgets import BranchExplorer, branch_maps
from medn_lab.widgets.dots import CanvasMarks
from medn_lab.widgets.outlines import read_outlines
from medn_lab.widgets.pacing import Dwell
from medn_lab.widgets.partners import confusable_partner

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


@pytest.fixture(params=["svg", "canvas"])
def explorer(records, request, monkeypatch):
    monkeypatch.setattr(branch_maps, "MOST_SVG_POINTS", 400 if request.param == "svg" else 10)
    return BranchExplorer(**records)


def gesture(explorer, kind, branch, rows, *, corners=()):
    """Do what the page does when the pointer acts on points of one map."""
    figure = explorer._maps.figure
    place = [trace.name for trace in figure.data].index(f"{branch} points")
    points = {
        "trace_indexes": [place] * len(rows),
        "point_indexes": list(rows),
        "xs": [0.0] * len(rows),
        "ys": [0.0] * len(rows),
    }
    state = {"xs": [x for x, _ in corners], "ys": [y for _, y in corners]}
    figure._js2py_pointsCallback = {
        "event_type": f"plotly_{kind}",
        "points": points,
        "device_state": None,
        "selector": {"type": "lasso", "selector_state": state} if kind == "selected" else None,
    }


def selection(branch, *corners):
    """An outline as the page reports it."""
    axis = {"motion": "", "emotion": "2", "fused": "3"}[branch]
    path = "M" + "L".join(f"{x!r},{y!r}" for x, y in corners) + "Z"
    return {"xref": f"x{axis}", "yref": f"y{axis}", "type": "path", "path": path}


def outline(explorer, branch, rows):
    """A lasso that holds these clips alone: a small square round each, joined along a line there and back."""
    corners = []
    for x, y in getattr(explorer._embedding, f"{branch}_xy")[rows].astype(float).tolist():
        corners += [(-9, -9), (x - 1e-4, y - 1e-4), (x + 1e-4, y - 1e-4), (x + 1e-4, y + 1e-4), (x - 1e-4, y + 1e-4)]
        corners += [(x - 1e-4, y - 1e-4), (-9, -9)]
    return selection(branch, *corners)


def report(explorer, *selections):
    """Do what the page does when outlines were drawn or taken away: all that are there now."""
    explorer._maps.figure._js2py_relayout = {
        "relayout_data": {"selections": list(selections)},
        "source_view_id": "page",
    }


def lasso(explorer, branch, rows):
    report(explorer, outline(explorer, branch, rows))


def followed(explorer):
    """A list that grows with the sizes of the selections."""
    seen = []
    explorer.observe(lambda change: seen.append(len(change.new)), "selection")
    return seen


def dots_of(explorer):
    """What the page is told to draw by itself; None where the figure's traces are what is drawn."""
    marks = explorer._maps._marks
    return marks.widget if isinstance(marks, CanvasMarks) else None


def drawn_on(dots, explorer, branch, rows):
    """Where the page draws these rows."""
    places = np.frombuffer(dots.xy, np.float32).reshape(len(dots.axes), -1, 2)
    return places[explorer._maps.names.index(branch), rows]


def rings(explorer, branch):
    dots = dots_of(explorer)
    if dots:
        return drawn_on(dots, explorer, branch, [row for row, _ in dots.rings])
    trace = explorer._maps.trace(branch, "rings")
    return np.stack([trace.x, trace.y], axis=1)


def ring_colours(explorer):
    dots = dots_of(explorer)
    return [colour for _, colour in dots.rings] if dots else list(explorer._maps.trace("motion", "rings").marker.color)


def strengths(explorer, branch):
    """How strongly the points of a map are drawn, whether plotly takes them for selected or not."""
    dots = dots_of(explorer)
    if dots:
        return [dots.opacity * (dots.dimmed if dots.lit else 1.0)]
    points = explorer._maps.trace(branch, "points")
    whole = 1.0 if points.opacity is None else points.opacity
    return [whole * part.marker.opacity for part in (points, points.selected, points.unselected)]


def lit_rows(explorer, branch):
    dots = dots_of(explorer)
    if dots:
        return np.frombuffer(dots.lit, np.int32).tolist()
    return np.flatnonzero(np.isfinite(explorer._maps.trace(branch, "lit").x)).tolist()


def lit_places(explorer, branch):
    rows, dots = lit_rows(explorer, branch), dots_of(explorer)
    if dots:
        return drawn_on(dots, explorer, branch, rows)
    lit = explorer._maps.trace(branch, "lit")
    return np.stack([lit.x, lit.y], axis=1)[rows]


def colours_on(explorer, branch):
    dots = dots_of(explorer)
    if dots:
        return {dots.styles[place][0] for place in dots.style_of}
    return set(explorer._maps.trace(branch, "points").marker.color)


def faces(explorer):
    return Image.open(io.BytesIO(explorer._pair.picture.value))


def test_there_is_one_figure_with_three_maps(explorer):
    names = [trace.name for trace in explorer._maps.figure.data]
    assert [name for name in names if name.endswith("points")] == [f"{branch} points" for branch in MAPS]
    assert explorer._maps.figure.layout.width == 1000


def test_a_lasso_in_one_map_lights_the_same_clips_in_the_others(explorer, records):
    rows = [3, 7, 11]
    lasso(explorer, "motion", rows)
    for branch in MAPS:
        assert lit_rows(explorer, branch) == rows
        assert np.allclose(lit_places(explorer, branch), getattr(records["embedding"], f"{branch}_xy")[rows])
        assert max(strengths(explorer, branch)) < 0.3
    assert explorer.selection["clip_id"].tolist() == records["clips"].table["clip_id"].iloc[rows].tolist()
    assert "3 of 40 clips" in explorer._selected.value


def test_the_selection_can_be_followed(explorer):
    seen = followed(explorer)
    lasso(explorer, "emotion", [1, 2])
    explorer.clear()
    assert seen == [2, 0]


def test_a_lasso_counts_once_whatever_else_the_page_says(explorer):
    seen = followed(explorer)
    lasso(explorer, "motion", [1, 2, 5])
    gesture(explorer, "selected", "motion", [1, 2, 5, 6])
    lasso(explorer, "motion", [1, 2, 5])
    gesture(explorer, "hover", "motion", [9])
    gesture(explorer, "click", "motion", [9])
    assert seen == [3]
    assert len(explorer.selection) == 3


def test_the_lasso_drawn_last_counts_and_the_one_on_another_map_goes(explorer, records):
    first, second = outline(explorer, "motion", [1, 2]), outline(explorer, "emotion", [3, 4, 5])
    report(explorer, first)
    report(explorer, first, second)
    assert explorer.selection["clip_id"].tolist() == records["clips"].table["clip_id"].iloc[3:6].tolist()
    assert [one["xref"] for one in explorer._maps._selections()] == ["x2"]
    seen = followed(explorer)
    report(explorer, *explorer._maps._selections(), first)
    assert seen == [2]


def test_a_second_lasso_on_the_same_map_adds(explorer):
    first = outline(explorer, "fused", [1, 2])
    report(explorer, first)
    report(explorer, first, outline(explorer, "fused", [8]))
    assert len(explorer.selection) == 3


def test_a_double_click_clears_although_its_own_event_was_lost(explorer, monkeypatch):
    monkeypatch.setattr(branch_maps, "LATER", 0.0)
    seen = followed(explorer)
    lasso(explorer, "motion", [1, 2])
    report(explorer)
    assert seen == [2]  # perhaps only the beginning of the next lasso
    gesture(explorer, "hover", "motion", [9])
    assert seen == [2, 0]
    gesture(explorer, "deselect", "motion", [])
    gesture(explorer, "hover", "motion", [10])
    assert len(explorer.selection) == 0


def test_a_lasso_whose_outline_the_page_has_dropped_still_counts_and_a_hover_leaves_it(explorer):
    seen = followed(explorer)
    lasso(explorer, "motion", [1, 2])
    report(explorer)
    (kept,) = read_outlines([outline(explorer, "motion", [4, 5, 6])])
    gesture(explorer, "selected", "motion", [4, 5, 6], corners=kept.rings[0])
    gesture(explorer, "hover", "motion", [9])
    assert seen == [2, 3]


def test_the_two_tellings_of_one_lasso_count_once_in_either_order(explorer):
    seen = followed(explorer)
    for rows, outline_first in (([1, 2], True), ([4, 5, 6], False)):
        (kept,) = read_outlines([outline(explorer, "fused", rows)])
        tell = [
            lambda rows=rows: lasso(explorer, "fused", rows),
            lambda rows=rows, kept=kept: gesture(explorer, "selected", "fused", rows, corners=kept.rings[0]),
        ]
        for telling in tell if outline_first else tell[::-1]:
            telling()
    assert seen == [2, 3]


def in_messages(*messages):
    """Let the page say these things, each a list of acts that come in one message, and wait until all has settled."""

    async def talk():
        for acts in messages:
            for act in acts:
                act()
            await asyncio.sleep(0.02)
        await asyncio.sleep(3 * branch_maps.SETTLED)

    asyncio.run(talk())


def test_a_double_click_on_a_clip_clears_although_its_own_event_was_lost(records):
    explorer = BranchExplorer(**records)
    seen = followed(explorer)
    click = lambda: gesture(explorer, "click", "motion", [1])  # noqa: E731
    in_messages([lambda: lasso(explorer, "motion", [1, 2])], [click], [lambda: report(explorer), click])
    assert seen == [2, 0]


def test_a_hover_from_before_a_lasso_is_no_double_click_and_one_long_after_the_outline_went_is(records, monkeypatch):
    explorer = BranchExplorer(**records)
    seen = followed(explorer)
    hover = lambda: gesture(explorer, "hover", "motion", [4])  # noqa: E731
    begun = lambda: report(explorer)  # noqa: E731
    for messages in ([[begun, hover]], [[hover, begun]], [[begun], [hover]]):
        in_messages([lambda: lasso(explorer, "motion", [1, 2])], *messages)
        assert seen == [2]  # the reader takes his time to draw
    monkeypatch.setattr(branch_maps, "LATER", 0.0)
    in_messages([hover])
    assert seen == [2, 0]  # who touches points again does not draw


def test_a_lasso_begun_where_a_clip_was_just_clicked_is_no_double_click(records):
    explorer = BranchExplorer(**records)
    seen = followed(explorer)
    click = lambda: gesture(explorer, "click", "motion", [1])  # noqa: E731
    in_messages([lambda: lasso(explorer, "motion", [1, 2])], [click], [lambda: report(explorer)])
    assert seen == [2]
    in_messages([lambda: lasso(explorer, "motion", [4, 5, 6])])
    assert seen == [2, 3]


def test_the_next_lasso_may_begin_on_a_clip(explorer):
    seen = followed(explorer)
    lasso(explorer, "motion", [1, 2])
    gesture(explorer, "click", "motion", [1])
    gesture(explorer, "hover", "motion", [4])
    gesture(explorer, "unhover", "motion", [4])
    report(explorer)
    lasso(explorer, "motion", [4, 5, 6])
    assert seen == [2, 3]


def test_a_double_click_takes_every_outline_away(explorer):
    lasso(explorer, "motion", [1, 2])
    gesture(explorer, "deselect", "motion", [])
    assert len(explorer.selection) == 0
    assert explorer._maps._selections() == []


def test_a_lasso_round_nothing_selects_nothing(explorer):
    lasso(explorer, "motion", [1, 2])
    report(explorer, selection("motion", (90, 90), (91, 90), (91, 91)))
    assert len(explorer.selection) == 0
    assert explorer._maps._selections() == []


def test_a_group_or_a_call_takes_the_outline_away_and_a_hover_leaves_them_lit(explorer, records):
    lasso(explorer, "motion", [1, 2])
    explorer.select(records["clips"].table["clip_id"].iloc[:4])
    assert explorer._maps._selections() == []
    gesture(explorer, "hover", "motion", [9])
    assert len(explorer.selection) == 4


def test_the_selection_carries_the_predictions(explorer, records):
    chosen = explorer.select(records["clips"].table["clip_id"].iloc[[5, 2]])
    expected = records["predictions"].predicted[[2, 5]]
    assert chosen["predicted"].tolist() == expected.tolist()


def test_clearing_brings_every_clip_back(explorer):
    lasso(explorer, "motion", [0, 1])
    explorer._controls.clear.click()
    assert len(explorer.selection) == 0
    for branch in MAPS:
        assert min(strengths(explorer, branch)) > 0.7
        assert lit_rows(explorer, branch) == []
    assert "Nothing is selected" in explorer._selected.value


def test_hovering_rings_the_clip_in_every_map_and_shows_it(explorer, records):
    gesture(explorer, "hover", "fused", [9])
    for branch in MAPS:
        assert np.allclose(rings(explorer, branch), getattr(records["embedding"], f"{branch}_xy")[[9]])
    assert explorer.clip_id == records["clips"].table["clip_id"].iloc[9]
    assert explorer.clip_id in explorer._pair.cards[0].value
    assert faces(explorer).n_frames == 8


def test_a_hover_that_is_repeated_by_a_redraw_changes_nothing(explorer, monkeypatch):
    gesture(explorer, "hover", "motion", [9])
    updates, dots = [], dots_of(explorer)
    if dots:
        monkeypatch.setattr(dots, "send_state", lambda *args, **kwargs: updates.append(args))
    monkeypatch.setattr(explorer._maps.figure, "_send_update_msg", lambda *args, **kwargs: updates.append(args))
    gesture(explorer, "hover", "motion", [9])
    assert updates == []
    gesture(explorer, "hover", "motion", [10])
    assert updates


def test_a_click_shows_the_clip_with_its_scores_and_coded_aus(explorer, records):
    gesture(explorer, "click", "emotion", [0])
    card = explorer._pair.cards[0].value
    share = records["predictions"].probabilities[0].max()
    assert f"{share:.0%}" in card
    assert "AU4" in card
    assert "◀ label" in card


def test_the_partner_has_the_same_aus_and_another_emotion_and_plays_beside(explorer, records):
    table = records["clips"].table.set_index("clip_id")
    explorer.show(table.index[0])
    alone = faces(explorer).size
    partner = explorer.show_partner()
    assert table.loc[partner, "action_units"] == table.loc[explorer.clip_id, "action_units"]
    assert table.loc[partner, "label"] != table.loc[explorer.clip_id, "label"]
    assert faces(explorer).size[0] > 2 * alone[0] - 1
    assert partner in explorer._pair.cards[1].value
    for branch in MAPS:
        assert len(rings(explorer, branch)) == 2
    assert ring_colours(explorer) == [theme.RING, theme.PARTNER_RING]


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
    colours = {theme.emotion_colour(name) for name in explorer._table["predicted"]}
    for branch in MAPS:
        assert colours_on(explorer, branch) == colours
    assert "predicted emotion" in explorer._legend.value


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


def test_magnifying_redraws_the_faces(explorer, records):
    explorer.show(records["clips"].table["clip_id"].iloc[0])
    before = explorer._pair.picture.value
    explorer._pair.magnifies.value = 15
    assert explorer._pair.picture.value != before


def test_without_clips_predictions_and_some_maps_it_shows_the_rest(records):
    embedding = dataclasses.replace(records["embedding"], fused_xy=None)
    explorer = BranchExplorer(embedding)
    explorer.show(embedding.table["clip_id"].iloc[0])
    assert explorer._maps.names == ["motion", "emotion"]
    assert "No clips were given" in explorer._pair.message.value
    assert "No predictions were given" in explorer._pair.cards[0].value
    assert explorer.show_partner()


def test_flow_without_frames_and_clips_left_out_are_named(records):
    flow_alone = dataclasses.replace(records["clips"], frames=None)
    explorer = BranchExplorer(records["embedding"], clips=flow_alone)
    ids = records["clips"].table["clip_id"]
    explorer.show(ids.iloc[0])
    assert "no frames" in explorer._pair.message.value
    few = BranchExplorer(records["embedding"], clips=records["clips"].select(ids.iloc[:3]))
    few.show(ids.iloc[9])
    assert f"{ids.iloc[9]} is not among the clips" in few._pair.message.value


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
    written = explorer._pair.cards[0].value + explorer._selected.value + explorer._legend.value
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
