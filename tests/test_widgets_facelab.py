"""FaceLab: sliders are its state, every move is drawn and predicted, pairs are kept, and features are compared."""

import asyncio
from functools import partial

import numpy as np
import pytest
from page_contents import control, figure_of, figures_of, parts, text_of

from medn_lab.diagnose import counterfactual_shift
from medn_lab.evaluate import extract_features, live_predictor, predict
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import Clips
from medn_lab.synthme import CUES, face_studio, synthetic_clips
from medn_lab.view import plot_answers
from medn_lab.view.answers import score_table
from medn_lab.widgets import FaceLab

SMILE = {"aus": {"AU6": "B", "AU12": "C"}, "cue": "flush"}


@pytest.fixture(scope="module")
def studio():
    return face_studio(identity_seed=3, n_frames=4)


@pytest.fixture(scope="module")
def model():
    return MEDN(MEDNConfig(dim=32, n_frames=4), seed=3).eval()


@pytest.fixture(scope="module")
def answer(model):
    return live_predictor(model)


@pytest.fixture(scope="module")
def reference(model):
    return extract_features(model, synthetic_clips(n_subjects=1, clips_per_subject=6, n_frames=4, seed=2))


@pytest.fixture
def lab(studio, answer, reference):
    shift = partial(counterfactual_shift, reference=reference, n_resamples=0)
    return FaceLab(studio, answer=answer, shift=shift, state=SMILE)


def side(lab, au):
    return next(
        row.children[1]
        for row in parts(lab)
        if len(getattr(row, "children", ())) == 2 and getattr(row.children[0], "description", "") == au
    )


def test_every_control_shows_the_state_and_sets_it_and_the_model_is_run_on_the_clip_that_is_drawn(lab, studio, model):
    control(lab, "AU4").value = "D"
    assert lab.state["aus"] == {"AU4": "D", "AU6": "B", "AU12": "C"}
    expected = studio(lab.state)
    assert (lab.clip.frames == expected.frames).all()
    predicted = predict(model, expected)
    np.testing.assert_allclose(lab.answers.predictions.logits, predicted.logits, rtol=1e-4, atol=1e-5)
    assert "AU 12C" in text_of(lab)
    bars = next(trace for trace in figure_of(lab).data if trace.name == "whole model")
    np.testing.assert_allclose(bars.x[:5], predicted.probabilities[0], rtol=1e-3)
    lab.show(SMILE)
    side(lab, "AU12").value = "left"
    control(lab, "cue").value = "pallor"
    control(lab, "sensor noise").value, control(lab, "head drift").value = 0, 2
    levels = {"cue_strength": 1.0, "noise": 0.0, "drift": 2.0}
    assert lab.state == {"aus": SMILE["aus"], "sides": {"AU12": "left"}, "cue": "pallor", **levels}
    assert (lab.clip.frames == studio(lab.state).frames).all()
    lab.state = {"aus": {"AU4": "A", "AU7": "C"}, "sides": {"AU4": "right"}, "noise": 2}
    assert (control(lab, "AU4").value, control(lab, "AU12").value, side(lab, "AU4").value) == ("A", "–", "right")
    assert control(lab, "sensor noise").value == 2
    lab.view.frame, lab.view.overlay, lab.view.magnify = 3, "kept", 2
    lab.show({"aus": {"AU4": "C"}})
    assert (lab.view.frame, lab.view.overlay, lab.view.magnify, lab.view.playing) == (3, "kept", 2, True)
    drawn = np.frombuffer(lab.view.faces[0]["kept"][0]["mask"], np.uint8)
    np.testing.assert_array_equal(drawn, lab.answers.kept.masks[0, 0].ravel())
    for which in ("left", "right"):  # the person's own
        lab.show({"aus": {"AU12": "E"}, "sides": {"AU12": which}, "noise": 0, "drift": 0})
        length = np.linalg.norm(lab.clip.flow[0], axis=-1)
        shown = length[:, :32].sum() - length[:, 32:].sum()
        assert (shown < -0.8 * length.sum()) if which == "left" else (shown > 0.8 * length.sum())
    assert "L is on the right of the picture" in side(lab, "AU12").tooltip


def test_the_truth_stands_next_to_the_scores(lab):
    lab.show({**SMILE, "cue": "pallor"})
    table = score_table(lab.answers, lab.clip, lab.clip.table["clip_id"].item())
    assert (table["given_aus"]["happiness"], table["given_cue"]["repression"]) == (0.42, 1)
    assert table[["model", "frames_alone", "flow_alone"]].sum().round(4).tolist() == [1, 1, 1]
    drawn = next(trace.x for trace in figure_of(lab).data if trace.name == "the table with these AUs")
    np.testing.assert_allclose(drawn, table["given_aus"].where(table["given_aus"] > 0))
    assert "mean" in text_of(lab)
    for state in ({"aus": {"AU1": "B", "AU12": "B"}, "cue": "pallor"}, {**SMILE, "cue_strength": 0.0}):
        lab.show(state)
        assert "there is no true emotion" in text_of(lab)
    control(lab, "Neutral").click()
    assert (lab.state["aus"], lab.state["cue"]) == ({}, "still")
    assert "No movement" in text_of(lab)


def test_a_confusable_pair_is_made_at_one_click_kept_clips_are_recalled_and_replaced(studio, lab):
    control(lab, "Same AUs, other cue").click()
    pair = lab.clips
    assert pair.table[["clip_id", "action_units"]].to_numpy().tolist() == [["A", "6+12"], ["B", "6+12"]]
    assert pair.table["label"].nunique() == 2
    assert "confusable pair" in text_of(lab)
    assert lab.selection["slot"].tolist() == ["now", "A", "B"]
    assert len(lab.pair_view.faces) == len(pair.viewing) == 2
    assert pair.truth.table["given_cue_repression"].tolist() == [0, 1]
    assert lab.other_cue("still") == "still"
    for state, cue, why in ((lab.state, "still", "flush, pallor"), ({**SMILE, "cue_strength": 0}, None, "strength")):
        lab.show(state)
        with pytest.raises(ValueError, match=why):
            lab.other_cue(cue)
    alone = FaceLab(studio, state=SMILE)
    control(alone, "Back to A").click()
    assert "no clip is kept" in text_of(alone)
    control(alone, "Keep as A").click()
    alone.show({"aus": {"AU4": "E"}})
    control(alone, "Keep as B").click()
    assert "different AUs" in text_of(alone)
    control(alone, "Back to A").click()
    assert alone.state["aus"] == SMILE["aus"]
    alone.keep("B")
    assert alone.clips.table["action_units"].tolist() == ["6+12", "6+12"]
    assert alone.answers is None
    assert "predicted" not in alone.selection
    assert "No model was given" in text_of(alone)
    assert figures_of(alone, hidden=False) == []


def test_the_shift_of_each_branch_from_the_kept_clips_to_the_current_one(lab, model, reference):
    lab.keep("A")
    lab.show({**SMILE, "aus": {"AU4": "E"}})
    lab.keep("B")
    lab.show({**SMILE, "cue": "pallor"})
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
    lab.show({})
    assert "shift (sd)" not in text_of(lab)  # of another face


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 32}, "64x64 px but the model reads 32x32"),
        ({"classes": ("negative", "positive")}, "none of this model's classes"),
        ({"branches": "motion"}, ""),
        ({"branches": "emotion"}, ""),
        ({"aus": ()}, ""),
    ],
)
def test_what_the_model_lacks_is_named_and_the_rest_is_shown(studio, options, said):
    lab = FaceLab(studio, answer=live_predictor(MEDN(MEDNConfig(dim=32, n_frames=4, **options))), state=SMILE)
    assert said in text_of(lab)
    assert (lab.answers is None) == ("size" in options)
    assert lab.view.faces
    if not said:
        notes = [note.text for note in figure_of(lab).layout.annotations]
        assert any("gate" in text for text in notes) == ("branches" not in options)
        assert ("no AU scores" in notes) == (options != {"branches": "motion"})
        assert ("kept" in [key for key, *_ in lab.view.overlays]) == (options != {"branches": "motion"})


def test_another_kind_of_cue_has_its_states():
    first, second, resting = CUES["timing"]
    lab = FaceLab(face_studio(cue="timing", n_frames=4), state={"aus": {"AU4": "C"}, "cue": second})
    assert control(lab, "cue").options == CUES["timing"]
    assert (lab.other_cue(), lab.clips.table["label"].nunique()) == (first, 2)
    lab.rest()
    assert lab.state["cue"] == resting


def test_the_clip_is_never_older_than_the_state(lab):
    async def drag():
        lab.state = {**lab.state, "aus": {"AU9": "C"}}
        return lab.clip.table["action_units"].item()

    assert asyncio.run(drag()) == "9"


def test_the_figure_has_a_row_a_clip_with_scores_truth_and_aus(lab, answer):
    lab.other_cue()
    clips = lab.clips
    answers = answer(clips)
    figure, named = plot_answers(answers, clips=clips), {}
    for trace in figure.data:
        named.setdefault(trace.name, []).append(trace)
    for name, part in (("whole model", answers.predictions), ("frames alone (flow zero)", answers.frames_alone)):
        np.testing.assert_allclose([one.x for one in named[name]], part.probabilities, rtol=1e-6)
    np.testing.assert_allclose(named["AU scores"][0].x, answers.predictions.au_probabilities[0], rtol=1e-6)
    mark = named["the table with AUs and cue"][1]
    assert [name for name, share in zip(mark.y, mark.x, strict=True) if share == 1] == ["repression"]
    headings = " ".join(note.text for note in figure.layout.annotations)
    assert "<b>A</b> · AU 6B + AU 12C, cue flush · gate" in headings
    bare = Clips(None, clips.flow, clips.table.drop(columns=["label", "cue"]), recipe=clips.recipe)
    answers = answer(bare)
    assert answers.kept is None
    assert score_table(answers, bare, "A")["given_aus"].isna().all()
