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
from cases import assert_refuses
from figure_contents import pictures, texts
from sample_records import sample_clips, sample_features, sample_predictions, swaps_of

from medn_lab.diagnose import confusable_pairs, rank_pairs
from medn_lab.records import Attribution
from medn_lab.widgets import PairBrowser

parts, control, text, figures = (  # of what is displayed; the figures are the flows, then the attribution
    partial(one, hidden=False) for one in (page.parts, page.control, page.text_of, page.figures_of)
)


CLIPS = sample_clips(n=40, size=32)
RECORDS = {"predictions": sample_predictions(CLIPS), "features": sample_features(CLIPS)}


@pytest.fixture(scope="module")
def pairs():
    found = rank_pairs(CLIPS.table, **RECORDS)
    place = np.arange(len(found))
    return found.assign(opposite=place % 3 == 0, same_subject=place % 4 == 1)


@pytest.fixture(scope="module")
def browser(pairs):
    """One without clips."""
    return PairBrowser(pairs)


def names(pairs, place):
    return tuple(pairs[["clip_a", "clip_b"]].iloc[place])


def test_methods_buttons_and_the_trait_walk_round_the_pairs(browser, pairs):
    assert browser.pair == names(pairs, 0)
    assert browser.next() == names(pairs, 1) == names(browser.selection, 0)
    control(browser, "previous").click()
    assert browser.next(steps=-1) == names(pairs, -1)
    assert f"{len(pairs)} of {len(pairs)} pairs" in text(browser)
    control(browser, "next").click()
    assert browser.pair == names(pairs, 0)
    other = names(pairs[pairs["action_units"] != "12"], 3)
    for show in (lambda: setattr(browser, "pair", other[::-1]), lambda: browser.show(other[0], clip_b=other[1])):
        browser.filters = {"au_set": "12"}
        show()  # which takes away the filters that hide it
        assert (browser.pair, len(browser.pairs)) == (other, len(pairs))
        assert (browser.filters, control(browser, "AU set").value) == ({}, "")


def test_each_filter_leaves_the_pairs_that_pandas_leaves_in_the_order_of_the_table(browser, pairs):
    labels = pairs[["label_a", "label_b"]]
    for label, value, expected in (
        ("AU set", "12", pairs["action_units"] == "12"),
        ("emotion", "others", (labels == "others").any(axis=1)),
        ("emotion", "disgust / others", labels.agg(set, axis=1) == {"others", "disgust"}),
        ("subjects", "same", pairs["same_subject"]),
        ("predictions", "both right", pairs["verdict"] == "both right"),
        ("opposite valence", True, pairs["opposite"]),
    ):
        control(browser, "All pairs").click()
        assert len(browser.pairs) == len(pairs)
        control(browser, label).value = value
        assert browser.pairs.index.tolist() == pairs.index[expected].tolist() != []
        assert browser.pair == names(pairs[expected], 0)
    assert f"1 of {len(browser.pairs)} of {len(pairs)} pairs" in text(browser)
    browser.filters = {"au_set": "12"}
    with pytest.raises(ValueError, match="nothing passes all filters"):
        browser.filters = {"au_set": "12", "emotion": "surprise"}
    assert browser.filters == {"au_set": "12"}


def test_verdicts_faces_and_flows_are_those_of_the_pair(pairs):
    predictions = RECORDS["predictions"]
    full = PairBrowser(pairs, clips=CLIPS, predictions=predictions)
    full.filters = {"au_set": "12"}
    row = full.selection.iloc[0]
    for part in (f"{row['n_controls']} controls", "emotion branch", row["verdict"], *full.pair):
        assert part in text(full)
    assert len(pictures(figures(full)[0])) == 3
    a, b = CLIPS.select(full.pair).flow
    longest = [np.hypot(*np.moveaxis(flow, -1, 0)).max() for flow in (a, a - b, b)]
    shown = re.findall(r"longest ([\d.]+) px of 32, arrows ×([\d.]+)", texts(figures(full)[0]))
    assert [float(length) for length, _ in shown] == pytest.approx(longest, abs=0.006)
    assert len({gain for _, gain in shown}) == 1
    first, second = full.stage.faces  # both play in step on one scale
    assert first["count"] == second["count"] == CLIPS.frames.shape[1]
    assert (first["gain"], first["largest"]) == (second["gain"], second["largest"])
    assert first["largest"] == pytest.approx(max(longest[0], longest[2]), rel=1e-5)
    gone = pairs["clip_b"].iloc[0]
    some = [name for name in CLIPS.table["clip_id"] if name != gone]
    lacking = PairBrowser(pairs, clips=CLIPS.select(some), predictions=predictions.select(some))
    assert f"{gone} is not among the clips" in lacking.stage.notes[0]
    for part in ("emotion scores", "not among the predictions", f"such as &#x27;{gone}&#x27;"):
        assert part in text(lacking)
    assert figures(lacking) == []


def test_attribution_and_swaps_are_computed_when_wanted_and_kept(pairs):
    attributed, swapped, before = [], [], []

    def attribute(a, b):
        before.append(text(browser))
        attributed.append((a, b))
        both = CLIPS.select([a, b])
        how = ("happiness - others", "both", "integrated_gradients")
        return Attribution(np.ones(both.frames.shape, np.float32), None, both.table, *how)

    swap = lambda a, b: (swapped.append((a, b)), swaps_of())[1]  # noqa: E731
    browser = PairBrowser(pairs, clips=CLIPS, attribute=attribute, swap=swap)
    assert "10.0 logits: +1.0 from the flow, +9.0 from the frames" in text(browser)
    browser.next()
    assert (attributed, swapped) == ([], [names(pairs, 0), names(pairs, 1)])
    control(browser, "attribute the difference").value = True
    assert attributed == [browser.pair]
    assert f"attribution of {browser.pair[0]} and {browser.pair[1]}" in before[0]
    assert len(pictures(figures(browser)[1])) == 2
    assert "red raises happiness, blue raises others" in text(browser)
    browser.next(steps=-1)
    browser.next()
    assert (len(attributed), len(swapped)) == (2, 2)  # each pair once
    browser.attributed = False
    assert [len(pictures(one)) for one in figures(browser)] == [3]

    def refuse(a, b):
        raise ValueError("the model knows no awe")

    other = PairBrowser(pairs, clips=CLIPS, attribute=refuse, swap=refuse)
    other.attributed = True
    assert text(other).count("the model knows no awe") == 2


def test_bookmarks_are_a_table_with_notes_and_a_link_that_saves_it(pairs):
    fresh = PairBrowser(pairs)
    (note,) = parts(fresh, ipywidgets.Text)
    fresh.next()
    fresh.bookmark(note="a, b; ünd")
    control(fresh, "previous").click()
    control(fresh, "bookmark").value = True
    note.value = "the clearest"
    expected = [[*names(pairs, 1), "a, b; ünd"], [*names(pairs, 0), "the clearest"]]
    assert fresh.bookmarks[["clip_a", "clip_b", "note"]].to_numpy().tolist() == expected
    assert set(pairs.columns) < set(fresh.bookmarks.columns)
    link = re.search(r"href='data:text/csv;base64,([^']+)'", text(fresh))[1]
    assert pd.read_csv(io.BytesIO(base64.b64decode(link)))["note"].tolist() == fresh.bookmarks["note"].tolist()
    fresh.next()
    assert (note.value, control(fresh, "bookmark").value) == ("a, b; ünd", True)
    control(fresh, "bookmark").value = False
    assert (fresh.bookmarks["note"].tolist(), note.value) == (["the clearest"], "")
    note.value = "typed"
    assert control(fresh, "bookmark").value
    fresh.bookmark(note=None)
    assert len(fresh.bookmarks) == 1


def test_tables_without_verdicts_labels_or_pairs_are_named(browser, pairs):
    assert "No clips were given" in browser.stage.notes[0]
    assert "no scores" in text(browser)
    plain = PairBrowser(confusable_pairs(CLIPS.table), clips=CLIPS)
    assert "medn.diagnose.rank_pairs" in text(plain)
    shown = {one.description for one in parts(plain, ipywidgets.Dropdown | ipywidgets.Checkbox)}
    assert shown == {"AU set", "emotion"}
    some = PairBrowser(pd.concat([pairs.assign(label_b=[None, *pairs["label_b"].iloc[1:]]), pairs.iloc[1:4]]))
    assert (some.pair, len(some.pairs)) == (names(pairs, 1), len(pairs) - 1)
    assert "1 without a label" in text(some)
    none = pairs.iloc[:0].copy()
    none.attrs = {"none": "none here, because the AUs of all 9 clips are unknown"}
    assert_refuses(PairBrowser, none, match=r"No confusable pairs: .* the AUs of all 9 clips are unknown")
    assert_refuses(PairBrowser, CLIPS.table, match=r"lacks clip_a, clip_b, label_a, label_b.*rank_pairs")
