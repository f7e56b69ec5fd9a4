"""PairBrowser: one pair at a time, its state in traits, every control with the same effect, what is missing named."""

import base64
import dataclasses
import io
import re
from functools import partial

import ipywidgets
import numpy as np
import page_contents as page
import pandas as pd
import pytest
import traitlets
from figure_contents import pictures, words
from pair_tables import swaps_of
from sample_records import sample_clips, sample_features, sample_predictions

from medn_lab.diagnose import confusable_pairs, rank_pairs
from medn_lab.records import Attribution, Clips
from medn_lab.widgets import PairBrowser


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=40, size=32)


@pytest.fixture(scope="module")
def predictions(clips):
    return sample_predictions(clips)


@pytest.fixture(scope="module")
def features(clips):
    return sample_features(clips)


@pytest.fixture(scope="module")
def pairs(clips, features, predictions):
    return rank_pairs(clips.table, features=features, predictions=predictions)


@pytest.fixture
def browser(pairs, clips, predictions, features):
    return PairBrowser(pairs, clips=clips, predictions=predictions, features=features)


def attribution_of(clips, names):
    """Red on the left of clip a, blue on the right of clip b; the flow of both is red."""
    both = clips.select(names)
    frames = np.zeros(both.frames.shape, np.float32)
    frames[0, 3, :, :13], frames[1, 3, :, 19:] = 1, -1
    flow = np.ones(both.flow.shape, np.float32)
    return Attribution(frames, flow, both.table, "happiness - others", "both", "integrated_gradients")


parts, control, text = (partial(one, hidden=False) for one in (page.parts, page.control, page.text_of))


def note_of(browser):
    return next(one for one in parts(browser) if isinstance(one, ipywidgets.Text))


def figures(browser):
    """The figures on the page: the flows, then the attribution."""
    return page.figures_of(browser, hidden=False)


def names(pairs, place):
    return tuple(pairs[["clip_a", "clip_b"]].iloc[place])


class TestWalking:
    def test_it_begins_with_the_first_pair_and_goes_round(self, browser, pairs):
        assert browser.pair == names(pairs, 0)
        assert browser.next() == names(pairs, 1)
        assert names(browser.selection, 0) == names(pairs, 1)
        assert len(browser.selection) == 1
        browser.previous()
        assert browser.previous() == names(pairs, -1)
        assert browser.next() == names(pairs, 0)

    def test_buttons_and_the_number_do_what_the_methods_do(self, browser, pairs):
        control(browser, "next").click()
        assert browser.pair == names(pairs, 1)
        control(browser, "pair").value = 6
        assert browser.pair == names(pairs, 5)
        control(browser, "previous").click()
        assert (browser.pair, control(browser, "pair").value) == (names(pairs, 4), 5)
        assert f"of {len(pairs)} pairs" in text(browser)

    def test_a_pair_can_be_set_followed_and_named_in_either_order(self, browser, pairs):
        seen = []
        browser.observe(lambda change: seen.append(names(change.new, 0)), "selection")
        a, b = names(pairs, 7)
        browser.pair = (b, a)
        assert (browser.pair, seen, control(browser, "pair").value) == ((a, b), [(a, b)], 8)
        for wrong in (("nobody", a), ("", "")):
            with pytest.raises(traitlets.TraitError, match="are not among"):
                browser.pair = wrong
        with pytest.raises(ValueError, match="are not among"):
            browser.show(a, clip_b=a)

    def test_a_pair_that_filters_hide_takes_them_away(self, browser, pairs):
        other = names(pairs[pairs["action_units"] != "12"], 3)
        for show in (lambda: browser.show(other[0], clip_b=other[1]), lambda: setattr(browser, "pair", other)):
            browser.filter(aus="12")
            show()
            assert (browser.pair, len(browser.pairs)) == (other, len(pairs))
            assert browser.filters["aus"] == control(browser, "AUs").value == ""

    def test_both_faces_play_in_step_on_one_scale(self, browser, clips):
        assert browser.stage.playing
        first, second = browser.stage.faces
        assert first["count"] == second["count"] == clips.frames.shape[1]
        assert (first["gain"], first["largest"]) == (second["gain"], second["largest"])
        longest = np.hypot(*np.moveaxis(clips.select(browser.pair).flow[..., :2], -1, 0)).max()
        assert first["largest"] == pytest.approx(longest, rel=1e-5)


class TestFilters:
    def test_each_leaves_what_pandas_leaves(self, browser, pairs):
        labels = pairs[["label_a", "label_b"]]
        for chosen, expected in (
            ({"aus": "12"}, pairs["action_units"] == "12"),
            ({"emotion": "others"}, (labels == "others").any(axis=1)),
            ({"emotion": "others", "against": "disgust"}, labels.agg(set, axis=1) == {"others", "disgust"}),
            ({"emotion": "others", "against": "others"}, pairs["opposite"] & False),
            ({"subjects": "same"}, pairs["same_subject"]),
            ({"subjects": "different"}, ~pairs["same_subject"]),
            ({"verdict": "both right"}, pairs["verdict"] == "both right"),
            ({"opposite": True}, pairs["opposite"]),
            ({}, pairs["opposite"] | True),
        ):
            found, want = browser.filter(**chosen), pairs[expected]
            assert found == len(want)
            assert browser.pairs.index.tolist() == want.index.tolist()
            assert browser.pair == (names(want, 0) if found else ("", ""))

    def test_controls_and_the_trait_filter_too(self, browser, pairs):
        control(browser, "AUs").value = "12"
        control(browser, "subjects").value = "same"
        some = int(((pairs["action_units"] == "12") & pairs["same_subject"]).sum())
        assert len(browser.pairs) == some
        assert f"{some} of {len(pairs)} pairs" in text(browser)
        control(browser, "All pairs").click()
        assert len(browser.pairs) == len(pairs)
        browser.filters = {"aus": "12"}
        assert control(browser, "AUs").value == "12"
        assert len(browser.pairs) == (pairs["action_units"] == "12").sum()

    def test_orders_sort_as_they_say(self, browser):
        for order, column in (("alike", "motion_similarity"), ("apart", "emotion_separation")):
            browser.filter(order=order)
            assert (np.diff(browser.pairs[column]) <= 0).all()
        control(browser, "order").value = "missed"
        assert browser.pair == names(browser.pairs, 0)
        table = browser.pairs
        assert (np.diff(table["motion_similarity"] - table["emotion_separation"]) <= 1e-12).all()
        browser.filter(aus="12")
        assert browser.order == control(browser, "order").value == "missed"  # what is not named stays

    @pytest.mark.parametrize("chosen", [{"aus": "99"}, {"emotion": "awe"}, {"order": "best"}, {"dataset": "casme2"}])
    def test_what_is_not_there_is_refused_and_nothing_changes(self, browser, pairs, chosen):
        ((name, value),) = chosen.items()
        before = (browser.pair, browser.filters, browser.order, len(browser.pairs))
        with pytest.raises(ValueError, match=f"{value}|{name}"):
            browser.filter(**chosen)
        trait, wrong = ("order", value) if name == "order" else ("filters", chosen)
        with pytest.raises(traitlets.TraitError, match=f"{value}|{name}"):
            setattr(browser, trait, wrong)
        assert (browser.pair, browser.filters, browser.order, len(browser.pairs)) == before
        with pytest.raises(traitlets.TraitError, match="mood"):
            browser.filters = {"mood": "x"}

    def test_filters_that_leave_nothing_say_so(self, browser, pairs):
        control(browser, "pair").value = 5
        assert browser.filter(emotion="surprise", against="disgust") == 0
        assert f"without them there are {len(pairs)}" in text(browser)
        assert (browser.pair, len(browser.selection)) == (("", ""), 0)
        assert control(browser, "next").disabled
        for act in (browser.next, browser.bookmark, browser.attribute, lambda: browser.to_html("x.html")):
            with pytest.raises(ValueError, match="no pair passes"):
                act()
        browser.filter()
        assert browser.pair == names(pairs, 0)
        assert "no pair passes" not in text(browser)

    def test_pairs_of_one_data_set_can_be_chosen(self, clips):
        table = clips.table.assign(dataset=np.where(np.arange(len(clips)) < 20, "casme2", "samm"))
        found = confusable_pairs(table)
        browser = PairBrowser(found, clips=clips.with_table(table))
        where = table.set_index("clip_id")["dataset"]
        one, other = (where[found[f"clip_{side}"]].to_numpy() for side in "ab")
        assert browser.filter(dataset="samm") == ((one == "samm") & (other == "samm")).sum() > 0
        assert browser.filter(dataset="two data sets") == (one != other).sum() > 0


class TestOnePair:
    def test_verdicts_scores_and_gate_are_those_of_the_pair(self, browser, pairs):
        row = pairs.iloc[0]
        for part in (f"{row['n_controls']} controls", "motion branch", "emotion branch", row["verdict"], "mean gate"):
            assert part in text(browser)
        assert all(clip_id in text(browser) for clip_id in browser.pair)

    def test_swapping_is_shown_and_kept(self, pairs, clips):
        wanted = []
        browser = PairBrowser(pairs, clips=clips, swap=lambda a, b: (wanted.append((a, b)), swaps_of())[1])
        assert "10.0 logits: +1.0 from the flow, +9.0 from the frames" in text(browser)
        browser.next()
        browser.previous()
        assert wanted == [names(pairs, 0), names(pairs, 1)]

    def test_plain_pairs_have_no_verdict_and_fewer_controls(self, clips):
        browser = PairBrowser(confusable_pairs(clips.table), clips=clips)
        assert "medn.diagnose.rank_pairs" in text(browser)
        shown = {
            one.description for one in parts(browser) if isinstance(one, ipywidgets.Dropdown | ipywidgets.Checkbox)
        }
        assert {"model", "opposite valence"}.isdisjoint(shown)
        assert "subjects" in shown  # known from the clips
        assert [key for _, key in control(browser, "order").options] == ["ranked"]

    def test_flows_and_their_difference_are_those_of_the_clips(self, browser, clips):
        browser.filter(aus="12")
        assert len(pictures(figures(browser)[0])) == 3
        a, b = clips.select(browser.pair).flow
        longest = [np.hypot(*np.moveaxis(flow, -1, 0)).max() for flow in (a, a - b, b)]
        shown = re.findall(r"longest ([\d.]+) px", " ".join(words(figures(browser)[0])))
        assert list(map(float, shown)) == pytest.approx(longest, abs=0.006)

    def test_attribution_is_computed_when_wanted_announced_and_kept(self, pairs, clips):
        wanted, before = [], []

        def attribute(a, b):
            before.append(text(browser))
            wanted.append((a, b))
            return attribution_of(clips, [a, b])

        browser = PairBrowser(pairs, clips=clips, attribute=attribute)
        browser.next()
        assert wanted == []
        control(browser, "attribute the difference").value = True
        assert browser.attributed
        assert wanted == [browser.pair]
        assert f"{browser.pair[0]} and {browser.pair[1]} differ" in before[0]
        red, blue = pictures(figures(browser)[1])
        assert (red[..., 0].astype(int) - red[..., 2])[:, :120].mean() > 60
        assert (blue[..., 2].astype(int) - blue[..., 0])[:, 200:].mean() > 60
        assert "red raises happiness, blue raises others" in text(browser)
        browser.previous()
        browser.next()
        assert len(wanted) == 2  # the pair before, and this one once
        control(browser, "", ipywidgets.Dropdown).value = "flow"
        assert (browser.part, len(wanted)) == ("flow", 2)
        assert "flow, onset to apex" in text(browser)
        browser.attributed = False
        assert [len(pictures(one)) for one in figures(browser)] == [3]
        found = browser.attribute(part="frames")
        assert found.table["clip_id"].tolist() == list(browser.pair)
        assert (browser.attributed, browser.part, len(wanted)) == (True, "frames", 2)

    def test_what_cannot_be_computed_is_said(self, browser, pairs, clips):
        assert control(browser, "attribute the difference").disabled
        for call in ("attribute=", "swap="):
            assert f"give {call}" in text(browser)
        with pytest.raises(ValueError, match="attribute="):
            browser.attribute()
        with pytest.raises(traitlets.TraitError, match="attribute="):
            browser.attributed = True

        def refuse(a, b):
            raise ValueError("the model knows no awe")

        other = PairBrowser(pairs, clips=clips, attribute=refuse, swap=refuse)
        other.attributed = True
        assert text(other).count("the model knows no awe") == 2


class TestBookmarks:
    def test_they_are_a_table_with_notes_in_the_order_of_marking(self, browser, pairs):
        seen = []
        browser.observe(lambda change: seen.append(len(change.new)), "bookmarks")
        browser.next()
        browser.bookmark(note="one-sided")
        browser.previous()
        control(browser, "bookmark").value = True
        note_of(browser).value = "the clearest"
        expected = [[*names(pairs, 1), "one-sided"], [*names(pairs, 0), "the clearest"]]
        assert browser.bookmarks[["clip_a", "clip_b", "note"]].to_numpy().tolist() == expected
        assert set(pairs.columns) < set(browser.bookmarks.columns)
        assert seen == [1, 2, 2]
        browser.next()
        assert (note_of(browser).value, control(browser, "bookmark").value) == ("one-sided", True)
        control(browser, "bookmark").value = False
        assert browser.bookmarks["note"].tolist() == ["the clearest"]
        assert note_of(browser).value == ""

    def test_typing_a_note_keeps_the_pair(self, browser):
        note_of(browser).value = "look again"
        assert browser.bookmarks["note"].tolist() == ["look again"]
        assert control(browser, "bookmark").value

    def test_a_pair_that_loses_its_bookmark_leaves_the_bookmarked_ones(self, browser, pairs):
        browser.bookmark()
        browser.next()
        browser.bookmark(note="second")
        assert browser.filter(bookmarked=True) == 2
        browser.unbookmark()
        assert browser.pair == names(browser.bookmarks, 0) == names(browser.pairs, 0)
        assert (len(browser.pairs), names(browser.selection, 0)) == (1, browser.pair)
        browser.unbookmark()
        assert (browser.pair, len(browser.selection)) == (("", ""), 0)
        assert "no pair passes" in text(browser)

    def test_they_are_exported_as_csv_and_as_a_link(self, browser, tmp_path):
        with pytest.raises(ValueError, match="no pair is bookmarked"):
            browser.export(tmp_path / "pairs.csv")
        browser.bookmark(note="a, b; ünd")
        path = browser.export(tmp_path / "pairs.csv")
        link = re.search(r"href='data:text/csv;base64,([^']+)'", text(browser))
        for saved in (path, io.BytesIO(base64.b64decode(link[1]))):
            assert pd.read_csv(saved)["note"].tolist() == ["a, b; ünd"]
        with pytest.raises(ValueError, match=r"pairs\.xlsx"):
            browser.export(tmp_path / "pairs.xlsx")
        with pytest.raises(ValueError, match="no folder"):
            browser.export(tmp_path / "nowhere" / "pairs.csv")


class TestWhatIsMissing:
    def test_no_pairs_is_a_sentence(self, pairs):
        bare = pairs.iloc[:0].copy()
        bare.attrs = {"none": "none here, because the AUs of all 9 clips are unknown"}
        browser = PairBrowser(bare)
        assert "the AUs of all 9 clips are unknown" in text(browser)
        assert not [one for one in parts(browser) if isinstance(one, ipywidgets.Button | ipywidgets.Dropdown)]
        assert len(browser.selection) == 0
        with pytest.raises(ValueError, match="No confusable pairs"):
            browser.next()
        empty = PairBrowser(confusable_pairs(pd.DataFrame({"clip_id": [], "action_units": [], "label": []})))
        assert "no two clips share an AU set" in text(empty)

    def test_a_table_that_is_none_of_pairs_is_refused(self, clips):
        with pytest.raises(ValueError, match=r"lacks clip_a, clip_b, label_a, label_b.*rank_pairs"):
            PairBrowser(clips.table)

    def test_without_clips_or_predictions_the_rest_is_shown(self, pairs, predictions):
        alone = PairBrowser(pairs)
        assert "No clips were given" in alone.stage.notes[0]
        assert "no scores" in text(alone)
        assert pairs["clip_a"].iloc[0] in text(alone)
        assert "emotion scores" in text(PairBrowser(pairs, predictions=predictions))

    @pytest.mark.parametrize(("lacking", "drawn", "frames"), [("frames", 3, [1, 1]), ("flow", 0, [8, 8])])
    def test_frames_or_flow_alone_are_shown(self, pairs, clips, lacking, drawn, frames):
        browser = PairBrowser(pairs, clips=dataclasses.replace(clips, **{lacking: None}))
        assert f"no {lacking}" in browser.stage.notes[0]
        assert [face["count"] for face in browser.stage.faces] == frames
        assert len(pictures(figures(browser)[0])) == drawn

    def test_a_clip_that_was_not_given_is_named(self, pairs, clips, predictions, features):
        gone = pairs["clip_b"].iloc[0]
        some = [name for name in clips.table["clip_id"] if name != gone]
        browser = PairBrowser(
            pairs, clips=clips.select(some), predictions=predictions.select(some), features=features.select(some),
            attribute=lambda a, b: attribution_of(clips, [a, b]),
        )  # fmt: skip
        browser.attributed = True
        assert f"{gone} is not among the clips" in browser.stage.notes[0]
        for part in ("not among the predictions", f"{gone} is not among the features", "these clips"):
            assert part in text(browser)
        assert figures(browser) == []

    def test_predictions_of_other_classes_are_named(self, pairs, clips, predictions):
        other = dataclasses.replace(predictions, classes=("positive", "negative", "surprise", "calm"))
        assert "positive, negative, surprise, calm" in text(PairBrowser(pairs, clips=clips, predictions=other))

    def test_pairs_without_a_label_and_doubles_are_left_out(self, pairs, clips):
        spoiled = pairs.assign(label_b=[None, *pairs["label_b"].iloc[1:]])
        browser = PairBrowser(pd.concat([spoiled, pairs.iloc[1:4]]), clips=clips)
        assert browser.pair == names(pairs, 1)
        assert len(browser.pairs) == len(pairs) - 1
        assert "1 without a label" in text(browser)

    def test_names_from_the_table_are_escaped(self):
        table = pd.DataFrame(
            {"clip_a": ["<i>a"], "clip_b": ["<i>b"], "action_units": ["12"], "label_a": ["<u>"], "label_b": ["c"]}
        )
        shown = text(PairBrowser(table))
        assert "&lt;i&gt;a" in shown
        assert not re.search("<[iu]>", shown)


@pytest.mark.slow
def test_a_million_pairs_of_ten_thousand_clips_stay_usable():
    rng, n = np.random.default_rng(0), 1_000_000
    ids = np.array([f"c{i:05d}" for i in range(10_000)], dtype=object)
    aus = np.array(["4", "12", "6+12", "14", *(f"{k}+17" for k in range(18, 600))], dtype=object)
    labels, first = np.array(["happiness", "repression", "others"], dtype=object), rng.integers(0, 3, n)
    table = pd.DataFrame(
        {
            "clip_a": ids[rng.integers(0, 10_000, n)], "clip_b": ids[rng.integers(0, 10_000, n)],
            "action_units": aus[rng.integers(0, len(aus), n)],
            "label_a": labels[first], "label_b": labels[(first + 1) % 3],
            "opposite": rng.random(n) < 0.3, "same_subject": rng.random(n) < 0.1,
            "motion_similarity": rng.random(n), "emotion_separation": rng.random(n),
        }
    )  # fmt: skip
    frames = np.broadcast_to(np.zeros((1, 2, 16, 16, 3), np.uint8), (10_000, 2, 16, 16, 3))
    browser = PairBrowser(table, clips=Clips(frames, None, pd.DataFrame({"clip_id": ids, "subject": "s"})))
    browser.filter(emotion="happiness", against="others", subjects="different", opposite=True, order="missed")
    assert set(browser.pairs[["label_a", "label_b"]].to_numpy().ravel()) == {"happiness", "others"}
    rare = table["action_units"].value_counts().index[-1]
    lists = [one for one in parts(browser) if isinstance(one, ipywidgets.Dropdown)]
    assert max(len(one.options) for one in lists) < 320
    assert browser.filter(aus=rare) > 0  # also an AU set beyond those that are listed
    assert control(browser, "AUs").value == rare
