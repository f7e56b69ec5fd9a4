"""BranchExplorer: what a gesture on one map, a control or a trait does to the maps, the selection and the clips."""

import asyncio
import dataclasses
import re
from importlib.resources import files

import ipywidgets
import numpy as np
import pandas as pd
import pytest
import traitlets
from page_contents import control, parts, text_of
from sample_records import CLASSES, sample_clips, sample_embedding, sample_features, sample_predictions

from medn_lab.diagnose import selection_measures
from medn_lab.records import Embedding, Predictions
from medn_lab.view import plot_embedding, theme
from medn_lab.widgets import BranchExplorer
from medn_lab.widgets.clip_view import ClipView
from medn_lab.widgets.timing import Dwell

MAPS = ("motion", "emotion", "fused")
N = 80


@pytest.fixture(scope="module")
def records():
    clips = sample_clips(n=N, size=16)
    features = sample_features(clips)
    return {
        "embedding": sample_embedding(features), "clips": clips, "predictions": sample_predictions(clips),
        "features": features,
    }  # fmt: skip


@pytest.fixture
def explorer(records):
    return BranchExplorer(**records)


@pytest.fixture(scope="module")
def table(records):
    return records["clips"].table


@pytest.fixture(scope="module")
def measure(records):
    return selection_measures(records["features"])


def of_table(places=None, **columns):
    """An explorer of a few clips that are told by their columns."""
    table = pd.DataFrame(columns)
    places = np.random.default_rng(0).normal(size=(len(table), 2)) if places is None else places
    return BranchExplorer(Embedding(*[np.asarray(places, np.float32)] * 3, table))


def lasso(explorer, rows):
    """What the page does when a lasso was let go."""
    explorer.branch_maps.lit = np.asarray(sorted(rows), dtype=np.int32).tobytes()


def click(explorer, row):
    explorer.branch_maps.clicked = [row, explorer.branch_maps.clicked[1] + 1]


def press(explorer, name):
    control(explorer, name, ipywidgets.Button).click()


def ringed(explorer):
    return [row for row, _ in explorer.branch_maps.rings]


def drawn(explorer):
    """The category of each clip as it is drawn: name, colour, symbol."""
    return [explorer.branch_maps.styles[place] for place in explorer.branch_maps.style_of]


def on_the_maps(explorer):
    return np.flatnonzero(np.frombuffer(explorer.branch_maps.kept, np.uint8))


def view(explorer):
    return parts(explorer, ClipView)[0]


def measures_shown(explorer):
    """The table of measures on the page."""
    rows = [re.findall("<t[hd].*?>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", text_of(explorer))]
    return pd.DataFrame(rows[1:], columns=rows[0]).set_index("Dependence and leakage").replace("–", np.nan)


def options(explorer, name):
    return {value: text for text, value in control(explorer, name).options}


class TestGestures:
    def test_a_lasso_in_one_map_lights_the_same_clips_in_the_others(self, explorer, records, table):
        places = np.frombuffer(explorer.branch_maps.xy, np.float32).reshape(3, N, 2)
        assert explorer.branch_maps.titles == list(MAPS)
        for name, xy in zip(MAPS, places, strict=True):
            assert np.array_equal(xy, records["embedding"].maps[name])
        sizes = []
        explorer.observe(lambda change: sizes.append(len(change.new)), "selection")
        lasso(explorer, [3, 7, 11])
        assert explorer.selection["clip_id"].tolist() == table["clip_id"].iloc[[3, 7, 11]].tolist()
        assert explorer.selection["predicted"].tolist() == records["predictions"].predicted[[3, 7, 11]].tolist()
        assert f"3 of {N} clips" in text_of(explorer)
        press(explorer, "Clear")
        assert (explorer.branch_maps.rows.tolist(), sizes) == ([], [3, 0])
        assert "Nothing is selected" in text_of(explorer)

    def test_hovering_and_clicking_ring_the_clip_and_play_it_with_its_scores(self, explorer, records, table):
        explorer.branch_maps.hovered = 9
        assert (ringed(explorer), explorer.clip_id) == ([9], table["clip_id"].iloc[9])
        assert [face["count"] for face in view(explorer).faces] == [8]
        click(explorer, 0)
        assert (ringed(explorer), explorer.clip_id) == ([0], table["clip_id"].iloc[0])
        written = text_of(explorer)
        for part in (explorer.clip_id, f"{records['predictions'].probabilities[0].max():.0%}", "AU4", "◀ label"):
            assert part in written

    def test_the_partner_is_the_nearest_with_the_same_aus_and_another_emotion(self, explorer, records, table):
        explorer.show(table["clip_id"].iloc[0])
        partner = explorer.show_partner()
        motion = records["features"].motion
        distances = np.linalg.norm((motion - motion[0]) / motion.std(axis=0), axis=1)
        alike = (table["action_units"] == table["action_units"].iloc[0]) & (table["label"] != table["label"].iloc[0])
        assert partner == table["clip_id"][alike].iloc[distances[alike].argmin()]
        assert f"{distances[alike].min():.2f} standard deviations" in text_of(explorer)
        assert [colour for _, colour in explorer.branch_maps.rings] == [theme.RING, theme.PARTNER_RING]
        assert len(view(explorer).faces) == 2
        assert f">{partner}<" in text_of(explorer)
        explorer.show(table["clip_id"].iloc[1])
        assert (explorer.partner_id, len(view(explorer).faces)) == ("", 1)

    def test_a_click_plays_the_pair_where_that_is_switched_on(self, explorer, table):
        click(explorer, 0)
        assert explorer.partner_id == ""
        control(explorer, "partner at a click").value = True
        click(explorer, 1)
        rows = table.set_index("clip_id").loc[[explorer.clip_id, explorer.partner_id]]
        assert (rows["action_units"].nunique(), rows["label"].nunique()) == (1, 2)
        click(explorer, int(np.flatnonzero(table["action_units"] == "")[0]))
        assert explorer.partner_id == ""
        assert "no AU is coded" in text_of(explorer)

    def test_a_button_without_a_clip_says_what_to_do(self, explorer):
        press(explorer, "Same AUs")
        assert "hover or click a point first" in text_of(explorer)
        with pytest.raises(ValueError, match="no clip is chosen"):
            explorer.show_partner()

    def test_same_aus_and_a_category_are_selected(self, explorer, table):
        explorer.show(table["clip_id"].iloc[1])
        press(explorer, "Same AUs")
        assert set(explorer.selection["clip_id"]) == set(table.query("action_units == '12'")["clip_id"])
        explorer.colour_by = "AU12"
        control(explorer, "Select").value = "AU12"
        assert set(explorer.selection["clip_id"]) == set(table.query("AU12 == 1")["clip_id"])
        assert control(explorer, "Select").value == "AU12"
        lasso(explorer, [0])
        assert control(explorer, "Select").value == ""

    def test_unknown_names_are_refused(self, explorer):
        with pytest.raises(ValueError, match="1 of 1 clips are not in this explorer, such as 'nobody'"):
            explorer.select(["nobody"])
        with pytest.raises(ValueError, match="the selection is empty"):
            explorer.select([])
        with pytest.raises(ValueError, match="'nobody'"):
            explorer.show("nobody")
        control(explorer, "Clip").value = "nobody"
        assert "nobody" in text_of(explorer)
        assert (explorer.clip_id, control(explorer, "Clip").value) == ("", "")

    def test_only_the_last_of_a_quick_run_of_gestures_is_acted_on(self):
        done = []

        async def sweep():
            dwell = Dwell(done.append, seconds=0.02)
            for row in range(5):
                dwell(row)
            await asyncio.sleep(0.08)

        asyncio.run(sweep())
        assert done == [4]


class TestPartners:
    def test_all_partners_in_a_page_are_those_that_are_shown_one_by_one(self, tmp_path, monkeypatch):
        rng = np.random.default_rng(0)
        ids = [f"c{k}" for k in range(60)]
        explorer = of_table(
            clip_id=ids, AU4=rng.integers(0, 2, 60), AU12=rng.integers(0, 2, 60), label=rng.choice(["a", "b", None], 60)
        )
        written = []
        monkeypatch.setattr("medn_lab.widgets.page.write_page", lambda path, data, **_: written.append(data))
        explorer.to_html(tmp_path / "page.html")
        for clip_id, found in zip(ids, written[0]["partners"], strict=True):
            explorer.show(clip_id)
            try:
                assert explorer.show_partner() == ids[found]
            except ValueError:
                assert found == -1

    def test_the_partner_is_the_nearest_that_the_filter_leaves(self):
        explorer = of_table(
            [[0, 0], [1, 0], [5, 0], [0.1, 0]],
            clip_id=list("abcd"), subject=list("1234"), AU4=[1, 1, 1, 0], label=["x", "y", "y", "y"],
        )  # fmt: skip
        explorer.show("a")
        assert explorer.show_partner() == "b"
        explorer.filter(subjects=["1", "3", "4"])
        assert (explorer.clip_id, explorer.partner_id) == ("a", "")
        assert explorer.show_partner() == "c"
        explorer.filter(subjects=["1"])
        with pytest.raises(ValueError, match=r"all confusable partners of 'a' \(2\) are hidden"):
            explorer.show_partner()

    @pytest.mark.parametrize(
        ("columns", "sentence"),
        [
            ({"label": ["x", "y"]}, "the AUs of 'a' are not known"),
            ({"label": ["x", "y"], "action_units": ["12 or 14", "12"]}, r"in doubt \(12 or 14\)"),
            ({"AU4": [1, 1]}, "the emotion of 'a' is not known"),
            ({"AU4": [0, 0], "label": ["x", "y"]}, "no AU is coded"),
            ({"AU4": [1, 1], "label": ["x", "x"]}, "all 2 clips with the AU set 4 are labelled 'x'"),
        ],
    )
    def test_a_clip_without_a_partner_says_why(self, columns, sentence):
        explorer = of_table(clip_id=["a", "b"], **columns)
        explorer.show("a")
        with pytest.raises(ValueError, match=sentence):
            explorer.show_partner()
        press(explorer, "Confusable partner")
        assert re.search(sentence, text_of(explorer).replace("&#x27;", "'"))


class TestFilters:
    def test_a_filter_leaves_its_clips_alone_on_every_map(self, explorer, table):
        control(explorer, "Subject").value = "s02"
        assert np.array_equal(on_the_maps(explorer), np.flatnonzero(table["subject"] == "s02"))
        assert explorer.filters == {"subjects": ("s02",)}
        assert set(explorer.shown["subject"]) == {"s02"}
        assert f"20 of {N} clips shown" in text_of(explorer)
        press(explorer, "Show all")
        assert (len(on_the_maps(explorer)), explorer.filters) == (N, {})
        assert control(explorer, "Subject").value == ""
        assert "clips shown" not in text_of(explorer)

    def test_filters_by_au_set_au_and_subject_work_together(self, explorer, table):
        shown = explorer.filter(aus=["AU1"], subjects=["s01", "s02"])
        expected = table.query("AU1 == 1 and subject in ['s01', 's02']")
        assert shown["clip_id"].tolist() == expected["clip_id"].tolist()
        assert "s01 or s02" in text_of(explorer)
        assert control(explorer, "AU").value == "AU1"
        control(explorer, "AU").value = ""
        assert explorer.filters == {"subjects": ("s01", "s02")}
        assert set(explorer.filter(au_sets="AU1+AU4")["action_units"]) == {"1+4"}
        assert len(explorer.filter()) == N

    def test_what_is_hidden_is_neither_selected_nor_shown(self, explorer, table):
        explorer.select(table["clip_id"].iloc[:4])
        explorer.show(table["clip_id"].iloc[1])
        explorer.filter(subjects=["s01"])
        assert explorer.selection["clip_id"].tolist() == [table["clip_id"].iloc[0]]
        assert (explorer.clip_id, explorer.branch_maps.rings) == ("", [])
        assert "<b>1 of 20 shown clips</b>" in text_of(explorer)
        with pytest.raises(ValueError, match="1 of 2 clips are hidden by the filter"):
            explorer.select(table["clip_id"].iloc[:2])
        for act in (explorer.show, lambda name: setattr(explorer, "clip_id", name)):
            with pytest.raises((ValueError, traitlets.TraitError), match=r"hidden by the filter; call filter\(\)"):
                act(table["clip_id"].iloc[1])
        lasso(explorer, [0, 1, 2, 4, 8])
        assert explorer.branch_maps.rows.tolist() == [0, 4, 8]
        assert explorer.selection["clip_id"].tolist() == table["clip_id"].iloc[[0, 4, 8]].tolist()
        control(explorer, "Select").value = "others"
        assert set(explorer.selection["subject"]) == {"s01"}
        assert options(explorer, "Select")["others"] == f"others ({len(explorer.selection)})"
        explorer.show(table["clip_id"].iloc[0])
        assert set(explorer.select_same_aus()["subject"]) == {"s01"}

    def test_a_filter_that_nothing_passes_is_refused_and_changes_nothing(self, explorer):
        with pytest.raises(ValueError, match="no clip has the subject 'nobody'; there are s01, s02"):
            explorer.filter(subjects=["nobody"])
        explorer.filter(au_sets="AU1")
        for act, kind in (
            (lambda: explorer.filter(au_sets=["AU1"], aus=["AU12"]), ValueError),
            (lambda: setattr(explorer, "filters", {"au_sets": ["AU1"], "aus": ["AU12"]}), traitlets.TraitError),
        ):
            with pytest.raises(kind, match="no clip has AU set AU1, AU AU12 all together"):
                act()
        with pytest.raises(traitlets.TraitError, match="no filter 'mood'"):
            explorer.filters = {"mood": ["x"]}
        control(explorer, "AU").value = "AU12"
        assert "all together" in text_of(explorer)
        assert (control(explorer, "AU").value, control(explorer, "AU set").value) == ("", "AU1")
        assert set(explorer.shown["action_units"]) == {"1"}

    def test_subjects_of_two_data_sets_are_told_apart(self):
        explorer = of_table(clip_id=list("abcd"), subject=["01"] * 4, dataset=["one", "one", "two", "two"])
        explorer.select(["a", "c"])
        assert "2 subjects" in text_of(explorer)
        assert explorer.filter(subjects=["two/01"])["clip_id"].tolist() == ["c", "d"]
        assert explorer.filter(datasets=["one"])["clip_id"].tolist() == ["a", "b"]

    def test_a_category_that_the_legend_switches_off_is_hidden(self, explorer, table):
        lasso(explorer, range(N))
        explorer.branch_maps.hidden = ["others"]
        left = table.query("label != 'others'")["clip_id"].tolist()
        assert explorer.shown["clip_id"].tolist() == left == explorer.selection["clip_id"].tolist()
        explorer.colour_by = "subject"
        assert (explorer.branch_maps.hidden, len(explorer.shown)) == ([], N)
        explorer.branch_maps.hidden = ["s01"]
        press(explorer, "Show all")
        assert (explorer.branch_maps.hidden, len(explorer.shown)) == ([], N)


class TestColours:
    def test_every_colouring_recolours_the_maps_and_the_legend(self, records):
        folds = dataclasses.replace(records["predictions"], fold=np.arange(N) % 4)
        explorer = BranchExplorer(**{**records, "predictions": folds})
        for key in ("AU12", "au_set", "subject", "correctness", "gate", "fold", "predicted"):
            control(explorer, "Colour by").value = key
            assert explorer.colour_by == key
            assert {one["name"] for one in drawn(explorer)} == {one["name"] for one in explorer.branch_maps.styles}
            assert explorer.branch_maps.legend_title
        assert [one["name"] for one in drawn(explorer)] == explorer.shown["predicted"].tolist()
        assert all(one["colour"] == theme.emotion_colour(one["name"]) for one in drawn(explorer))

    def test_the_gate_is_joined_by_clip_and_coloured_in_steps(self, records):
        features = records["features"]
        turned = features.select(features.table["clip_id"].iloc[::-1])
        explorer = BranchExplorer(records["embedding"], features=turned, colour_by="gate")
        assert np.allclose(explorer.select(features.table["clip_id"][:5])["gate"], features.gate[:5].mean(axis=1))
        assert np.corrcoef(list(explorer.branch_maps.style_of), features.gate.mean(axis=1))[0, 1] > 0.9
        figure = plot_embedding(records["embedding"], features=turned, colour_by="gate")
        assert "gate (0 all emotion, 1 all motion)" in figure.layout.title.text

    def test_any_column_can_colour_and_the_pointer_names_what_is_folded(self):
        names = [f"day {k % 20:02}" for k in range(200)]
        explorer = of_table(clip_id=[f"c{k}" for k in range(200)], session=names, label=["x", "y"] * 100)
        explorer.colour_by = "session"
        assert control(explorer, "Colour by").value == "session"
        assert options(explorer, "Select")["other"] == "other (90)"
        for text, own in zip(explorer.branch_maps.texts, names, strict=True):
            assert any(f" {line}".endswith(f" {own}") for line in text.splitlines())
        explorer.colour_by = "label"
        assert "day" not in explorer.branch_maps.texts[0]

    def test_the_page_can_draw_every_marker_of_the_theme(self):
        page = files("medn_lab.widgets").joinpath("branch_maps.js").read_text(encoding="utf-8")
        cornered = set(re.findall(r'^  "([a-z-]+)": ', page, flags=re.MULTILINE))
        used = {*theme.SYMBOL_GLYPHS, *(symbol for _, symbol in theme.EMOTIONS.values()), *theme.CATEGORY_SYMBOLS}
        assert used - cornered == {"circle", "circle-open", "x-thin-open"}  # round, or lines without an inside


class TestMeasures:
    def test_the_measures_of_all_clips_and_then_of_the_selection_are_shown(self, records, measure, table, tmp_path):
        explorer = BranchExplorer(**records, measure=measure)
        pd.testing.assert_frame_equal(explorer.measures, measure())
        lasso(explorer, range(40))
        own = measure(table["clip_id"][:40])
        pd.testing.assert_frame_equal(explorer.measures, own)
        shown = measures_shown(explorer)
        both = own.assign(all=measure()["value"])[["value", "all", "chance", "allowed"]]
        np.testing.assert_allclose(shown[["selected", "all", "chance", "allowed"]].astype(float), both, atol=6e-4)
        assert shown.loc["AUs from the motion branch", "better"] == "higher"
        assert shown.loc["AUs from the emotion branch", "better"] == "lower"
        assert "Selected: 40 clips of 4 subjects" in text_of(explorer)
        page = explorer.to_html(tmp_path / "page.html", faces=False).read_text(encoding="utf-8")
        cells = re.findall("<td>AUs from the emotion branch</td>\\s*<td>(.*?)</td>", page)
        leaks = measure().query("branch == 'emotion' and target == 'AUs'")["value"]
        assert cells == [f"{leaks.iloc[0]:.3f}"]
        explorer.clear()
        pd.testing.assert_frame_equal(explorer.measures, measure())

    def test_too_small_a_selection_and_what_lacks_are_said(self, records, measure, table, explorer):
        assert "selection_measures(features)" in text_of(explorer)
        small = BranchExplorer(**records, measure=measure)
        small.select(table["clip_id"][:3])
        assert "needs at least 4 clips, there are 3" in text_of(small)
        assert "needs at least 20 clips of 2 subjects, there are 3 of 3" in text_of(small)

    def test_the_newest_selection_wins(self, records, measure, table):
        async def two_lassos():
            explorer = BranchExplorer(**records, measure=measure)
            sizes = []
            explorer.observe(lambda change: sizes.append(change.new["drawn_from"].max()), "measures")
            explorer.select(table["clip_id"][:30])
            assert "omputing" in text_of(explorer)
            await asyncio.sleep(0.05)
            explorer.select(table["clip_id"][10:70])
            expected = measure(table["clip_id"][10:70])
            while not explorer.measures.equals(expected):
                await asyncio.sleep(0.05)
            assert set(sizes) == {60}
            explorer.clear()
            while not explorer.measures.equals(measure()):
                await asyncio.sleep(0.05)

        asyncio.run(asyncio.wait_for(two_lassos(), 120))

    def test_a_plain_function_may_measure_and_its_complaint_is_shown(self, records, table):
        def plain(clip_ids):
            if len(clip_ids) == 1:
                raise ValueError("one clip is not enough")
            row = {"kind": "dependence", "measure": "linear_cka", "branch": "", "target": "", "chance": 0.0}
            n = len(clip_ids)
            return pd.DataFrame([{**row, "reason": "", "value": n / 100, "n_clips": n, "n_subjects": 2}])

        explorer = BranchExplorer(**records, measure=plain)
        explorer.select(table["clip_id"][:40])
        assert measures_shown(explorer).loc["linear CKA", ["selected", "all"]].tolist() == ["0.400", "0.800"]
        explorer.select(table["clip_id"][:1])
        assert "one clip is not enough" in text_of(explorer)


class TestWhatIsLacking:
    def test_without_clips_predictions_and_some_maps_it_shows_the_rest(self, records):
        embedding = dataclasses.replace(records["embedding"], fused_xy=None)
        explorer = BranchExplorer(embedding)
        explorer.show(embedding.table["clip_id"].iloc[0])
        assert explorer.branch_maps.titles == ["motion", "emotion"]
        assert "No clips were given" in view(explorer).notes[0]
        assert "No predictions were given" in text_of(explorer)
        assert explorer.show_partner()

    def test_flow_without_frames_and_clips_left_out_are_named(self, records, table):
        flow_alone = BranchExplorer(records["embedding"], clips=dataclasses.replace(records["clips"], frames=None))
        flow_alone.show(table["clip_id"].iloc[0])
        assert "no frames" in view(flow_alone).notes[0]
        few = BranchExplorer(records["embedding"], clips=records["clips"].select(table["clip_id"].iloc[:3]))
        few.show(table["clip_id"].iloc[9])
        assert f"{table['clip_id'].iloc[9]} is not among the clips" in view(few).notes[0]

    def test_names_from_the_table_are_text(self, records, table):
        hostile = records["embedding"].table.assign(label="<b>x</b> & y", subject="<script>")
        explorer = BranchExplorer(dataclasses.replace(records["embedding"], table=hostile))
        explorer.show(table["clip_id"].iloc[0])
        explorer.select(table["clip_id"].iloc[:2])
        assert "<b>x" not in text_of(explorer)
        assert "<script>" not in text_of(explorer)
        assert "<b>x</b> & y" in explorer.branch_maps.texts[0]  # the page writes it without reading it as HTML

    def test_records_of_other_clips_and_maps_that_are_not_there_are_refused(self, records, table):
        few = records["features"].select(table["clip_id"].iloc[:5])
        with pytest.raises(ValueError, match="75 of 80 clips are not in these BranchFeatures"):
            BranchExplorer(records["embedding"], features=few)
        with pytest.raises(ValueError, match="name one to 3 different ones of motion"):
            BranchExplorer(records["embedding"], maps=["stem"])

    def test_maps_of_layers_alone_can_be_explored(self, records):
        xy = records["embedding"].motion_xy
        layers = {f"layer {place}": xy + place for place in range(4)}
        embedding = Embedding(None, None, None, records["embedding"].table, layers=layers)
        explorer = BranchExplorer(embedding, clips=records["clips"])
        assert explorer.branch_maps.titles == ["layer 0", "layer 1", "layer 2"]
        places = np.frombuffer(explorer.branch_maps.xy, np.float32).reshape(3, -1, 2)
        assert np.allclose(places[2], xy + 2)
        explorer.show(embedding.table["clip_id"].iloc[0])
        assert explorer.show_partner()
        assert "layer 0 map" in text_of(explorer)
        assert BranchExplorer(embedding, maps=["layer 3"]).branch_maps.titles == ["layer 3"]

    def test_an_empty_record_is_named_and_harmless(self, records):
        empty = dataclasses.replace(
            records["embedding"], table=records["embedding"].table.iloc[:0],
            **{f"{name}_xy": np.zeros((0, 2), np.float32) for name in MAPS},
        )  # fmt: skip
        explorer = BranchExplorer(empty, measure=lambda ids: pd.DataFrame())
        assert "There are no clips on these maps" in text_of(explorer)
        explorer.clear()
        press(explorer, "Same AUs")

    def test_predictions_of_another_class_list_are_not_called_wrong(self, records, table):
        other = Predictions(np.eye(2)[np.arange(N) % 2] * 3, table, ("negative", "others"))
        explorer = BranchExplorer(records["embedding"], predictions=other, colour_by="correctness")
        assert "know negative, others and not disgust, happiness, surprise" in text_of(explorer)
        judged = (table["label"] == "others").to_numpy()
        names = np.array([one["name"] for one in drawn(explorer)])
        assert (set(names[~judged]), set(names[judged])) == ({"unknown"}, {"right", "wrong"})
        explorer.select(table["clip_id"])
        assert f"of {judged.sum()} predicted right" in text_of(explorer)

    def test_labels_and_aus_that_are_not_known_are_shown_as_that(self, records):
        table = records["embedding"].table.drop(columns=["action_units"])
        table = table.assign(label=table["label"].where(np.arange(N) % 3 > 0), AU1=np.nan, AU4=np.nan, AU12=np.nan)
        table["AU15"] = np.nan
        features = dataclasses.replace(records["features"], table=table)
        embedding = dataclasses.replace(records["embedding"], table=table)
        explorer = BranchExplorer(embedding, features=features, measure=selection_measures(features))
        assert theme.GREY in {one["colour"] for one in explorer.branch_maps.styles}
        explorer.select(table["clip_id"][:30])
        explorer.show(table["clip_id"].iloc[0])
        assert "AUs unknown" in text_of(explorer)
        assert "no AU has 8 positive" in text_of(explorer)

    def test_one_subject_one_class_and_one_branch_are_enough(self, records):
        table = records["embedding"].table.assign(subject="s01", label=CLASSES[0], emotion=CLASSES[0])
        features = dataclasses.replace(records["features"], table=table, emotion=None, gate=None)
        embedding = dataclasses.replace(records["embedding"], table=table, emotion_xy=None)
        explorer = BranchExplorer(embedding, features=features, measure=selection_measures(features))
        assert "no emotion branch" in text_of(explorer)
        with pytest.raises(AssertionError):
            control(explorer, "Subject")
        assert len(explorer.select(table["clip_id"])) == N

    def test_ten_thousand_clips_are_filtered_and_lassoed(self):
        rng, n = np.random.default_rng(0), 10_000
        columns = {"clip_id": [f"clip{k:05d}" for k in range(n)], "subject": [f"s{k % 200:03d}" for k in range(n)]}
        explorer = of_table(**columns, label=rng.choice(CLASSES, n), AU4=(aus := rng.integers(0, 2, n)))
        lasso(explorer, range(0, n, 4))
        explorer.filter(aus=["AU4"])
        assert len(explorer.selection) == aus[::4].sum()
        assert np.array_equal(on_the_maps(explorer), np.flatnonzero(aus))
