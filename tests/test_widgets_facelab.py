"""FaceLab: sliders are its state, every move is drawn and predicted, pairs are kept, and features are compared."""

import asyncio
from functools import partial

import numpy as np
import pytest
from cases import assert_refuses
from page_contents import control, figure_of, parts, text_of

from medn_lab.diagnose import counterfactual_shift
from medn_lab.evaluate import extract_features, live_predictor, predict
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.synthme import CUES, face_studio, synthetic_clips
from medn_lab.view.answers import score_table
from medn_lab.widgets import FaceLab

SMILE = {"aus": {"AU6": "B", "AU12": "C"}, "cue": "flush"}


@pytest.fixture(scope="module")
def model():
    return MEDN(MEDNConfig(dim=32, n_frames=4), seed=3).eval()


@pytest.fixture(scope="module")
def reference(model):
    return extract_features(model, synthetic_clips(n_subjects=1, clips_per_subject=6, n_frames=4, seed=2))


@pytest.fixture
def lab(model, reference):
    shift = partial(counterfactual_shift, reference=reference, n_resamples=0)
    return FaceLab(face_studio(identity_seed=3, n_frames=4), answer=live_predictor(model), shift=shift, state=SMILE)


def test_every_control_shows_the_state_and_sets_it_and_the_model_is_run_on_the_clip_that_is_drawn(lab, model):
    rows = [row.children for row in parts(lab) if len(getattr(row, "children", ())) == 2]
    side = {amount.description: one for amount, one in rows if hasattr(amount, "description")}
    lab.view.frame, lab.view.overlay, lab.view.magnify = 3, "kept", 2
    control(lab, "AU4").value = "D"
    side["AU12"].value = "left"
    control(lab, "cue").value = "pallor"
    control(lab, "sensor noise").value, control(lab, "head drift").value = 0, 2
    levels, aus = {"cue_strength": 1.0, "noise": 0.0, "drift": 2.0}, {"AU4": "D", "AU6": "B", "AU12": "C"}
    assert lab.state == {"aus": aus, "sides": {"AU12": "left"}, "cue": "pallor", **levels}
    expected = face_studio(identity_seed=3, n_frames=4)(lab.state)
    assert (lab.clip.frames == expected.frames).all()
    predicted = predict(model, expected)
    np.testing.assert_allclose(lab.answers.predictions.logits, predicted.logits, rtol=1e-4, atol=1e-5)
    bars = next(trace for trace in figure_of(lab).data if trace.name == "whole model")
    np.testing.assert_allclose(bars.x[:5], predicted.probabilities[0], rtol=1e-3)
    assert (lab.view.frame, lab.view.overlay, lab.view.magnify, lab.view.playing) == (3, "kept", 2, True)
    drawn = np.frombuffer(lab.view.faces[0]["kept"][0]["mask"], np.uint8)
    np.testing.assert_array_equal(drawn, lab.answers.kept.masks[0, 0].ravel())
    for which in ("left", "right"):  # the person's own
        lab.state = {"aus": {"AU12": "E"}, "sides": {"AU12": which}, "noise": 0, "drift": 0}
        assert (control(lab, "AU12").value, control(lab, "AU4").value, side["AU12"].value) == ("E", "–", which)
        length = np.linalg.norm(lab.clip.flow[0], axis=-1)
        shown = length[:, :32].sum() - length[:, 32:].sum()
        assert (shown < -0.8 * length.sum()) if which == "left" else (shown > 0.8 * length.sum())


def test_the_truth_stands_next_to_the_scores(lab, model):
    lab.state = {**SMILE, "cue": "pallor"}
    table = score_table(lab.answers, lab.clip, lab.clip.table["clip_id"].item())
    assert (table["given_aus"]["happiness"], table["given_cue"]["repression"]) == (0.42, 1)
    assert table[["model", "frames_alone", "flow_alone"]].sum().round(4).tolist() == [1, 1, 1]
    drawn, own = {trace.name: trace for trace in figure_of(lab).data}, lab.answers
    np.testing.assert_allclose(drawn["the table with these AUs"].x, table["given_aus"].where(table["given_aus"] > 0))
    np.testing.assert_allclose(drawn["frames alone (flow zero)"].x, own.frames_alone.probabilities[0], rtol=1e-6)
    np.testing.assert_allclose(drawn["AU scores, ◆ coded"].x, own.predictions.au_probabilities[0], rtol=1e-6)
    mark = drawn["the table with AUs and cue"]
    lines = figure_of(lab).layout.yaxis.ticktext
    assert [lines[place] for place, share in zip(mark.y, mark.x, strict=True) if share == 1] == ["repression"]
    lab.state = {**SMILE, "cue_strength": 0.0}
    assert "there is no true emotion" in text_of(lab)
    assert_refuses(lab.other_cue, match="strength")
    control(lab, "Neutral").click()
    assert (lab.state["aus"], lab.state["cue"]) == ({}, "still")
    assert "No movement" in text_of(lab)


def test_a_confusable_pair_is_made_at_one_click_compared_recalled_and_replaced(lab, model, reference):
    control(lab, "Back to A").click()
    assert "no clip is kept" in text_of(lab)
    control(lab, "Same AUs, other cue").click()
    pair = lab.clips
    assert pair.table[["clip_id", "action_units"]].to_numpy().tolist() == [["A", "6+12"], ["B", "6+12"]]
    assert pair.table["label"].nunique() == 2
    assert "confusable pair" in text_of(lab)
    assert lab.selection["slot"].tolist() == ["now", "A", "B"]
    assert len(lab.pair_view.faces) == len(pair.viewing) == 2
    assert pair.truth.table["given_cue_repression"].tolist() == [0, 1]
    lab.state = {**SMILE, "aus": {"AU4": "E"}}
    control(lab, "Keep as B").click()
    assert "different AUs" in text_of(lab)
    control(lab, "Back to A").click()
    assert (lab.state["aus"], lab.state["cue"]) == (SMILE["aus"], "flush")
    lab.state = {**SMILE, "cue": "pallor"}
    control(lab, "Counterfactual shift").click()
    shown = text_of(lab).partition("shift (sd)")[2]
    found = lab.counterfactual_shift().set_index(["factor", "branch"])["value"]
    before, after = extract_features(model, lab.clips.select(["A"])), extract_features(model, lab.clip)
    for branch in ("motion", "emotion", "fused"):
        one, other = getattr(before, branch), getattr(after, branch)
        spread = getattr(reference, branch).var(axis=0, ddof=1).sum()
        assert found["A", branch] == pytest.approx(np.sqrt(((other - one) ** 2).sum() / spread), rel=1e-3)
        assert f"{found['A', branch]:.3f}" in shown
    assert found["B", "motion"] > 3 * found["A", "motion"]
    lab.state = {}
    assert "shift (sd)" not in text_of(lab)  # of another face

    async def recalled():  # in Jupyter what waits for a pause of the sliders is drawn later
        lab.recall("A")
        return lab.selection["action_units"].iloc[0]

    assert asyncio.run(recalled()) == "6+12"


def test_what_the_model_lacks_is_named_and_the_rest_is_shown():
    studio = face_studio(identity_seed=3, n_frames=4)
    for options in ({"classes": ("negative", "positive")}, {"branches": "motion", "aus": ()}):
        lab = FaceLab(studio, answer=live_predictor(MEDN(MEDNConfig(dim=32, n_frames=4, **options))), state=SMILE)
        notes = [note.text for note in figure_of(lab).layout.annotations]
        assert ("none of this model's classes" in text_of(lab)) == ("classes" in options)
        assert any("gate" in text for text in notes) == ("branches" not in options)
        assert ("no AU scores" in notes) == ("aus" in options)
        assert ("kept" in [traits["overlay"] for traits, *_ in lab.view.overlays]) == ("branches" not in options)
    with pytest.raises(ValueError, match="64x64 px but the model reads 32x32"):
        FaceLab(studio, answer=live_predictor(MEDN(MEDNConfig(size=32, dim=32, n_frames=4))))


def test_another_kind_of_cue_has_its_states_and_the_clip_is_never_older_than_the_state(model):
    (first, second, _), answer = CUES["timing"], live_predictor(model)
    lab = FaceLab(face_studio(cue="timing", n_frames=4), answer=answer, state={"aus": {"AU4": "C"}, "cue": second})
    assert control(lab, "cue").options == CUES["timing"]
    assert (lab.other_cue(), lab.clips.table["label"].nunique()) == (first, 2)

    async def drag():
        lab.state = {**lab.state, "aus": {"AU9": "C"}}
        return lab.clip.table["action_units"].item()

    assert asyncio.run(drag()) == "9"
