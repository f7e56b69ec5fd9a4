"""FaceLab: sliders are its state, every move is drawn and answered, and a pair is kept at one click."""

import asyncio
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medn_lab.evaluate import live_predictor, predict
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import Clips
from medn_lab.synthme import CUES, face_studio, photo_studio
from medn_lab.view import plot_answers
from medn_lab.view.answers import score_table
from medn_lab.widgets import FaceLab
from medn_lab.widgets.joined import join_clips
from medn_lab.widgets.timing import Latest

SMILE = {"aus": {"AU6": "B", "AU12": "C"}, "cue": "flush"}


@pytest.fixture(scope="module")
def studio():
    return face_studio(identity_seed=3)


@pytest.fixture(scope="module")
def model():
    return MEDN(MEDNConfig(dim=32), seed=3).eval()


@pytest.fixture(scope="module")
def answer(model):
    return live_predictor(model)


@pytest.fixture
def lab(studio, answer):
    lab = FaceLab(studio, answer=answer)
    lab._stage._play_soon._act = lambda: None  # playing the face takes a moment, and has a test of its own
    return lab


def picture(image):
    return np.asarray(Image.open(io.BytesIO(image.value)).convert("RGB")).astype(int)


def test_a_slider_that_moves_draws_the_clip_of_its_state_and_asks_the_model(lab, studio, model):
    before = picture(lab._stage.pictures["flow"])
    lab._controls.amounts["AU12"].value = "D"
    assert lab.state["aus"] == {"AU12": "D"}
    expected = studio(lab.state)
    assert (lab.clip.frames == expected.frames).all()
    said = predict(model, expected)
    np.testing.assert_allclose(lab.answers.predictions.logits, said.logits, rtol=1e-4, atol=1e-5)
    assert np.abs(picture(lab._stage.pictures["flow"]) - before).max() > 50
    assert "AU 12D" in lab._said.value
    assert "<b>AU12</b>" in lab._aus.value
    assert 0 < lab.seconds < 5


def test_side_cue_noise_and_drift_reach_the_clip(lab, studio):
    lab._controls.amounts["AU12"].value = "D"
    lab._controls.sides["AU12"].value = "left"
    lab._controls.cue.value = "pallor"
    lab._controls.levels["noise"].value = 0
    lab._controls.levels["drift"].value = 2
    assert lab.state == {
        "aus": {"AU12": "D"}, "sides": {"AU12": "left"}, "cue": "pallor", "cue_strength": 1.0, "noise": 0.0,
        "drift": 2.0,
    }  # fmt: skip
    assert (lab.clip.frames == studio(lab.state).frames).all()
    assert lab.clip.table["side"].tolist() == ["left"]


def test_state_is_a_trait_that_moves_the_sliders_and_tells_of_them(lab):
    heard = []
    lab.observe(lambda change: heard.append(change.new["aus"]), "state")
    lab.state = SMILE
    assert lab._controls.amounts["AU6"].value == "B"
    assert lab._controls.cue.value == "flush"
    lab._controls.amounts["AU4"].value = "A"
    assert heard[-1] == {"AU4": "A", "AU6": "B", "AU12": "C"}


def test_what_is_written_can_be_read_again(lab):
    state = {**SMILE, "sides": {"AU12": "right"}, "cue_strength": 0.5, "noise": 2.0, "drift": 0.25}
    lab.show(state)
    assert lab.state == state


def test_a_face_at_rest_is_said_to_rest_and_no_emotion_is_true_of_it(lab):
    lab.show(SMILE)
    assert "No movement" not in lab._said.value
    lab._rest.click()
    assert lab.state["aus"] == {}
    assert lab.state["cue"] == "still"
    assert "No movement" in lab._said.value
    assert "no emotion is true" in lab._said.value
    assert lab.selection.loc[0, "label"] is None
    lab.show({"cue": "flush"})
    assert "only the cue is there (flush)" in lab._said.value


def test_the_truth_stands_beside_the_scores(lab):
    lab.show({**SMILE, "cue": "pallor"})
    table = score_table(lab.answers, lab.clip, lab.clip.table["clip_id"].item())
    assert table["given_aus"].to_dict()["happiness"] == 0.42
    assert table["given_cue"].to_dict()["repression"] == 1
    assert table[["model", "frames_alone", "flow_alone"]].sum().round(4).tolist() == [1, 1, 1]
    assert "AUs and cue together mean" in lab._said.value
    assert "repression" in lab._said.value
    for title in ("AUs allow", "AUs + cue", "model", "frames alone", "flow alone", "42%", "100%"):
        assert title in lab._scores.value
    lab.show({"aus": {"AU1": "B", "AU12": "B"}, "cue": "pallor"})
    assert "not in the published table" in lab._said.value
    lab.show({**SMILE, "cue_strength": 0.0})
    assert "without a cue the table leaves several" in lab._said.value


def test_same_aus_other_cue_makes_a_confusable_pair_at_one_click(lab):
    lab.show(SMILE)
    lab._other.click()
    pair = lab.clips
    assert pair.table["clip_id"].tolist() == ["A", "B"]
    assert pair.table["action_units"].tolist() == ["6+12", "6+12"]
    assert pair.table["label"].nunique() == 2
    assert "confusable pair" in lab._kept._between.value
    assert lab.selection["slot"].tolist() == ["now", "A", "B"]
    assert lab._kept._pictures["A"].value != lab._kept._pictures["B"].value
    assert lab.other_cue("still") == "still"
    assert lab.clips.table["cue"].tolist() == ["pallor", "still"]


def test_the_pair_goes_on_to_the_next_cell(lab, model):
    lab.show(SMILE)
    lab.other_cue()
    assert len(predict(model, lab.clips)) == 2
    assert lab.clips.truth.au_mask("B", "AU12").any()
    assert lab.clips.truth.table["given_cue_repression"].tolist() == [0, 1]
    assert len(lab.clips.select(["B"])) == 1


def test_kept_clips_are_recalled_and_replaced(lab):
    lab.show(SMILE)
    lab._keep_a.click()
    lab.show({"aus": {"AU4": "E"}})
    lab._keep_b.click()
    assert "different AUs" in lab._kept._between.value
    assert "confusable" not in lab._kept._between.value
    lab._kept._back["A"].click()
    assert lab.state["aus"] == SMILE["aus"]
    lab.keep("B")
    assert lab.clips.table["action_units"].tolist() == ["6+12", "6+12"]
    assert lab._kept.state("B") == lab._kept.state("A")


def test_a_preset_sets_its_aus_and_no_others(lab):
    lab.show({"aus": {"AU4": "E"}, "cue": "flush"})
    lab._presets.value = "6+12"
    assert lab.state["aus"] == {"AU6": "C", "AU12": "C"}
    assert lab.state["cue"] == "flush"
    lab._controls.amounts["AU4"].value = "A"
    assert lab._presets.value == ""


def test_several_faces_can_be_chosen_from(studio, answer):
    lab = FaceLab({"drawn": studio, "portrait": photo_studio()}, answer=answer, state=SMILE)
    drawn = lab.clip
    lab.keep("A")
    lab._faces.value = "portrait"
    assert lab.clip.table["dataset"].tolist() == ["photo"]
    assert (lab.clip.frames != drawn.frames).any()
    lab.keep("B")
    assert lab.clips.table["subject"].nunique() == 2
    assert lab.clips.truth is not None
    assert len(lab.clips.truth.subjects) == 2


def test_the_face_plays_once_the_sliders_rest(studio):
    lab = FaceLab(studio, state=SMILE)  # where no loop runs at once
    assert Image.open(io.BytesIO(lab._stage.pictures["face"].value)).n_frames == 8


def test_the_drawn_motion_is_magnified_and_the_clip_is_not(lab):
    lab.show(SMILE)
    clip, small = lab.clip, picture(lab._stage.pictures["face"])
    lab._stage.magnifies.value = 1
    assert lab.clip is clip
    assert np.abs(picture(lab._stage.pictures["face"]) - small).max() > 10


def test_without_a_model_the_face_and_the_truth_are_shown(studio):
    lab = FaceLab(studio, state=SMILE)
    assert lab.answers is None
    assert "No model was handed in" in lab._scores.value
    assert "happiness 42%" in lab._aus.value
    assert lab._stage.pictures["kept"].layout.visibility == "hidden"
    lab.other_cue()
    assert "confusable pair" in lab._kept._between.value
    assert "predicted" not in lab.selection


def test_a_model_of_another_size_is_one_sentence_beside_the_face(studio):
    lab = FaceLab(studio, answer=live_predictor(MEDN(MEDNConfig(size=32, dim=32))), state=SMILE)
    assert "64x64 px but the model reads 32x32" in lab._scores.value
    assert lab.answers is None
    assert lab._stage.pictures["face"].layout.visibility == "visible"
    lab.keep("A")


def test_a_model_of_other_classes_is_told_from_the_table(studio):
    config = MEDNConfig(classes=("negative", "positive", "surprise"))
    lab = FaceLab(studio, answer=live_predictor(MEDN(config)), state=SMILE)
    assert "happiness" in lab._said.value
    assert "none of this model's classes (negative, positive, surprise)" in lab._said.value
    lab.show({"aus": {"AU1": "C", "AU2": "C"}, "cue": "pallor"})
    assert "none of this model's classes" not in lab._said.value


@pytest.mark.parametrize(("branches", "missing"), [("motion", "kept"), ("emotion", None)])
def test_a_model_of_one_branch_says_what_it_has(studio, branches, missing):
    lab = FaceLab(studio, answer=live_predictor(MEDN(MEDNConfig(branches=branches))), state=SMILE)
    assert "no gate" in lab._gate.value
    assert "frames alone" not in lab._scores.value
    assert ("no AU scores" in lab._aus.value) == (branches == "emotion")
    assert (lab._stage.pictures["kept"].layout.visibility == "hidden") == (missing == "kept")


def test_a_model_without_aus_says_so(studio):
    lab = FaceLab(studio, answer=live_predictor(MEDN(MEDNConfig(aus=()))), state=SMILE)
    assert "no AU scores" in lab._aus.value


@pytest.mark.parametrize("kind", list(CUES))
def test_every_kind_of_cue_has_its_own_states_and_its_truth(kind, answer, model):
    first, second, resting = CUES[kind]
    drawn = face_studio(identity_seed=3, cue=kind)
    lab = FaceLab(drawn, answer=answer, state={"aus": {"AU4": "C"}, "cue": second})
    assert lab._controls.cue.options == CUES[kind]
    assert lab.clip.table["label"].tolist() == ["repression"]
    assert lab.clip.truth.table["cue_kind"].tolist() == [kind]
    lab._controls.cue.value = first
    assert lab.state["cue"] == first
    assert (lab.clip.frames == drawn(lab.state).frames).all()
    assert f"cue {first}" in lab._said.value
    table = score_table(lab.answers, lab.clip, lab.clip.table["clip_id"].item())
    assert table["given_cue"].max() == 1 > table["given_aus"].max()
    assert table["given_cue"].idxmax() == lab.clip.table["label"].item() != "repression"
    np.testing.assert_allclose(lab.answers.predictions.logits, predict(model, lab.clip).logits, rtol=1e-4, atol=1e-5)
    assert lab.other_cue() == second
    assert lab.clips.table["cue"].tolist() == [first, second]
    assert lab.clips.table["label"].nunique() == 2
    assert "confusable pair" in lab._kept._between.value
    assert (lab.clips.frames[0] != lab.clips.frames[1]).any()
    lab.rest()
    assert lab.state["cue"] == resting
    assert "the cue is still" in lab._said.value
    assert "red" not in lab._controls.levels["cue_strength"].tooltip


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"au": {}}, "a state has no 'au'"),
        ({"aus": {"AU99": "C"}}, "this face has no AU99"),
        ({"aus": {"AU4": 1.0}}, "must be one of –, A"),
        ({"sides": {"AU12": "up"}}, "must be one of both, left, right"),
        ({"sides": {"AU17": "left"}}, "AU17 lies on the midline"),
        ({"cue": "blue"}, "this face has flush, pallor, still"),
        ({"noise": 9}, "noise must lie between 0 and 4"),
    ],
)
def test_a_state_that_no_slider_can_say_is_one_sentence_and_moves_nothing(lab, state, sentence):
    lab.show(SMILE)
    before = lab.state
    with pytest.raises(ValueError, match=sentence):
        lab.show(state)
    assert lab._controls.read() == before


def test_wrong_calls_are_one_sentence(lab, studio):
    with pytest.raises(ValueError, match="A or B, not as 'C'"):
        lab.keep("C")
    with pytest.raises(ValueError, match="no clip is kept as 'A'; none is kept yet"):
        lab.recall("A")
    lab.show({**SMILE, "cue_strength": 0.0})
    with pytest.raises(ValueError, match="no cue differs"):
        lab.other_cue()
    lab._other.click()  # and on the page
    assert "no cue differs" in lab._said.value
    lab.show(SMILE)
    with pytest.raises(ValueError, match="must be one of pallor, still; it is 'flush'"):
        lab.other_cue("flush")
    with pytest.raises(ValueError, match="there is no face"):
        FaceLab({})
    with pytest.raises(ValueError, match="different AUs or cues"):
        FaceLab({"a": studio, "b": face_studio(cue="timing")})
    with pytest.raises(ValueError, match="1 to 20, not by 50"):
        FaceLab(studio, magnify=50)


def test_clips_of_two_sizes_cannot_be_kept_together(studio, answer):
    lab = FaceLab({"small": studio, "large": face_studio(size=128)}, answer=answer, state=SMILE)
    lab.keep("A")
    lab._faces.value = "large"
    with pytest.raises(ValueError, match="64x64 px and flow and B 8 frames of 128x128"):
        lab.keep("B")
    assert lab.clips.table["clip_id"].tolist() == ["A"]


def test_joined_clips_lose_a_truth_that_does_not_agree(studio):
    colour, timing = studio(SMILE), face_studio(identity_seed=3, cue="timing")({"aus": {"AU4": "C"}})
    assert join_clips({"a": colour, "b": timing}).truth is None
    assert "cue" not in join_clips({"a": colour, "b": timing}).recipe
    assert join_clips({"a": colour, "b": replace(colour, truth=None)}).truth is None


def test_a_dragged_slider_is_drawn_at_its_latest_position_only():
    drawn = []

    async def drag():
        latest = Latest(drawn.append, seconds=0.005)
        for place in range(50):
            latest(place)
        await asyncio.sleep(0.03)
        latest("last")
        latest.cancel()
        await asyncio.sleep(0.02)

    asyncio.run(drag())
    assert drawn == [49]


@pytest.fixture(scope="module")
def pair(studio, answer):
    clips = [studio({**SMILE, "cue": cue}) for cue in ("flush", "pallor")]
    clips = join_clips(dict(zip("AB", clips, strict=True)))
    return clips, answer(clips)


class TestPlotAnswers:
    def test_a_row_a_clip_with_pictures_scores_and_aus(self, pair):
        clips, answers = pair
        figure = plot_answers(answers, clips=clips)
        assert sum(trace.type == "image" for trace in figure.data) == 6
        bars = [trace for trace in figure.data if trace.name == "whole model"]
        np.testing.assert_allclose([bar.x for bar in bars], answers.predictions.probabilities, rtol=1e-6)
        alone = [trace for trace in figure.data if (trace.name or "").startswith("frames alone")]
        np.testing.assert_allclose(alone[1].x, answers.frames_alone.probabilities[1], rtol=1e-6)
        aus = [trace for trace in figure.data if trace.name == "AU scores"]
        np.testing.assert_allclose(aus[0].x, answers.predictions.au_probabilities[0], rtol=1e-6)
        said = " ".join(note.text for note in figure.layout.annotations)
        assert "<b>A</b> · AU 6B + AU 12C, cue flush · gate" in said

    def test_the_true_emotion_of_each_clip_is_marked(self, pair):
        clips, answers = pair
        figure = plot_answers(answers, "B", clips=clips)
        mark = next(trace for trace in figure.data if trace.name == "the table with AUs and cue")
        assert {name for name, share in zip(mark.y, mark.x, strict=True) if share == 1} == {"repression"}

    def test_clips_without_frames_or_truth_are_drawn_as_far_as_they_go(self, pair, model):
        clips, _ = pair
        bare = replace(clips, frames=None, truth=None)
        answers = live_predictor(model)(bare)
        figure = plot_answers(answers, clips=bare)
        assert sum(trace.type == "image" for trace in figure.data) == 2
        assert answers.kept is None

    def test_too_many_or_unknown_clips_are_one_sentence(self, pair, answer, studio):
        clips, answers = pair
        with pytest.raises(ValueError, match="not in these predictions"):
            plot_answers(answers, "C", clips=clips)
        many = join_clips({f"c{place}": studio(SMILE) for place in range(9)})
        with pytest.raises(ValueError, match="9 clips are too many"):
            plot_answers(answer(many), clips=many)


def test_a_table_that_is_not_synthmes_has_no_truth_to_show(answer, studio):
    clip = studio(SMILE)
    bare = Clips(clip.frames, clip.flow, clip.table.drop(columns=["label", "cue"]), recipe=clip.recipe)
    table = score_table(answer(bare), bare, bare.table["clip_id"].item())
    assert table["given_aus"].isna().all()
    assert isinstance(table, pd.DataFrame)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_side_is_the_persons_own_and_its_hint_says_where_it_is_in_the_picture(studio, side):
    lab = FaceLab(studio, state={"aus": {"AU12": "E"}, "sides": {"AU12": side}, "noise": 0, "drift": 0}, magnify=1)
    length = np.linalg.norm(lab.clip.flow[0, ..., :2], axis=-1)
    half = length.shape[1] // 2
    left, right = length[:, :half].sum(), length[:, half:].sum()
    assert (right > 10 * left) if side == "left" else (left > 10 * right)
    assert lab.selection["side"].tolist() == [side]
    assert "L is on the right of the picture" in lab._controls.sides["AU12"].tooltip


def test_a_face_with_one_cue_has_no_other_one(studio):
    class OneCue:
        aus, one_sided, cues = studio.aus, studio.one_sided, ("still",)
        __call__ = staticmethod(studio)

    with pytest.raises(ValueError, match="one cue, 'still', so there is no other"):
        FaceLab(OneCue(), magnify=1).other_cue()
