"""Every public trait of the eight widgets: it equals its control both ways, or refuses; `close` frees everything."""

import asyncio
import types

import ipywidgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import traitlets
from ipywidgets.widgets.widget import _instances
from page_contents import control, parts, text_of
from sample_records import sample_features, sample_history, sample_of_each, sample_predictions

from medn_lab import diagnose, widgets
from medn_lab.records import Attribution, DecouplingReport, EvaluationSummary, LivePrediction
from medn_lab.widgets.panel import LiveFigure

MODELS = ["first", "second"]
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
    row = {"kind": "dependence", "measure": "linear_cka", "value": 0.2, "null_95": 0.1, "p": 0.01}
    leak = {"kind": "leakage", "measure": "auc", "target": "AUs", "branch": "emotion", "value": 0.6, "allowed": 0.5}
    return DecouplingReport(pd.DataFrame([row, row | {"given": "aus"}, leak]).assign(model=name, direction="lower"))


def studio(clips):
    """A face whose clip is drawn beforehand."""

    def draw(state):
        return clips.select(clips.table["clip_id"][:1])

    draw.aus, draw.one_sided, draw.cues = ("AU4", "AU12"), ("AU12",), ("still", "flush")
    return draw


def answered(clips):
    return LivePrediction(sample_predictions(clips), sample_features(clips))


@pytest.fixture(scope="module")
def records():
    LiveFigure(go.Figure()).close()  # plotly's code, which all figures share, stays
    return sample_of_each(n=24, size=24)


PAIR = {"clip_a": "s01_000", "clip_b": OTHER_ID, "action_units": "12", "label_a": "happiness", "label_b": "disgust"}
RUN = types.SimpleNamespace(history=sample_history(epochs=2), stop=lambda: None, resume=lambda: None)
PANELS = {
    "ClipPlayer": (
        lambda own: widgets.ClipPlayer(own["clips"]), lambda w: (w.show(ID), setattr(w.view, "overlay", "arrows")),
        {"clip_id": (ID, "clip", "nobody", "")},
    ),
    "BranchExplorer": (
        lambda own: widgets.BranchExplorer(**own),
        lambda w: (w.show(ID), w.select([ID, OTHER_ID]), w.set_trait("filters", {"subject": "s02"}), w.show_all()),
        {"clip_id": (ID, "Clip", "nobody"), "partner_id": (None, None, "nobody", OTHER_ID),
         "colour_by": ("subject", "Colour by", "mood"), "filters": (None, None, {"mood": "x"}, {"subject": "nobody"})},
    ),
    "PairBrowser": (
        lambda own: widgets.PairBrowser(pd.DataFrame([PAIR, PAIR | {"clip_a": ID}]), clips=own["clips"]),
        lambda w: (w.next(), w.bookmark(note="this")),
        {"pair": (None, None, ("nobody", ID), ("", "")),
         "filters": (None, None, {"au_set": "99"}, {"mood": "x"}, {"verdict": "both right"}),
         "attributed": (None, None, True)},
    ),
    "AttributionViewer": (
        lambda own: widgets.AttributionViewer(
            own["clips"], attribute=maps_of(own["clips"]), target="happiness", method="saliency"),
        lambda w: (w.show(target="disgust", method="magic"), w.check()),
        {"clip_id": (ID, "Clip", "nobody", ""), "target": (None, None, "joy", ""),
         "method": ("magic", "Method", "guess", ""), "partner": (None, None, "nobody")},
    ),
    "TrainingMonitor": (
        lambda own: widgets.TrainingMonitor(),
        lambda w: (w.on_fit_start(RUN), w.on_epoch_end(RUN), w.on_fit_end(RUN)), {},
    ),
    "DecouplingPanel": (
        lambda own: widgets.DecouplingPanel({model: report(model) for model in MODELS}),
        lambda w: (w.show("leakage"), w.show("dependence"), w.set_trait("models", ["second"])),
        {"family": (None, None, "mood"), "given": ("aus", "Features", "age"), "each_au": (True, "each AU"),
         "row": (0, "Row", -1, 99), "models": (None, None, ["no"], ["first"] * 2)},
    ),
    "EvaluationPanel": (
        lambda own: widgets.EvaluationPanel(EvaluationSummary(own["predictions"]), clips=own["clips"]),
        lambda w: (w.select(None, "disgust"), w.set_trait("clip_id", ID)),
        {"true": ("disgust", "true", "joy"), "predicted": ("disgust", "predicted", "joy"),
         "mistakes": (True, "mistakes only"), "clip_id": (None, None, "nobody")},
    ),
    "FaceLab": (
        lambda own: widgets.FaceLab(studio(own["clips"]), answer=answered),
        lambda w: (w.set_trait("state", {"aus": {"AU12": "C"}}), w.keep("A"), w.other_cue()),
        {"state": (None, None, {"mood": 1}, {"aus": {"AU99": "C"}}, {"aus": {"AU4": "C"}, "sides": {"AU4": "left"}})},
    ),
}  # fmt: skip
"""How a widget is made, what makes parts late, and by trait: a value, the label of its control, refused values."""


@pytest.mark.parametrize("name", sorted(widgets.__all__))
def test_a_trait_equals_its_control_or_refuses_no_button_raises_and_close_frees_everything(name, records, caplog):
    before, (make, use, settable), own = set(_instances), PANELS[name], getattr(widgets, name).class_traits()
    public = {one for one in own if not one.startswith("_")} - set(ipywidgets.VBox.class_trait_names())
    results = {one for one in public if own[one].read_only}
    assert public - results == set(settable)
    widget = make(records)
    page, state = text_of(widget), {trait: getattr(widget, trait) for trait in public}
    wrong = [(trait, "x") for trait in results]
    wrong += [(trait, value) for trait, (_, _, *values) in settable.items() for value in values]
    for trait, value in wrong:
        with pytest.raises(traitlets.TraitError) as problem:
            setattr(widget, trait, value)
        assert len(str(problem.value).splitlines()) == 1
        assert all(getattr(widget, one) is old or getattr(widget, one) == old for one, old in state.items())
        assert text_of(widget) == page
    for trait, (value, label, *_) in settable.items():
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
    use(widget)
    left = [one for key, one in _instances.items() if key not in before]
    assert len(left) > 9
    for _ in range(2):
        widget.close()
        assert set(_instances) == before
        assert all(one.comm is None for one in left)
        use(widget)


def test_close_stops_what_waits(records):
    async def leave():
        explorer = widgets.BranchExplorer(**records, measure=diagnose.selection_measures(records["features"]))
        explorer.close()
        await asyncio.sleep(0.6)
        return explorer.measures

    assert asyncio.run(leave()).empty
