"""Every public trait of the eight widgets: it equals its control both ways, or refuses; `close` frees everything."""

import asyncio
import dataclasses
import types

import ipywidgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import traitlets
from ipywidgets.widgets.widget import _instances
from page_contents import control, parts, text_of
from sample_records import sample_clips, sample_embedding, sample_features, sample_history, sample_predictions

from medn_lab import widgets
from medn_lab.records import Attribution, DecouplingReport, EvaluationSummary, LivePrediction
from medn_lab.widgets import __all__ as NAMES
from medn_lab.widgets.panel import LiveFigure

MODELS = ["first", "second", "third"]
ID, OTHER_ID = "s02_005", "s04_007"


def maps_of(clips):
    """An attributor without a network: a map of ones."""

    def attribute(clip_id, *, target, method, partner):
        if target not in attribute.targets or method not in attribute.methods:
            raise ValueError(f"there is no {target!r} or no {method!r}")
        both = clips.select([clip_id, *filter(None, [partner])])
        frames = np.ones(both.frames.shape, np.float32)
        return Attribution(frames, None, both.table, "a pair" if partner else target, "both", method)

    attribute.methods, attribute.targets = ("saliency", "magic"), ("happiness", "disgust", "gate")
    attribute.kept = lambda clip_id: None
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


def answered(clips):
    return LivePrediction(sample_predictions(clips), sample_features(clips))


@pytest.fixture(scope="module")
def records():
    LiveFigure(go.Figure()).close()  # plotly's code, which all figures share, stays
    clips = sample_clips(n=24, size=24)
    features = sample_features(clips)
    own = {"clips": clips, "features": features, "predictions": sample_predictions(clips)}
    return {"embedding": sample_embedding(features), **own}


def make(name, records):
    clips, ids = records["clips"], records["clips"].table["clip_id"]
    kind, pairs = getattr(widgets, name), {"clip_a": ids[:3], "clip_b": ids[3:6].to_numpy(), "action_units": "12"}
    return {
        "ClipPlayer": lambda: kind(clips),
        "BranchExplorer": lambda: kind(**records),
        "PairBrowser": lambda: kind(pd.DataFrame(pairs | {"label_a": "happiness", "label_b": "disgust"}), clips=clips),
        "AttributionViewer": lambda: kind(clips, attribute=maps_of(clips), target="happiness", method="saliency"),
        "TrainingMonitor": kind,
        "DecouplingPanel": lambda: kind({model: report(model) for model in MODELS}),
        "EvaluationPanel": lambda: kind(EvaluationSummary(records["predictions"]), clips=clips),
        "FaceLab": lambda: kind(Studio(clips), answer=answered),
    }[name]()


TRAITS = {
    "ClipPlayer": {"clip_id": (ID, "clip", "nobody", "")},
    "BranchExplorer": {
        "clip_id": (ID, "Clip", "nobody"), "partner_id": (None, None, "nobody", OTHER_ID),
        "colour_by": ("subject", "Colour by", "mood"),
        "filters": (None, None, {"mood": "x"}, {"subject": "nobody"}),
    },
    "PairBrowser": {
        "pair": (None, None, ("nobody", ID), ("", "")), "order": (None, None, "alike", "best"),
        "filters": (None, None, {"au_set": "99"}, {"mood": "x"}, {"verdict": "both right"}),
        "attributed": (None, None, True),
    },
    "AttributionViewer": {
        "clip_id": (ID, "Clip", "nobody", ""), "target": (None, None, "joy", ""),
        "method": ("magic", "Method", "guess", ""), "partner": (None, None, "nobody"),
    },
    "TrainingMonitor": {},
    "DecouplingPanel": {
        "family": (None, None, "mood"), "given": ("aus", "Features", "age"), "each_au": (True, "each AU"),
        "row": (0, "Row", -1, 99), "models": (None, None, ["nobody"], ["first", "first"]),
    },
    "EvaluationPanel": {
        "true": ("disgust", "true", "joy"), "predicted": ("disgust", "predicted", "joy"),
        "mistakes": (True, "mistakes only"), "clip_id": (None, None, "nobody"),
    },
    "FaceLab": {
        "state": (None, None, {"mood": 1}, {"aus": {"AU99": "C"}}, {"aus": {"AU4": "C"}, "sides": {"AU4": "left"}}),
    },
}  # fmt: skip
"""By widget and trait that may be set: a value, the label of its control, and values that are refused."""
RUN = types.SimpleNamespace(history=sample_history(epochs=2), stop=lambda: None, resume=lambda: None)
USES = {
    "ClipPlayer": lambda w: (w.show(ID), setattr(w.view, "overlay", "arrows")),
    "BranchExplorer": lambda w: (w.show(ID), w.select([ID]), w.set_trait("filters", {"subject": "s02"}), w.show_all()),
    "PairBrowser": lambda w: (w.next(), w.bookmark(note="this")),
    "AttributionViewer": lambda w: (w.show(target="disgust", method="magic"), w.check()),
    "TrainingMonitor": lambda w: (w.on_fit_start(RUN), w.on_epoch_end(RUN), w.on_fit_end(RUN)),
    "DecouplingPanel": lambda w: (w.show("leakage"), w.show("dependence"), w.set_trait("models", ["second"])),
    "EvaluationPanel": lambda w: (w.select(None, "disgust"), w.set_trait("clip_id", ID)),
    "FaceLab": lambda w: (w.set_trait("state", {"aus": {"AU12": "C"}}), w.keep("A"), w.other_cue()),
}
"""What a reader does with each widget that makes parts late."""


@pytest.mark.parametrize("name", sorted(TRAITS))
def test_a_trait_equals_its_control_both_ways_or_refuses_and_no_button_raises(name, records, caplog):
    assert sorted(NAMES) == sorted(TRAITS)
    own = getattr(widgets, name).class_traits()
    public = {one for one in own if not one.startswith("_")} - set(ipywidgets.VBox.class_trait_names())
    results = {one for one in public if own[one].read_only}
    assert public - results == set(TRAITS[name])
    widget = make(name, records)
    page, state = text_of(widget), {trait: getattr(widget, trait) for trait in public}
    wrong = [(trait, pd.DataFrame({"clip_id": ["x"]})) for trait in results]
    wrong += [(trait, value) for trait, (_, _, *values) in TRAITS[name].items() for value in values]
    for trait, value in wrong:
        with pytest.raises(traitlets.TraitError) as problem:
            setattr(widget, trait, value)
        assert len(str(problem.value).splitlines()) == 1
        assert all(getattr(widget, one) is before or getattr(widget, one) == before for one, before in state.items())
        assert text_of(widget) == page
    for trait, (value, label, *_) in TRAITS[name].items():
        if label is None:
            continue
        shown, seen = control(widget, label), []
        was = shown.value
        widget.observe(lambda change, seen=seen: seen.append(change.new), trait)
        setattr(widget, trait, value)
        assert (getattr(widget, trait), shown.value) == (value, value)
        shown.value = was
        assert (getattr(widget, trait), seen) == (state[trait], [value, state[trait]])
    for one in parts(widget, ipywidgets.ToggleButtons):
        one.value = one._options_full[-1][1]
    for button in parts(widget, ipywidgets.Button):
        button.click()  # ipywidgets logs what a callback raises
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("name", sorted(NAMES))
def test_close_frees_everything_and_what_is_used_afterwards_makes_nothing(name, records):
    before = set(_instances)
    widget = make(name, records)
    USES[name](widget)
    left = [one for key, one in _instances.items() if key not in before]
    assert len(left) > 9
    for _ in range(2):
        widget.close()
        assert set(_instances) == before
        assert all(one.comm is None for one in left)
        USES[name](widget)
    assert repr(widget) == f"{name} (closed)"


def test_close_stops_what_waits(records):
    async def leave():
        explorer, viewer = make("BranchExplorer", records), make("AttributionViewer", records)
        explorer.branch_maps.hovered = 3
        control(viewer, "Method").value = "magic"
        explorer.close(), viewer.close()
        await asyncio.sleep(0.3)
        return explorer.clip_id, viewer.attribution.method

    assert asyncio.run(leave()) == ("", "saliency")
