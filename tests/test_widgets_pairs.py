"""PairBrowser: one pair at a time, its state in traits, its answers from outside, and words where it cannot."""

import base64
import dataclasses
import io
import re

import numpy as np
import pandas as pd
import pytest
import traitlets
from pair_tables import swaps_of
from PIL import Image
from sample_records import sample_clips, sample_features, sample_predictions

from medn_lab import widgets
from medn_lab.diagnose import confusable_pairs, rank_pairs
from medn_lab.records import Attribution, Clips
from medn_lab.widgets.pair_list import PairList


def PairBrowser(pairs, *, magnify=1.0, **given):
    """A browser that does not magnify, which is quicker to draw."""
    return widgets.PairBrowser(pairs, magnify=magnify, **given)


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


def pages(image):
    """The pictures of an image widget."""
    opened = Image.open(io.BytesIO(image.value))
    count = getattr(opened, "n_frames", 1)
    shown = []
    for place in range(count):
        opened.seek(place)
        shown.append(np.asarray(opened.convert("RGB")).astype(int))
    return shown


def pictures_in(text):
    found = re.findall(r"data:image/webp;base64,([^']+)", text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(code))).convert("RGB")).astype(int) for code in found]


class TestWalking:
    def test_it_begins_with_the_first_pair_and_walks_round(self, browser, pairs):
        names = list(pairs[["clip_a", "clip_b"]].itertuples(index=False, name=None))
        assert browser.pair == names[0]
        assert browser.next() == names[1]
        assert browser.selection.iloc[0]["clip_a"] == names[1][0]
        assert len(browser.selection) == 1
        browser.previous()
        assert browser.previous() == names[-1]
        assert browser.next() == names[0]

    def test_buttons_and_the_number_do_what_the_methods_do(self, browser, pairs):
        browser._bar.next.click()
        assert browser.pair == tuple(pairs[["clip_a", "clip_b"]].iloc[1])
        browser._bar.number.value = 6
        assert browser.pair == tuple(pairs[["clip_a", "clip_b"]].iloc[5])
        browser._bar.previous.click()
        assert browser._bar.number.value == 5
        assert f"of {len(pairs)} pairs" in browser._bar.count.value

    def test_a_pair_can_be_set_followed_and_shown_in_either_order(self, browser, pairs):
        heard = []
        browser.observe(lambda change: heard.append(change.new), "selection")
        a, b = pairs[["clip_a", "clip_b"]].iloc[7]
        browser.pair = (b, a)
        assert browser.pair == (a, b)
        assert browser._bar.number.value == 8
        assert heard[-1]["clip_b"].tolist() == [b]
        with pytest.raises(traitlets.TraitError, match="'nobody' and 'noone' are not among the pairs"):
            browser.pair = ("nobody", "noone")
        with pytest.raises(ValueError, match="are not among the"):
            browser.show(a, clip_b=a)

    def test_showing_a_pair_that_is_filtered_out_takes_the_filters_away(self, browser, pairs):
        browser.filter(aus="12")
        other = pairs[pairs["action_units"] != "12"].iloc[3]
        browser.show(other["clip_a"], clip_b=other["clip_b"])
        assert browser.pair == (other["clip_a"], other["clip_b"])
        assert len(browser.pairs) == len(pairs)
        assert browser._filters.chosen["aus"] == ""


class TestStage:
    def test_both_faces_play_in_step_on_one_scale(self, browser, clips, pairs):
        assert browser.stage.playing
        first, second = browser.stage.faces
        assert first["count"] == second["count"] == clips.frames.shape[1]
        assert (first["gain"], first["largest"]) == (second["gain"], second["largest"])
        assert "in all clips alike" in first["texts"]["magnitude"]
        longest = max(np.hypot(*np.asarray(clips.flow[clips.table["clip_id"] == name])[0][..., :2].T).max()
                      for name in browser.pair)  # fmt: skip
        assert first["largest"] == pytest.approx(longest, rel=1e-5)

    def test_a_frame_that_is_not_there_is_refused(self, browser):
        browser.stage.frame = 3
        with pytest.raises(traitlets.TraitError, match="frames 0 to 7; there is no frame 8"):
            browser.stage.frame = 8


class TestFilters:
    def test_each_leaves_what_pandas_leaves(self, browser, pairs):
        for chosen, expected in (
            ({"aus": "12"}, pairs["action_units"] == "12"),
            ({"emotion": "others"}, (pairs["label_a"] == "others") | (pairs["label_b"] == "others")),
            (
                {"emotion": "others", "against": "disgust"},
                pairs[["label_a", "label_b"]].agg(set, axis=1) == {"others", "disgust"},
            ),
            ({"subjects": "same"}, pairs["same_subject"]),
            ({"subjects": "different"}, ~pairs["same_subject"]),
            ({"verdict": "both right"}, pairs["verdict"] == "both right"),
            ({"opposite": True}, pairs["opposite"]),
            ({}, pairs["opposite"] | True),
        ):
            found = browser.filter(**chosen)
            assert found == expected.sum()
            want = pairs[expected]
            assert browser.pairs["clip_a"].tolist() == want["clip_a"].tolist()
            assert browser.pair == (tuple(want[["clip_a", "clip_b"]].iloc[0]) if found else ("", ""))

    def test_controls_filter_too_and_the_button_takes_them_away(self, browser, pairs):
        browser._filters._controls["aus"].value = "12"
        browser._filters._controls["subjects"].value = "same"
        some = (pairs["action_units"] == "12") & pairs["same_subject"]
        assert len(browser.pairs) == some.sum()
        assert f"{some.sum()} of {len(pairs)} pairs" in browser._bar.count.value
        browser._filters._reset.click()
        assert len(browser.pairs) == len(pairs)

    def test_orders_sort_as_they_say(self, browser):
        for order, column, falling in (("alike", "motion_similarity", True), ("apart", "emotion_separation", True)):
            browser.filter(order=order)
            assert (np.diff(browser.pairs[column]) <= 0).all() == falling
        browser.filter(order="missed")
        table = browser.pairs
        assert (np.diff(table["motion_similarity"] - table["emotion_separation"]) <= 1e-12).all()
        assert browser._filters.order == "missed"
        browser.filter(aus="12")
        assert browser._filters.order == "missed"  # what is not named stays

    def test_what_is_not_there_is_refused_and_nothing_changes(self, browser, pairs):
        before = browser.pair
        for chosen, sentence in (
            ({"aus": "99"}, "no pair has the AU set '99'"),
            ({"emotion": "awe"}, "no pair has the emotion 'awe'"),
            ({"order": "best"}, "no order 'best' here"),
            ({"dataset": "casme2"}, "do not tell the dataset"),
        ):
            with pytest.raises(ValueError, match=sentence):
                browser.filter(**chosen)
            assert browser.pair == before
        assert len(browser.pairs) == len(pairs)

    def test_filters_that_leave_nothing_say_so(self, browser, pairs):
        assert browser.filter(emotion="surprise", against="disgust") == 0
        assert f"no pair passes these filters; without them there are {len(pairs)}" in browser._message.value
        assert browser.pair == ("", "")
        assert len(browser.selection) == 0
        assert browser._bar.next.disabled
        for act in (browser.next, browser.bookmark, browser.attribute):
            with pytest.raises(ValueError, match="no pair passes"):
                act()
        browser.filter()
        assert browser.pair != ("", "")
        assert browser._message.value == ""

    def test_pairs_of_one_data_set_can_be_chosen(self, clips):
        table = clips.table.assign(dataset=np.where(np.arange(len(clips)) < 20, "casme2", "samm"))
        found = confusable_pairs(table)
        browser = PairBrowser(found, clips=clips.with_table(table))
        where = table.set_index("clip_id")["dataset"]
        both = (where[found["clip_a"]].to_numpy() == "samm") & (where[found["clip_b"]].to_numpy() == "samm")
        assert browser.filter(dataset="samm") == both.sum() > 0
        across = where[found["clip_a"]].to_numpy() != where[found["clip_b"]].to_numpy()
        assert browser.filter(dataset="two data sets") == across.sum() > 0


class TestVerdicts:
    def test_each_branch_is_held_against_its_controls(self, browser, pairs):
        row = pairs.iloc[0]
        text = browser._sheet._verdicts.value
        assert f"of {row['n_controls']} controls" in text
        assert "motion branch" in text
        assert "emotion branch" in text
        assert f"whole model: <b>{row['verdict']}</b>" in text
        assert "Mean gate" in text

    def test_a_swap_says_which_branch_the_difference_is_owed_to(self, pairs, clips):
        asked = []
        browser = PairBrowser(pairs, clips=clips, swap=lambda a, b: (asked.append((a, b)), swaps_of())[1])
        text = browser._sheet._verdicts.value
        assert "10.0 logits lie between the two: +1.0 by the motion, +9.0 by the frames" in text
        assert "Flows swapped: happiness, others (as before); frames swapped: others, happiness" in text
        browser.next()
        browser.previous()
        assert len(asked) == 2  # remembered

    def test_what_cannot_be_swapped_is_said(self, pairs, clips):
        def refuse(a, b):
            raise ValueError("the model knows no awe")

        browser = PairBrowser(pairs, clips=clips, swap=refuse)
        assert "Not swapped: the model knows no awe" in browser._sheet._verdicts.value
        assert "hand over swap=" in PairBrowser(pairs, clips=clips)._sheet._verdicts.value

    def test_plain_pairs_have_no_verdict_and_say_how_to_get_one(self, clips):
        browser = PairBrowser(confusable_pairs(clips.table), clips=clips)
        assert "hand over the table of medn.diagnose.rank_pairs" in browser._sheet._verdicts.value
        assert browser._filters._controls["verdict"].layout.display == "none"
        assert browser._filters._controls["opposite"].layout.display == "none"
        assert browser._filters._controls["subjects"].layout.display != "none"  # the clips tell the subjects
        assert list(browser._list.orders) == ["ranked"]


class TestDifference:
    def test_it_is_computed_when_asked_for_announced_and_remembered(self, pairs, clips):
        asked, said = [], []

        def attribute(a, b):
            said.append(browser._sheet._maps.value)
            asked.append((a, b))
            return attribution_of(clips, [a, b])

        browser = PairBrowser(pairs, clips=clips, attribute=attribute)
        browser.next()
        assert asked == []
        browser._sheet._attributes.value = True
        assert asked == [browser.pair]
        assert f"Computing where {browser.pair[0]} and {browser.pair[1]} differ" in said[0]
        red, blue = pictures_in(browser._sheet._maps.value)
        assert (red[..., 0] - red[..., 2])[:, :140].mean() > 60
        assert (blue[..., 2] - blue[..., 0])[:, 240:].mean() > 60
        assert "red speaks for happiness, blue for others" in browser._sheet._maps.value
        browser.previous()
        browser.next()
        assert len(asked) == 2  # the pair before, and this one once
        browser._sheet._parts.value = "flow"
        assert len(asked) == 2
        assert "flow, onset to apex" in browser._sheet._maps.value

    def test_the_method_returns_it_and_shows_it(self, pairs, clips):
        browser = PairBrowser(pairs, clips=clips, attribute=lambda a, b: attribution_of(clips, [a, b]))
        found = browser.attribute(part="flow")
        assert found.table["clip_id"].tolist() == list(browser.pair)
        assert len(pictures_in(browser._sheet._maps.value)) == 2

    def test_what_cannot_be_attributed_is_said(self, browser, pairs, clips):
        assert browser._sheet._attributes.disabled
        assert "hand over attribute=" in browser._sheet._maps.value
        with pytest.raises(ValueError, match="hand over attribute="):
            browser.attribute()

        def refuse(a, b):
            raise ValueError("the model knows no awe")

        other = PairBrowser(pairs, clips=clips, attribute=refuse)
        other._sheet._attributes.value = True
        assert "Not attributed: the model knows no awe" in other._sheet._maps.value

    def test_flows_and_their_difference_stand_on_one_scale(self, browser, clips):
        browser.filter(aus="12")
        tiles = pictures_in(browser._sheet._flows.value)
        assert len(tiles) == 3
        a, b = (clips.flow[clips.table.index[clips.table["clip_id"] == name][0]] for name in browser.pair)
        longest = [f"longest {np.hypot(*np.moveaxis(flow, -1, 0)).max():.2f} px" for flow in (a, a - b, b)]
        assert re.findall(r"longest [\d.]+ px", re.sub(r"alt='[^']*'", "", browser._sheet._flows.value)) == longest


class TestBookmarks:
    def test_they_are_a_table_with_notes_in_the_order_of_marking(self, browser, pairs):
        heard = []
        browser.observe(lambda change: heard.append(len(change.new)), "bookmarks")
        browser.next()
        browser.bookmark(note="one-sided")
        browser.previous()
        browser._bar.mark.value = True
        browser._bar.note.value = "the clearest"
        expected = [
            [*pairs[["clip_a", "clip_b"]].iloc[place], note] for place, note in ((1, "one-sided"), (0, "the clearest"))
        ]
        assert browser.bookmarks[["clip_a", "clip_b", "note"]].to_numpy().tolist() == expected
        assert set(pairs.columns) < set(browser.bookmarks.columns)
        assert heard == [1, 2, 2]
        browser.next()
        assert browser._bar.note.value == "one-sided"
        browser._bar.mark.value = False
        assert browser.bookmarks["note"].tolist() == ["the clearest"]

    def test_typing_a_note_keeps_the_pair(self, browser):
        browser._bar.note.value = "look again"
        assert browser.bookmarks["note"].tolist() == ["look again"]
        assert browser._bar.mark.value

    def test_only_marked_pairs_can_be_shown(self, browser, pairs):
        for _ in range(3):
            browser.next()
        browser.bookmark()
        assert browser.filter(bookmarked=True) == 1
        assert browser.pair == tuple(pairs[["clip_a", "clip_b"]].iloc[3])

    def test_they_are_exported_as_csv_and_as_a_link(self, browser, tmp_path):
        browser.bookmark(note="a, b; ünd")
        path = browser.export(tmp_path / "pairs.csv")
        assert pd.read_csv(path)["note"].tolist() == ["a, b; ünd"]
        link = re.search(r"href='data:text/csv;base64,([^']+)'", browser._bar.link.value)
        saved = pd.read_csv(io.BytesIO(base64.b64decode(link[1])))
        assert saved["note"].tolist() == ["a, b; ünd"]
        assert "save 1 bookmark as csv" in browser._bar.link.value

    def test_what_cannot_be_exported_is_said(self, browser, tmp_path):
        with pytest.raises(ValueError, match="no pair is bookmarked"):
            browser.export(tmp_path / "pairs.csv")
        browser.bookmark()
        with pytest.raises(ValueError, match=r"exported as .csv; 'pairs.xlsx' ends otherwise"):
            browser.export(tmp_path / "pairs.xlsx")
        with pytest.raises(ValueError, match="there is no folder"):
            browser.export(tmp_path / "nowhere" / "pairs.csv")


class TestWhatIsMissing:
    def test_no_pairs_is_a_sentence(self, pairs):
        bare = pairs.iloc[:0].copy()
        bare.attrs = {"none": "none here, because the AUs of all 9 clips are unknown"}
        browser = PairBrowser(bare)
        assert "No confusable pairs: none here, because the AUs of all 9 clips are unknown." in browser._message.value
        for part in (browser._sheet, browser._filters, browser._bar):
            assert part.layout.display == "none"
        assert len(browser.selection) == 0
        with pytest.raises(ValueError, match="No confusable pairs"):
            browser.next()
        empty = PairBrowser(confusable_pairs(pd.DataFrame({"clip_id": [], "action_units": [], "label": []})))
        assert "no two clips share an AU set and differ in emotion" in empty._message.value

    def test_a_table_that_is_none_of_pairs_is_refused(self, clips):
        with pytest.raises(
            ValueError, match=r"lacks clip_a, clip_b, label_a, label_b; give the table of medn.diagnose"
        ):
            PairBrowser(clips.table)

    def test_without_clips_or_predictions_the_rest_is_shown(self, pairs, clips, predictions):
        alone = PairBrowser(pairs)
        assert "No clips were given" in alone.stage.notes[0]
        assert "no scores" in alone._sheet._cards[0].value
        assert pairs["clip_a"].iloc[0] in alone._sheet._cards[0].value
        scored = PairBrowser(pairs, predictions=predictions)
        assert "emotion scores" in scored._sheet._cards[1].value

    def test_flow_alone_is_drawn_and_no_face_is_promised(self, pairs, clips):
        browser = PairBrowser(pairs, clips=dataclasses.replace(clips, frames=None))
        assert "no frames" in browser.stage.notes[0]
        assert all(face["frames"] is None for face in browser.stage.faces)
        assert len(pictures_in(browser._sheet._flows.value)) == 3

    def test_frames_alone_play_and_the_flows_are_excused(self, pairs, clips):
        browser = PairBrowser(pairs, clips=dataclasses.replace(clips, flow=None))
        assert [face["count"] for face in browser.stage.faces] == [8, 8]
        assert pictures_in(browser._sheet._flows.value) == []
        assert "These clips have no flow" in browser._sheet._flows.value

    def test_a_clip_that_was_not_given_is_named(self, pairs, clips, predictions, features):
        gone = pairs["clip_b"].iloc[0]
        some = clips.select([name for name in clips.table["clip_id"] if name != gone])
        few = predictions.select(some.table["clip_id"])
        browser = PairBrowser(
            pairs, clips=some, predictions=few, features=features.select(some.table["clip_id"]),
            attribute=lambda a, b: attribution_of(clips, [a, b]),
        )  # fmt: skip
        assert f"{gone} is not among the clips" in browser.stage.notes[0]
        assert f"{gone} is not among the clips" in browser._sheet._flows.value
        assert "not among the predictions" in browser._sheet._cards[1].value
        assert f"{gone} is not among the features" in browser._sheet._verdicts.value
        browser._sheet._attributes.value = True
        assert f"{gone} is not among the clips" in browser._sheet._maps.value

    def test_predictions_of_other_classes_are_named(self, pairs, clips, predictions):
        other = dataclasses.replace(predictions, classes=("positive", "negative", "surprise", "calm"))
        browser = PairBrowser(pairs, clips=clips, predictions=other)
        named = browser._sheet._cards[0].value + browser._sheet._cards[1].value
        assert "These predictions know no" in named
        assert "positive, negative, surprise, calm" in named

    def test_pairs_without_a_label_are_left_out_and_counted(self, pairs, clips):
        spoiled = pairs.assign(label_b=[None, *pairs["label_b"].iloc[1:]])
        browser = PairBrowser(spoiled, clips=clips)
        assert browser.pair == tuple(pairs[["clip_a", "clip_b"]].iloc[1])
        assert "1 without a label on both sides left out" in browser._bar.count.value

    def test_names_from_the_table_are_escaped(self):
        table = pd.DataFrame(
            {"clip_a": ["<i>a"], "clip_b": ["<i>b"], "action_units": ["12"], "label_a": ["<b>"], "label_b": ["c"]}
        )
        browser = PairBrowser(table)
        shown = browser._sheet._cards[0].value + browser._sheet._cards[1].value + browser._sheet._verdicts.value
        assert "<i>" not in shown
        assert "&lt;i&gt;a" in shown


def many_pairs(n=1_000_000, clips=10_000):
    rng = np.random.default_rng(0)
    names = np.array([f"c{i:05d}" for i in range(clips)], dtype=object)
    aus = np.array(["4", "12", "6+12", "14", *(f"{k}+17" for k in range(18, 600))], dtype=object)
    labels = np.array(["happiness", "repression", "others"], dtype=object)
    a, b = rng.integers(0, clips, (2, n))
    first = rng.integers(0, 3, n)
    return pd.DataFrame(
        {
            "clip_a": names[a], "clip_b": names[b], "action_units": aus[rng.integers(0, len(aus), n)],
            "label_a": labels[first], "label_b": labels[(first + 1) % 3],
            "opposite": rng.random(n) < 0.3, "same_subject": rng.random(n) < 0.1,
            "motion_similarity": rng.random(n), "emotion_separation": rng.random(n),
        }
    )  # fmt: skip


def test_a_million_pairs_of_ten_thousand_clips_stay_usable():
    table = many_pairs()
    clips = pd.DataFrame({"clip_id": [f"c{i:05d}" for i in range(10_000)], "subject": "s"})
    frames = np.broadcast_to(np.zeros((1, 2, 16, 16, 3), np.uint8), (10_000, 2, 16, 16, 3))
    browser = PairBrowser(table, clips=Clips(frames, None, clips))
    browser.next()
    browser.filter(aus="12", opposite=True)
    browser.filter(emotion="happiness", subjects="different", order="missed")
    browser.filter(emotion="others", order="missed")
    assert all(
        len(control.options) <= 320 for control in browser._filters._controls.values() if hasattr(control, "options")
    )


def test_a_list_sorts_and_filters_at_once():
    pairs = PairList(many_pairs(2000, clips=100), None)
    rows = pairs.rows({"opposite": True}, order="alike")
    table = pairs.table.iloc[rows]
    assert table["opposite"].all()
    assert (np.diff(table["motion_similarity"]) <= 0).all()
    assert len(rows) == pairs.table["opposite"].sum()


def test_a_pair_that_loses_its_bookmark_leaves_the_bookmarked_ones(browser):
    browser.bookmark()
    browser.next()
    browser.bookmark(note="second")
    assert browser.filter(bookmarked=True) == 2
    browser.unbookmark()
    assert len(browser.pairs) == 1
    assert browser.pair == tuple(browser.bookmarks.iloc[0][["clip_a", "clip_b"]])
    assert browser.selection["clip_a"].tolist() == [browser.pair[0]]
    browser.unbookmark()
    assert (browser.pair, len(browser.selection)) == (("", ""), 0)
    assert "no pair passes these filters" in browser._message.value


def test_no_confusable_pair_has_one_emotion_on_both_sides(browser):
    emotion = browser.pairs["label_a"].iloc[0]
    assert browser.filter(emotion=emotion, against=emotion) == 0
