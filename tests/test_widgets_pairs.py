"""PairBrowser: one pair at a time, its state in traits, every control with the same effect, what is missing named."""

import base64
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
from medn_lab.records import Attribution
from medn_lab.widgets import PairBrowser

parts, control, text = (partial(one, hidden=False) for one in (page.parts, page.control, page.text_of))


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=40, size=32)


@pytest.fixture(scope="module")
def pairs(clips):
    found = rank_pairs(clips.table, features=sample_features(clips), predictions=sample_predictions(clips))
    return found.assign(opposite=np.arange(len(found)) % 3 == 0)


@pytest.fixture(scope="module")
def bare(pairs):
    return PairBrowser(pairs)


@pytest.fixture
def browser(bare):
    """One without clips that shows the first of all pairs."""
    bare.filter(order="ranked")
    return bare


@pytest.fixture(scope="module")
def full(pairs, clips):
    return PairBrowser(pairs, clips=clips, predictions=sample_predictions(clips), features=sample_features(clips))


def attribution_of(clips, names):
    """Red on the left of clip a, blue on the right of clip b; the flow of both is red."""
    both = clips.select(names)
    frames = np.zeros(both.frames.shape, np.float32)
    frames[0, 3, :, :13], frames[1, 3, :, 19:] = 1, -1
    flow = np.ones(both.flow.shape, np.float32)
    return Attribution(frames, flow, both.table, "happiness - others", "both", "integrated_gradients")


def figures(browser):
    """The figures on the page: the flows, then the attribution."""
    return page.figures_of(browser, hidden=False)


def names(pairs, place):
    return tuple(pairs[["clip_a", "clip_b"]].iloc[place])


def test_methods_buttons_and_the_number_walk_round_the_pairs(browser, pairs):
    assert browser.pair == names(pairs, 0)
    assert browser.next() == names(pairs, 1) == names(browser.selection, 0)
    browser.previous()
    assert browser.previous() == names(pairs, -1)
    control(browser, "next").click()
    assert browser.pair == names(pairs, 0)
    control(browser, "pair").value = 6
    control(browser, "previous").click()
    assert (browser.pair, control(browser, "pair").value) == (names(pairs, 4), 5)
    assert f"of {len(pairs)} pairs" in text(browser)


def test_a_pair_that_is_set_takes_filters_that_hide_it_away(browser, pairs):
    other = names(pairs[pairs["action_units"] != "12"], 3)
    for show in (lambda: setattr(browser, "pair", other[::-1]), lambda: browser.show(other[0], clip_b=other[1])):
        browser.filter(aus="12")
        show()
        assert (browser.pair, len(browser.pairs)) == (other, len(pairs))
        assert browser.filters["aus"] == control(browser, "AUs").value == ""
    for wrong in (("nobody", other[0]), ("", "")):
        with pytest.raises(traitlets.TraitError, match="are not among"):
            browser.pair = wrong


def test_each_filter_leaves_what_pandas_leaves(browser, pairs):
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
    ):
        found, want = browser.filter(**chosen), pairs[expected]
        assert found == len(want)
        assert browser.pairs.index.tolist() == want.index.tolist()
        assert browser.pair == (names(want, 0) if found else ("", ""))
    assert f"{len(want)} of {len(pairs)} pairs" in text(browser)
    control(browser, "All pairs").click()
    assert len(browser.pairs) == len(pairs)


def test_orders_sort_by_their_columns(browser):
    for order, column in (("alike", "motion_similarity"), ("apart", "emotion_separation")):
        browser.filter(order=order)
        assert (np.diff(browser.pairs[column]) <= 0).all()
    control(browser, "order").value = "missed"
    table = browser.pairs
    assert browser.pair == names(table, 0)
    assert (np.diff(table["motion_similarity"] - table["emotion_separation"]) <= 1e-12).all()
    browser.filter(aus="12")
    assert browser.order == control(browser, "order").value == "missed"  # what is not named stays


@pytest.mark.parametrize("chosen", [{"aus": "99"}, {"order": "best"}, {"dataset": "casme2"}])
def test_a_choice_that_is_not_there_is_refused_and_nothing_changes(browser, chosen):
    before = (browser.pair, browser.filters, browser.order, len(browser.pairs))
    with pytest.raises(ValueError, match="|".join([*chosen, *chosen.values()])):
        browser.filter(**chosen)
    assert (browser.pair, browser.filters, browser.order, len(browser.pairs)) == before


def test_filters_that_leave_nothing_say_so(browser, pairs):
    assert browser.filter(emotion="surprise", against="disgust") == 0
    assert f"of {len(pairs)} pairs" in text(browser)
    assert (browser.pair, len(browser.selection)) == (("", ""), 0)
    for act in (browser.next, browser.bookmark, lambda: browser.to_html("x.html")):
        with pytest.raises(ValueError, match="no pair passes"):
            act()
    browser.filter()
    assert "no pair passes" not in text(browser)


def test_pairs_of_one_data_set_can_be_chosen(clips):
    table = clips.table.assign(dataset=np.where(np.arange(len(clips)) < 20, "casme2", "samm"))
    found = confusable_pairs(table)
    browser = PairBrowser(found, clips=clips.with_table(table))
    where = table.set_index("clip_id")["dataset"]
    one, other = (where[found[f"clip_{side}"]].to_numpy() for side in "ab")
    assert browser.filter(dataset="samm") == ((one == "samm") & (other == "samm")).sum() > 0
    assert browser.filter(dataset="two data sets") == (one != other).sum() > 0


def test_verdicts_gate_faces_and_flows_are_those_of_the_pair(full, clips):
    full.filter(aus="12")
    row = full.selection.iloc[0]
    for part in (f"{row['n_controls']} controls", "emotion branch", row["verdict"], "mean gate", *full.pair):
        assert part in text(full)
    assert len(pictures(figures(full)[0])) == 3
    a, b = clips.select(full.pair).flow
    longest = [np.hypot(*np.moveaxis(flow, -1, 0)).max() for flow in (a, a - b, b)]
    shown = re.findall(r"longest ([\d.]+) px", " ".join(words(figures(full)[0])))
    assert list(map(float, shown)) == pytest.approx(longest, abs=0.006)
    first, second = full.stage.faces  # both play in step on one scale
    assert first["count"] == second["count"] == clips.frames.shape[1]
    assert (first["gain"], first["largest"]) == (second["gain"], second["largest"])
    assert first["largest"] == pytest.approx(max(longest[0], longest[2]), rel=1e-5)


def test_plain_pairs_have_no_verdict_and_fewer_controls(clips):
    browser = PairBrowser(confusable_pairs(clips.table), clips=clips)
    assert "medn.diagnose.rank_pairs" in text(browser)
    shown = {one.description for one in parts(browser, ipywidgets.Dropdown | ipywidgets.Checkbox)}
    assert {"predictions", "opposite valence"}.isdisjoint(shown)
    assert "subjects" in shown  # known from the clips
    assert [key for _, key in control(browser, "order").options] == ["ranked"]


def test_attribution_and_swaps_are_computed_when_wanted_and_kept(pairs, clips):
    attributed, swapped, before = [], [], []

    def attribute(a, b):
        before.append(text(browser))
        attributed.append((a, b))
        return attribution_of(clips, [a, b])

    browser = PairBrowser(
        pairs, clips=clips, attribute=attribute, swap=lambda a, b: (swapped.append((a, b)), swaps_of())[1]
    )
    assert "10.0 logits: +1.0 from the flow, +9.0 from the frames" in text(browser)
    browser.next()
    assert (attributed, swapped) == ([], [names(pairs, 0), names(pairs, 1)])
    control(browser, "attribute the difference").value = True
    assert attributed == [browser.pair]
    assert f"attribution of {browser.pair[0]} and {browser.pair[1]}" in before[0]
    red, blue = pictures(figures(browser)[1])
    assert (red[..., 0].astype(int) - red[..., 2])[:, :120].mean() > 60
    assert (blue[..., 2].astype(int) - blue[..., 0])[:, 200:].mean() > 60
    assert "red raises happiness, blue raises others" in text(browser)
    browser.previous()
    browser.next()
    control(browser, "", ipywidgets.Dropdown).value = "flow"
    assert (browser.part, len(attributed), len(swapped)) == ("flow", 2, 2)  # each pair once
    assert "flow, onset to apex" in text(browser)
    browser.attributed = False
    assert [len(pictures(one)) for one in figures(browser)] == [3]


def test_what_cannot_be_computed_is_named(browser, pairs, clips):
    assert control(browser, "attribute the difference").disabled
    for call in ("attribute=", "swap="):
        assert f"give {call}" in text(browser)
    with pytest.raises(traitlets.TraitError, match="attribute="):
        browser.attributed = True

    def refuse(a, b):
        raise ValueError("the model knows no awe")

    other = PairBrowser(pairs, clips=clips, attribute=refuse, swap=refuse)
    other.attributed = True
    assert text(other).count("the model knows no awe") == 2


def test_bookmarks_are_a_table_with_notes_and_a_link_that_saves_it(pairs):
    fresh, seen = PairBrowser(pairs), []
    (note,) = parts(fresh, ipywidgets.Text)
    fresh.observe(lambda change: seen.append(len(change.new)), "bookmarks")
    fresh.next()
    fresh.bookmark(note="a, b; ünd")
    fresh.previous()
    control(fresh, "bookmark").value = True
    note.value = "the clearest"
    expected = [[*names(pairs, 1), "a, b; ünd"], [*names(pairs, 0), "the clearest"]]
    assert fresh.bookmarks[["clip_a", "clip_b", "note"]].to_numpy().tolist() == expected
    assert set(pairs.columns) < set(fresh.bookmarks.columns)
    assert seen == [1, 2, 2]
    link = re.search(r"href='data:text/csv;base64,([^']+)'", text(fresh))
    saved = pd.read_csv(io.BytesIO(base64.b64decode(link[1])))
    assert saved["note"].tolist() == fresh.bookmarks["note"].tolist()
    fresh.next()
    assert (note.value, control(fresh, "bookmark").value) == ("a, b; ünd", True)
    control(fresh, "bookmark").value = False
    assert (fresh.bookmarks["note"].tolist(), note.value) == (["the clearest"], "")
    note.value = "typed"
    assert control(fresh, "bookmark").value
    assert fresh.filter(bookmarked=True) == 2
    fresh.bookmark(note=None)
    assert fresh.pair == names(fresh.bookmarks, 0) == names(fresh.pairs, 0) == names(fresh.selection, 0)
    fresh.bookmark(note=None)
    assert (fresh.pair, len(fresh.selection)) == (("", ""), 0)


def test_no_pairs_and_tables_without_pairs_are_named(pairs, clips):
    bare = pairs.iloc[:0].copy()
    bare.attrs = {"none": "none here, because the AUs of all 9 clips are unknown"}
    browser = PairBrowser(bare)
    assert "the AUs of all 9 clips are unknown" in text(browser)
    assert not parts(browser, ipywidgets.Button | ipywidgets.Dropdown)
    with pytest.raises(ValueError, match="No confusable pairs"):
        browser.next()
    empty = PairBrowser(confusable_pairs(pd.DataFrame({"clip_id": [], "action_units": [], "label": []})))
    assert "no two clips share an AU set" in text(empty)
    with pytest.raises(ValueError, match=r"lacks clip_a, clip_b, label_a, label_b.*rank_pairs"):
        PairBrowser(clips.table)


def test_what_was_not_given_is_named_and_the_rest_is_shown(pairs, clips):
    predictions, features = sample_predictions(clips), sample_features(clips)
    alone = PairBrowser(pairs)
    assert "No clips were given" in alone.stage.notes[0]
    for part in ("no scores", pairs["clip_a"].iloc[0]):
        assert part in text(alone)
    gone = pairs["clip_b"].iloc[0]
    some = [name for name in clips.table["clip_id"] if name != gone]
    browser = PairBrowser(
        pairs, clips=clips.select(some), predictions=predictions.select(some), features=features.select(some)
    )
    assert f"{gone} is not among the clips" in browser.stage.notes[0]
    for part in ("emotion scores", "not among the predictions", f"such as &#x27;{gone}&#x27;"):
        assert part in text(browser)
    assert figures(browser) == []


def test_pairs_without_a_label_and_doubles_are_left_out(pairs):
    spoiled = pairs.assign(label_b=[None, *pairs["label_b"].iloc[1:]])
    browser = PairBrowser(pd.concat([spoiled, pairs.iloc[1:4]]))
    assert browser.pair == names(pairs, 1)
    assert len(browser.pairs) == len(pairs) - 1
    assert "1 without a label" in text(browser)


def test_an_au_set_beyond_those_that_are_listed_can_be_chosen():
    table = pd.DataFrame([(f"a{k}", f"b{k}", f"{k}+17", "happiness", "others") for k in range(400)])
    browser = PairBrowser(table.set_axis(["clip_a", "clip_b", "action_units", "label_a", "label_b"], axis=1))
    assert max(len(one.options) for one in parts(browser, ipywidgets.Dropdown)) < 320
    assert browser.filter(aus="399+17") == 1
    assert (browser.pair, control(browser, "AUs").value) == (("a399", "b399"), "399+17")
