"""Every public trait of the eight widgets: what it says is what is shown, both ways; and `close` frees all of it."""

import asyncio
import dataclasses
import types

import ipywidgets
import numpy as np
import pandas as pd
import pytest
import traitlets
from ipywidgets.widgets.widget import _instances
from page_contents import control, parts, text_of
from sample_records import sample_clips, sample_embedding, sample_features, sample_history, sample_predictions
from slow_cases import mostly_slow

from medn_lab import widgets
from medn_lab.records import Attribution, DecouplingReport
from medn_lab.widgets import __all__ as NAMES
from medn_lab.widgets.pair_table import NO_FILTERS

MODELS = ["first", "second", "third"]


def maps_of(clips):
    """An attributor without a network: a map of ones; it says nothing of the gate by ``magic``."""
    made = set()

    def attribute(clip_id, *, target, method, partner):
        key = clip_id, target, method, partner
        if target not in attribute.targets or method not in attribute.methods:
            raise ValueError(f"there is no {target!r} or no {method!r}")
        if (target, method) == ("gate", "magic"):
            raise ValueError("magic says nothing of the gate")
        made.add(key)
        both = clips.select([clip_id, *filter(None, [partner])])
        frames = np.ones(both.frames.shape, np.float32)
        return Attribution(frames, None, both.table, "a pair" if partner else target, "both", method)

    attribute.methods, attribute.targets = ("saliency", "magic"), ("happiness", "disgust", "gate")
    attribute.kept = lambda clip_id: None
    attribute.is_made = lambda clip_id, *, target, method, partner: (clip_id, target, method, partner) in made
    attribute.check = lambda clip_id, **asked: attribute(clip_id, **asked).with_sanity({"randomised_threshold": 0.5})
    return attribute


def report(name):
    rows = [
        {"kind": "dependence", "measure": "linear_cka", "value": 0.2, "null_mean": 0.0, "null_95": 0.1, "p": 0.01},
        {"kind": "dependence", "measure": "linear_cka", "given": "aus", "value": 0.1, "p": 0.2},
        {"kind": "leakage", "measure": "auc", "target": "AUs", "branch": "emotion", "value": 0.6, "allowed": 0.5},
    ]
    return DecouplingReport(pd.DataFrame([row | {"model": name, "direction": "lower"} for row in rows]))


class Studio:
    """A face whose clips are drawn beforehand."""

    aus, one_sided, cues = ("AU4", "AU12"), ("AU12",), ("still", "flush")

    def __init__(self, clips):
        self.clip = clips.select(clips.table["clip_id"][:1])

    def __call__(self, state):
        return dataclasses.replace(self.clip, truth=None)


@pytest.fixture(scope="module")
def records():
    clips = sample_clips(n=24, size=24)
    features = sample_features(clips)
    return types.SimpleNamespace(
        clips=clips, features=features, predictions=sample_predictions(clips), embedding=sample_embedding(features)
    )


def make(name, records):
    clips, ids = records.clips, records.clips.table["clip_id"]
    if name == "ClipPlayer":
        return widgets.ClipPlayer(clips)
    if name == "BranchExplorer":
        return widgets.BranchExplorer(
            records.embedding, clips=clips, predictions=records.predictions, features=records.features
        )
    if name == "PairBrowser":
        pairs = pd.DataFrame({"clip_a": ids[:3], "clip_b": ids[3:6].to_numpy(), "action_units": ["4", "4", "12"]})
        return widgets.PairBrowser(pairs.assign(label_a="happiness", label_b="disgust"), clips=clips, magnify=1)
    if name == "AttributionViewer":
        return widgets.AttributionViewer(clips, attribute=maps_of(clips), target="happiness", method="saliency")
    if name == "TrainingMonitor":
        return widgets.TrainingMonitor()
    if name == "DecouplingPanel":
        return widgets.DecouplingPanel({model: report(model) for model in MODELS})
    if name == "EvaluationPanel":
        return widgets.EvaluationPanel(records.predictions, clips=clips)
    assert name == "FaceLab", "a new widget: say here how it is made"
    return widgets.FaceLab({"one": Studio(clips), "other": Studio(clips)}, magnify=1)


def value_of(description, kind=ipywidgets.Widget):
    return lambda widget: control(widget, description, kind).value


def chooses(description, kind=ipywidgets.Widget):
    def choose(widget, value):
        control(widget, description, kind).value = value

    return choose


def says(text):
    """Whether a text stands on the page, as what is shown."""
    return lambda widget: text if text in text_of(widget) else text_of(widget)


def ticked(widget):
    boxes = [control(widget, name, ipywidgets.Checkbox) for name in MODELS]
    return sorted(box.description for box in boxes if box.value)


def tick(widget, names):
    for name in MODELS:
        control(widget, name, ipywidgets.Checkbox).value = name in names


@dataclasses.dataclass
class Trait:
    """How a trait is tried: a value, what then is shown, a gesture that does the same, and values that cannot be."""

    value: object
    shown: object
    by_hand: object
    wrong: tuple = ()
    before: object = None  # what is called first
    shows: object = None  # what is shown, where that is not the value itself


def press_next(widget, value):
    control(widget, "next", ipywidgets.Button).click()


def slide(widget, value):
    parts(widget, ipywidgets.IntSlider)[0].value = value


def slid(widget):
    return parts(widget, ipywidgets.IntSlider)[0].value


def hold_partner(widget):
    widget.show(widget.shown["clip_id"].iloc[1])


def toggle(widget, wanted):
    for one in parts(widget, ipywidgets.ToggleButtons):
        if wanted in [option if isinstance(option, str) else option[1] for option in one.options]:
            one.value = wanted


def toggled(position):
    return lambda widget: parts(widget, ipywidgets.ToggleButtons)[position].value


READ_ONLY = {
    "BranchExplorer": {"selection", "measures", "shown"},
    "PairBrowser": {"selection", "bookmarks"},
    "AttributionViewer": {"attribution", "selection"},
    "TrainingMonitor": {"history"},
    "DecouplingPanel": {"selection"},
    "EvaluationPanel": {"selection"},
    "FaceLab": {"selection"},
}
SMILE = {"aus": {"AU12": "C"}, "sides": {}, "cue": "flush", "cue_strength": 1.0, "noise": 1.0, "drift": 1.0}


def in_page(name):
    """How a trait that the page draws is read and set there."""
    return lambda widget: getattr(widget.view, name), lambda widget, value: setattr(widget.view, name, value)


def table(ids, classes):
    """Every trait that may be set, by widget and name."""
    return {
        ("ClipPlayer", "clip_id"): Trait(ids[5], value_of("clip"), chooses("clip"), ("nobody", "")),
        ("ClipPlayer", "frame"): Trait(3, *in_page("frame"), (-1, 99)),
        ("ClipPlayer", "overlay"): Trait("arrows", *in_page("overlay"), ("smoke", "")),
        ("ClipPlayer", "magnify"): Trait(4.0, *in_page("magnify"), (0.0, 99.0)),
        ("ClipPlayer", "speed"): Trait(0.25, *in_page("speed"), (0.0, -1.0, float("nan"))),
        ("ClipPlayer", "loop"): Trait(False, *in_page("loop")),
        ("ClipPlayer", "keep_rate"): Trait(None, None, None, (0.5,)),
        ("ClipPlayer", "attributed"): Trait(None, None, None, ("flow",)),
        ("BranchExplorer", "clip_id"): Trait(ids[5], value_of("Clip"), chooses("Clip"), ("nobody",)),
        ("BranchExplorer", "partner_id"): Trait(
            ids[7], says(f">{ids[7]}<"), None, ("nobody", ids[1]), hold_partner, shows=f">{ids[7]}<"
        ),
        ("BranchExplorer", "colour_by"): Trait("subject", value_of("Colour by"), chooses("Colour by"), ("mood",)),
        ("BranchExplorer", "filters"): Trait(
            {"subjects": ("s02",)}, value_of("Subject"),
            lambda w, value: chooses("Subject")(w, value["subjects"][0]),
            ({"mood": ("x",)}, {"subjects": ("nobody",)}), shows="s02",
        ),
        ("PairBrowser", "pair"): Trait(
            (ids[1], ids[4]), lambda w: tuple(w.selection.iloc[0][["clip_a", "clip_b"]]), press_next,
            (("nobody", ids[0]), ("", "")),
        ),
        ("PairBrowser", "filters"): Trait(
            NO_FILTERS | {"aus": "12"}, value_of("AUs"), lambda w, value: chooses("AUs")(w, "12"),
            ({"aus": "99"}, {"mood": "x"}, {"verdict": "both right"}), shows="12",
        ),
        ("PairBrowser", "order"): Trait(None, None, None, ("alike", "best")),
        ("PairBrowser", "attributed"): Trait(None, None, None, (True,)),
        ("PairBrowser", "part"): Trait(
            "flow", value_of("", ipywidgets.Dropdown), chooses("", ipywidgets.Dropdown), ("smoke", "")
        ),
        ("AttributionViewer", "clip_id"): Trait(ids[5], value_of("Clip"), chooses("Clip"), ("nobody", "")),
        ("AttributionViewer", "target"): Trait(
            "disgust", lambda w: w.attribution.target, chooses("Target"), ("joy", ""),
        ),
        ("AttributionViewer", "method"): Trait("magic", value_of("Method"), chooses("Method"), ("guess", "")),
        ("AttributionViewer", "partner"): Trait(
            ids[7], lambda w: w.attribution.table["clip_id"].iloc[-1], None, ("nobody",)
        ),
        ("AttributionViewer", "frame"): Trait(
            2, lambda w: w.view.frame, lambda w, value: setattr(w.view, "frame", value), (-1, 99)
        ),
        ("DecouplingPanel", "family"): Trait("leakage", lambda w: w.selection["kind"].iloc[0], toggle, ("mood",)),
        ("DecouplingPanel", "given"): Trait("aus", value_of("Features"), chooses("Features"), ("age",)),
        ("DecouplingPanel", "each_au"): Trait(True, value_of("each AU"), chooses("each AU")),
        ("DecouplingPanel", "fused"): Trait(True, value_of("fused branch"), chooses("fused branch")),
        ("DecouplingPanel", "row"): Trait(0, value_of("Row"), chooses("Row"), (-1, 99)),
        ("DecouplingPanel", "models"): Trait(["first", "third"], ticked, tick, (["nobody"], ["first", "first"])),
        ("EvaluationPanel", "true"): Trait(classes[1], value_of("true"), chooses("true"), ("joy",)),
        ("EvaluationPanel", "predicted"): Trait(
            classes[1], value_of("predicted"), chooses("predicted"), ("joy",)
        ),
        ("EvaluationPanel", "mistakes"): Trait(True, value_of("mistakes only"), chooses("mistakes only")),
        ("EvaluationPanel", "clip_id"): Trait(
            ids[5], says(f">{ids[5]}<"),
            lambda w, value: (w.select(None, None), setattr(parts(w, ipywidgets.Select)[0], "value", value)),
            ("nobody",), shows=f">{ids[5]}<",
        ),
        ("FaceLab", "face"): Trait("other", value_of("Face"), chooses("Face"), ("nobody",)),
        ("FaceLab", "state"): Trait(
            SMILE, lambda w: value_of("AU12", ipywidgets.SelectionSlider)(w),
            lambda w, value: (toggle(w, "flush"), chooses("AU12", ipywidgets.SelectionSlider)(w, "C")),
            ({"mood": 1}, {"aus": {"AU99": "C"}}, {"aus": {"AU4": "C"}, "sides": {"AU4": "left"}}, {"noise": 9}),
            shows="C",
        ),
    }  # fmt: skip


def own_traits(name):
    kind = getattr(widgets, name)
    parents = set(ipywidgets.VBox.class_trait_names())
    return {trait for trait in kind.class_trait_names() if trait not in parents and not trait.startswith("_")}


@pytest.fixture(scope="module")
def tried(records):
    return table(list(records.clips.table["clip_id"]), records.predictions.classes)


EVERY = [(name, trait) for name in sorted(NAMES) for trait in sorted(own_traits(name))]
SET = [(name, trait) for name, trait in EVERY if trait not in READ_ONLY.get(name, ())]


def test_there_are_eight_widgets():
    assert len(NAMES) == 8


@pytest.mark.parametrize(("name", "trait"), EVERY)
def test_every_public_trait_is_a_result_or_is_tried_here(name, trait, tried):
    read_only = getattr(getattr(widgets, name), trait).read_only
    assert read_only == (trait in READ_ONLY.get(name, ()))
    assert read_only != ((name, trait) in tried)


@pytest.mark.parametrize(("name", "trait"), [pair for pair in EVERY if pair not in SET])
def test_a_result_cannot_be_set(name, trait, records):
    widget = make(name, records)
    with pytest.raises(traitlets.TraitError, match="read-only"):
        setattr(widget, trait, pd.DataFrame({"clip_id": ["x"]}))


@pytest.mark.parametrize(("name", "trait"), SET)
def test_what_is_set_is_shown_and_what_is_chosen_is_said(name, trait, records, tried):
    how, widget = tried[name, trait], make(name, records)
    if how.value is not None:
        if how.before:
            how.before(widget)
        expected = how.value if how.shows is None else how.shows
        assert how.shown(widget) != expected
        seen = []
        widget.observe(lambda change: seen.append(change.new), trait)
        setattr(widget, trait, how.value)
        assert getattr(widget, trait) == how.value
        assert how.shown(widget) == expected
        assert seen == [how.value]
    if how.by_hand:
        other = make(name, records)
        how.by_hand(other, how.value)
        assert getattr(other, trait) == how.value
        assert how.shown(other) == expected


@pytest.mark.parametrize(("name", "trait"), SET)
def test_what_cannot_be_is_one_sentence_and_changes_nothing(name, trait, records, tried):
    how, widget = tried[name, trait], make(name, records)
    if how.before:
        how.before(widget)
    state, page = {t: getattr(widget, t) for t in own_traits(name)}, text_of(widget)
    for wrong in how.wrong:
        with pytest.raises(traitlets.TraitError) as problem:
            setattr(widget, trait, wrong)
        assert "\n" not in str(problem.value)
        assert len(str(problem.value)) < 260
        for t, before in state.items():
            after = getattr(widget, t)
            assert after is before or after == before
        assert text_of(widget) == page


def drive(widget, name, records):
    """Use a widget as a reader would, so that it makes whatever it makes late."""
    ids = records.clips.table["clip_id"]
    if name == "BranchExplorer":
        widget.show(ids[0])
        widget.select(list(ids[:9]))
        widget.filter(subjects=[widget.shown["subject"].iloc[0]])
        widget.filter()
        widget.colour_by = "subject"
    elif name == "PairBrowser":
        widget.next()
        widget.bookmark(note="this")
        widget.stage.frame = 2
    elif name == "AttributionViewer":
        widget.explain("disgust", method="magic")
        widget.check()
    elif name == "TrainingMonitor":
        run = types.SimpleNamespace(history=sample_history(epochs=2), stop=lambda: None, resume=lambda: None)
        widget.on_fit_start(run)
        widget.on_epoch_end(run)
        widget.on_fit_end(run)
    elif name == "DecouplingPanel":
        for family in ("leakage", "information", "dependence"):
            widget.show(family)
        widget.compare(["second"])
        widget.compare(MODELS)
    elif name == "EvaluationPanel":
        widget.select(None, records.predictions.classes[0])
        widget.show(ids[3])
    elif name == "FaceLab":
        widget.show({"aus": {"AU12": "C"}})
        widget.keep("A")
        widget.other_cue()
    else:
        widget.show(ids[3])
        widget.overlay, widget.frame = "arrows", 3


@pytest.mark.parametrize("name", sorted(NAMES))
def test_close_frees_everything_and_what_is_used_afterwards_makes_nothing(name, records):
    before = set(_instances)
    widget = make(name, records)
    drive(widget, name, records)
    left = [one for key, one in _instances.items() if key not in before]
    assert len(left) > 9
    widget.close()
    assert set(_instances) == before
    assert all(one.comm is None for one in left)
    widget.close()
    drive(widget, name, records)
    assert set(_instances) == before
    assert repr(widget) == f"{name} (closed)"


@pytest.mark.parametrize("name", mostly_slow(sorted(NAMES), quick=3))
def test_no_button_raises_whatever_is_chosen(name, records, caplog, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where a page is written
    before = set(_instances)
    widget = make(name, records)
    for toggles in [None, *parts(widget, ipywidgets.ToggleButtons)]:
        for value in [None] if toggles is None else [value for _, value in toggles._options_full]:
            if toggles is not None:
                toggles.value = value
            for button in [one for key, one in _instances.items() if key not in before]:
                if isinstance(button, ipywidgets.Button):
                    button.click()  # ipywidgets logs what a callback raises
    assert [record.getMessage() for record in caplog.records] == []


def test_close_stops_what_waits(records):
    async def leave():
        explorer = make("BranchExplorer", records)
        viewer = make("AttributionViewer", records)
        explorer.branch_maps.hovered = 3
        control(viewer, "Method").value = "magic"
        explorer.close(), viewer.close()
        await asyncio.sleep(0.3)
        return explorer.clip_id, viewer.attribution.method

    assert asyncio.run(leave()) == ("", "saliency")


def test_a_pair_named_the_other_way_round_is_that_pair(records):
    browser, ids = make("PairBrowser", records), records.clips.table["clip_id"]
    seen = []
    browser.observe(lambda change: seen.append(change.new), "pair")
    browser.pair = (ids[4], ids[1])
    assert browser.pair == (ids[1], ids[4])
    assert seen == [(ids[1], ids[4])]


def test_models_are_shown_in_the_order_in_which_they_are_set(records):
    panel = make("DecouplingPanel", records)
    panel.models = ["third", "first"]
    assert panel.selection["model"].tolist() == ["third", "first"]
    tick(panel, MODELS)
    assert panel.models == ["third", "first", "second"]


def test_a_map_that_cannot_be_made_leaves_the_map_in_view(records):
    viewer = make("AttributionViewer", records)
    viewer.method = "magic"
    shown = viewer.attribution
    for act in (lambda: setattr(viewer, "target", "gate"), lambda: viewer.explain("gate")):
        with pytest.raises((traitlets.TraitError, ValueError), match="magic says nothing of the gate"):
            act()
        assert (viewer.target, viewer.attribution) == ("happiness", shown)


def test_another_clip_or_target_gives_a_pair_up(records):
    viewer, ids = make("AttributionViewer", records), records.clips.table["clip_id"]
    for trait, value in (("target", "disgust"), ("clip_id", ids[9])):
        viewer.partner = ids[7]
        assert len(viewer.attribution) == 2
        setattr(viewer, trait, value)
        assert (viewer.partner, len(viewer.attribution)) == ("", 1)


def test_without_an_attributor_there_is_no_target_to_set(records):
    viewer = widgets.AttributionViewer(records.clips)
    with pytest.raises(traitlets.TraitError, match="no attributor was given"):
        viewer.target = "happiness"
    viewer.clip_id = records.clips.table["clip_id"][4]
    assert viewer.target == ""


def test_the_time_of_a_map_stays_what_it_took(records, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("medn_lab.widgets.attribution.time.perf_counter", lambda: float(next(clock)) ** 2)
    attribute = maps_of(records.clips)
    viewer = widgets.AttributionViewer(records.clips, attribute=attribute, target="happiness", method="saliency")
    taken = viewer.selection["seconds"].iloc[0]
    viewer.explain("disgust")
    viewer.explain("happiness")
    viewer.check()
    viewer.target = "disgust"
    viewer.target = "happiness"
    rows = viewer.selection.set_index("target")["seconds"]
    assert (rows["happiness"], len(rows)) == (taken, 2)
    later = widgets.AttributionViewer(records.clips, attribute=attribute, target="happiness", method="saliency")
    assert np.isnan(later.selection["seconds"].iloc[0])


def test_a_history_can_be_followed(records):
    monitor, seen = make("TrainingMonitor", records), []
    monitor.observe(lambda change: seen.append(len(change.new)), "history")
    drive(monitor, "TrainingMonitor", records)
    assert seen
    assert set(seen) == {2}
