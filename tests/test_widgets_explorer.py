"""BranchExplorer: what a gesture on one map, a control or a trait does to the maps, the selection and the clips."""

import asyncio
import dataclasses
import re
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import traitlets
from cases import assert_refuses
from page_contents import control, parts, text_of
from sample_records import sample_of_each

from medn_lab.diagnose import selection_measures
from medn_lab.records import Embedding, Predictions
from medn_lab.view import theme
from medn_lab.widgets import BranchExplorer
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.selection import all_partners, partner, partner_groups

MAPS, N = ["motion", "emotion", "fused"], 80
RECORDS = sample_of_each(n=N, size=16)
EMBEDDING, CLIPS, PREDICTIONS, FEATURES = RECORDS.values()
TABLE, IDS = CLIPS.table, CLIPS.table["clip_id"].tolist()


@pytest.fixture
def explorer():
    return BranchExplorer(**RECORDS)


def of_table(places=None, colour_by="label", **columns):
    """An explorer of a few clips with these columns."""
    table = pd.DataFrame(columns)
    places = np.random.default_rng(0).normal(size=(len(table), 2)) if places is None else places
    return BranchExplorer(Embedding(*[np.asarray(places, np.float32)] * 3, table), colour_by=colour_by)


def lasso(explorer, rows):
    """What the page does when a lasso was let go."""
    explorer.branch_maps.selected = np.asarray(sorted(rows), dtype=np.int32).tobytes()


def click(explorer, row):
    explorer.branch_maps.clicked = [row, explorer.branch_maps.clicked[1] + 1]


def drawn(explorer, what="name"):
    """The name or colour of each clip's category as it is drawn."""
    return [explorer.branch_maps.styles[place][what] for place in explorer.branch_maps.style_of]


def faces(explorer):
    return parts(explorer, ClipView)[0].faces


def test_a_lasso_in_one_map_or_the_aus_of_a_clip_select_the_same_clips_in_every_map(explorer):
    places = np.frombuffer(explorer.branch_maps.xy, np.float32).reshape(3, N, 2)
    assert explorer.branch_maps.titles == MAPS
    for name, xy in zip(MAPS, places, strict=True):
        assert np.array_equal(xy, EMBEDDING.maps[name])
    sizes = []
    explorer.observe(lambda change: sizes.append(len(change.new)), "selection")
    lasso(explorer, [3, 7, 11])
    assert explorer.selection["clip_id"].tolist() == [IDS[3], IDS[7], IDS[11]]
    assert explorer.selection["predicted"].tolist() == PREDICTIONS.predicted[[3, 7, 11]].tolist()
    assert f"3 of {N} clips" in text_of(explorer)
    for wrong in (["nobody"], []):
        assert_refuses(explorer.select, wrong, match=r"1 of 1 clips are not in this explorer|the selection is empty")
    explorer.clear()
    assert (explorer.branch_maps.rows.tolist(), sizes) == ([], [3, 0])
    control(explorer, "Same AUs").click()
    assert "hover or click a point first" in text_of(explorer)
    explorer.show(IDS[1])
    control(explorer, "Same AUs").click()
    assert set(explorer.selection["clip_id"]) == set(TABLE.query("action_units == '12'")["clip_id"])


def test_the_pointer_and_a_click_play_the_clip_and_its_partner_of_the_same_aus_and_another_emotion(explorer):
    explorer.branch_maps.hovered = 9
    assert (explorer.branch_maps.rings, explorer.clip_id) == ([[9, theme.RING]], IDS[9])
    assert [face["count"] for face in faces(explorer)] == [8]
    click(explorer, 0)
    for part in (f">{IDS[0]}<", f"{PREDICTIONS.probabilities[0].max():.0%}", "AU4", "◀ label"):
        assert part in text_of(explorer)
    found, motion, alike = explorer.show_partner(), FEATURES.motion, TABLE["action_units"] == TABLE["action_units"][0]
    distances = np.linalg.norm((motion - motion[0]) / motion.std(axis=0), axis=1)
    alike &= TABLE["label"] != TABLE["label"][0]
    assert found == TABLE["clip_id"][alike].iloc[distances[alike].argmin()]
    assert f"{distances[alike].min():.2f} standard deviations" in text_of(explorer)
    assert [colour for _, colour in explorer.branch_maps.rings] == [theme.RING, theme.PARTNER_RING]
    assert (len(faces(explorer)), f">{found}<" in text_of(explorer)) == (2, True)
    click(explorer, 1)
    assert (explorer.clip_id, explorer.partner_id, len(faces(explorer))) == (IDS[1], "", 1)
    control(explorer, "partner on click").value = True
    click(explorer, 0)
    assert explorer.partner_id == found
    click(explorer, int(np.flatnonzero(TABLE["action_units"] == "")[0]))
    assert explorer.partner_id == ""
    assert "no AU is coded" in text_of(explorer)
    groups, everyone = partner_groups(TABLE), np.ones(N, dtype=bool)
    for row, other in enumerate(all_partners(groups, motion)):
        assert other < 0 or other == partner(groups, row, places=motion, among=everyone)[0]
        assert (other >= 0) == bool(TABLE["action_units"][row])


def test_a_clip_without_a_partner_says_why():
    for columns, sentence in (
        ({"label": ["x", "y"], "action_units": ["12 or 14", "12"]}, r"in doubt \(12 or 14\)"),
        ({"AU4": [1, 1]}, "its emotion is not known"),
        ({"AU4": [1, 1], "label": ["x", "x"]}, "all 2 clips with the AU set 4 are labelled 'x'"),
    ):
        groups = partner_groups(pd.DataFrame({"clip_id": ["a", "b"], **columns}))
        assert_refuses(partner, groups, 0, places=np.zeros((2, 2)), among=np.ones(2, dtype=bool), match=sentence)


def test_filters_leave_their_clips_alone_on_every_map(explorer):
    control(explorer, "Subject").value = "s02"
    assert list(explorer.branch_maps.kept) == (TABLE["subject"] == "s02").astype(int).tolist()
    assert f"20 of {N} clips shown" in text_of(explorer)
    two = of_table(clip_id=list("abcd"), subject=["01"] * 4, dataset=["one", "one", "two", "two"])
    for own, filters, expected in (
        (explorer, {"au": "AU1", "subject": "s01"}, TABLE.query("AU1 == 1 and subject == 's01'")["clip_id"].tolist()),
        (explorer, {"au_set": "AU1+AU4"}, TABLE.query("action_units == '1+4'")["clip_id"].tolist()),
        (two, {"subject": "two/01"}, ["c", "d"]),
        (two, {"dataset": "one"}, ["a", "b"]),
    ):
        own.filters = filters
        assert own.shown["clip_id"].tolist() == expected
    control(explorer, "AU").value = "AU12"  # which no clip of this AU set has: refused, and nothing changes
    assert "passes all filters" in text_of(explorer)
    assert (control(explorer, "AU").value, control(explorer, "AU set").value) == ("", "AU1+AU4")
    control(explorer, "Show all").click()
    assert (len(explorer.shown), explorer.filters, control(explorer, "AU set").value) == (N, {}, "")


def test_what_is_hidden_is_neither_selected_nor_shown_nor_a_partner(explorer):
    explorer.select(IDS[:4])
    explorer.show(IDS[1])
    explorer.filters = {"subject": "s01"}
    assert explorer.selection["clip_id"].tolist() == IDS[:1]
    assert (explorer.clip_id, explorer.branch_maps.rings) == ("", [])
    assert_refuses(explorer.select, IDS[:2], match="1 of 2 clips are hidden by the filter")
    with pytest.raises(traitlets.TraitError, match="hidden by the filter, such as"):
        explorer.clip_id = IDS[1]
    lasso(explorer, [0, 1, 2, 4, 8])
    assert explorer.branch_maps.rows.tolist() == [0, 4, 8]
    assert explorer.selection["clip_id"].tolist() == [IDS[0], IDS[4], IDS[8]]
    explorer.show(IDS[0])
    assert set(explorer.select_same_aus()["subject"]) == {"s01"}
    places, coded = [[0, 0], [1, 0], [5, 0], [0.1, 0]], {"AU4": [1, 1, 1, 0], "label": ["x", "y", "y", "y"]}
    few = of_table(places, clip_id=list("abcd"), subject=list("1234"), **coded)
    few.colour_by = "subject"
    few.show("a")
    assert few.show_partner() == "b"
    few.branch_maps.hidden = ["2"]  # a category that the legend switches off
    assert few.shown["clip_id"].tolist() == ["a", "c", "d"]
    assert (few.clip_id, few.partner_id, few.show_partner()) == ("a", "", "c")
    few.filters = {"subject": "1"}
    assert_refuses(few.show_partner, match="all 2 are hidden")
    few.show_all()
    assert (few.branch_maps.hidden, len(few.shown)) == ([], 4)


def test_every_colouring_recolours_the_maps_and_the_legend():
    folds = dataclasses.replace(PREDICTIONS, fold=np.arange(N) % 4)
    explorer = BranchExplorer(EMBEDDING, predictions=folds, features=FEATURES.select(IDS[::-1]))
    for key in ("AU12", "au_set", "correctness", "fold", "gate", "predicted"):
        control(explorer, "Colour by").value = key
        assert (explorer.colour_by, bool(explorer.branch_maps.legend_title)) == (key, True)
        assert set(drawn(explorer)) == {one["name"] for one in explorer.branch_maps.styles}
        if key == "gate":  # joined by clip, coloured in steps
            assert np.allclose(explorer.select(IDS[:5])["gate"], FEATURES.gate[:5].mean(axis=1))
            assert np.corrcoef(list(explorer.branch_maps.style_of), FEATURES.gate.mean(axis=1))[0, 1] > 0.9
    assert drawn(explorer) == explorer.shown["predicted"].tolist()
    assert drawn(explorer, "colour") == list(map(theme.emotion_colour, drawn(explorer)))
    names = [f"day {k % 20:02}" for k in range(200)]
    explorer = of_table(colour_by="session", clip_id=[f"c{k}" for k in range(200)], session=names, label="x")
    assert (control(explorer, "Colour by").value, drawn(explorer).count("other")) == ("session", 90)
    assert all(own in text for text, own in zip(explorer.branch_maps.texts, names, strict=True))
    page = files("medn_lab.widgets").joinpath("branch_maps.js").read_text(encoding="utf-8")
    cornered = set(re.findall(r'^  "([a-z-]+)": ', page, flags=re.MULTILINE))
    used = {*theme.SYMBOL_GLYPHS, *(symbol for _, symbol in theme.EMOTIONS.values()), *theme.CATEGORY_SYMBOLS}
    assert {symbol.removesuffix("-open") for symbol in used} <= cornered


def test_the_measures_of_all_clips_and_of_the_selection_are_shown(tmp_path):
    measure = selection_measures(FEATURES)
    tables = {n: list(measure.steps(IDS[:n])) for n in (N, 40, 3)}
    made = {"name": "mine.v1", "sha256": "c0ffee", "run": {"versions": {"torch": "2.13"}}}
    made["recipe"] = {"size": 64, "flow": {"name": "dis"}}
    records = RECORDS | {"embedding": dataclasses.replace(EMBEDDING, source=made)}
    given = SimpleNamespace(steps=lambda clip_ids: iter(tables[len(clip_ids)]))
    explorer, every, own = BranchExplorer(**records, measure=given), tables[N][-1], tables[40][-1]
    pd.testing.assert_frame_equal(explorer.measures, every)
    lasso(explorer, range(40))
    pd.testing.assert_frame_equal(explorer.measures, own)
    rows = [re.findall("<t[hd]>(.*?)</t[hd]>", row) for row in re.findall("(?s)<tr.*?</tr>", text_of(explorer))]
    shown = pd.DataFrame(rows[1:], columns=rows[0]).set_index("Dependence and leakage").replace("–", np.nan)
    both = own.assign(all=every["value"])[["value", "all", "chance", "allowed"]]
    np.testing.assert_allclose(shown[["selected", "all", "chance", "allowed"]].astype(float), both, atol=6e-4)
    better = shown["better"][["AUs from the motion branch", "AUs from the emotion branch"]]
    assert better.tolist() == ["higher", "lower"]
    assert "Selected: 40 clips of 4 subjects" in text_of(explorer)
    page = explorer.to_html(tmp_path / "page.html", faces=False).read_text(encoding="utf-8")
    cells = re.findall("<td>AUs from the emotion branch</td>\\s*<td>(.*?)</td>", page)
    leak = every.query("branch == 'emotion' and target == 'AUs'")["value"].iloc[0]
    assert cells == [f"{leak:.3f}"]
    facts = ("data set sample", "model mine.v1", "sha256 c0ffee", "recipe: size 64, flow name dis", "torch 2.13")
    assert all(fact in page for fact in facts)
    explorer.select(IDS[:3])
    for why in ("at least 4 clips, there are 3", "at least 20 clips of 2 subjects, there are 3 of 3"):
        assert f"needs {why}" in text_of(explorer)


def counting(clip_ids):
    """Measures without a network: the number of clips."""
    n = len(clip_ids)
    if n == 1:
        raise ValueError("one clip is not enough")
    row = {"kind": "dependence", "measure": "linear_cka", "branch": "", "target": "", "chance": 0.0, "reason": ""}
    yield pd.DataFrame([row | {"value": n / 100, "n_clips": n, "n_subjects": 2}])


def test_the_complaint_of_a_measure_is_shown_and_the_newest_selection_wins():
    explorer, sizes = BranchExplorer(**RECORDS, measure=SimpleNamespace(steps=counting)), []
    explorer.select(IDS[:1])
    assert "one clip is not enough" in text_of(explorer)
    explorer.observe(lambda change: sizes.append(int(change.new["n_clips"].iloc[0])), "measures")

    async def two_lassos():
        explorer.select(IDS[:30])
        assert "omputing" in text_of(explorer)
        await asyncio.sleep(0.05)
        explorer.select(IDS[10:70])
        while not sizes:
            await asyncio.sleep(0.05)
        explorer.clear()
        while sizes[-1] < N:
            await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(two_lassos(), 60))
    assert list(dict.fromkeys(sizes)) == [60, N]


def test_what_was_not_given_is_named_and_the_rest_is_shown():
    explorer = BranchExplorer(dataclasses.replace(EMBEDDING, fused_xy=None))
    explorer.show(IDS[0])
    assert (explorer.branch_maps.titles, bool(explorer.show_partner())) == (MAPS[:2], True)
    for text in ("No predictions were given", "selection_measures(features)"):
        assert text in text_of(explorer)
    layers = {f"layer {place}": EMBEDDING.motion_xy + place for place in range(4)}
    explorer = BranchExplorer(Embedding(None, None, None, TABLE, layers=layers))
    assert explorer.branch_maps.titles == ["layer 0", "layer 1", "layer 2"]
    empty = of_table(clip_id=[], label=[])
    assert "There are no clips on these maps" in text_of(empty)
    control(empty, "Same AUs").click()
    other = Predictions(np.eye(2)[np.arange(N) % 2] * 3, TABLE, ("negative", "others"))
    explorer = BranchExplorer(EMBEDDING, predictions=other, colour_by="correctness")  # labels that are no class
    assert all(name in text_of(explorer) for name in ("no class", "disgust", "happiness", "surprise"))
    explorer.select(IDS)
    assert f"of {(TABLE['label'] == 'others').sum()} predicted correctly" in text_of(explorer)
