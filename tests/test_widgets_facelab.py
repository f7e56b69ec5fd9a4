"""FaceLab: sliders are its state, every move is drawn and predicted, and a pair is kept at one click."""

import asyncio
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import traitlets
from page_contents import control, figure_of, parts, text_of

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


@pytest.fixture(scope="module")
def shared(studio, answer):
    return FaceLab(studio, answer=answer)


@pytest.fixture
def lab(shared):
    """One widget for all tests that do not need a new one, with a still face; it may hold kept clips."""
    shared.show({})
    return shared


def scores(lab) -> go.Figure:
    return figure_of(lab)


def level(lab, name):
    return control(lab, {"noise": "sensor noise", "drift": "head drift"}[name])


def side(lab, au):
    row = next(part for part in parts(lab) if control_is(part, au))
    return row.children[1]


def control_is(part, au):
    return len(getattr(part, "children", ())) == 2 and getattr(part.children[0], "description", None) == au


def test_a_slider_that_moves_draws_the_clip_of_its_state_and_runs_the_model(lab, studio, model):
    before = lab.view.faces[0]["flow"]["data"]
    control(lab, "AU12").value = "D"
    assert lab.state["aus"] == {"AU12": "D"}
    expected = studio(lab.state)
    assert (lab.clip.frames == expected.frames).all()
    predicted = predict(model, expected)
    np.testing.assert_allclose(lab.answers.predictions.logits, predicted.logits, rtol=1e-4, atol=1e-5)
    assert lab.view.faces[0]["flow"]["data"] != before
    assert "AU 12D" in text_of(lab)
    (bars,) = (trace for trace in scores(lab).data if trace.name == "whole model")
    np.testing.assert_allclose(bars.x[:5], predicted.probabilities[0], rtol=1e-3)
    assert lab.seconds > 0


def test_every_control_shows_the_state_and_sets_it(lab, studio):
    control(lab, "AU12").value = "D"
    side(lab, "AU12").value = "left"
    control(lab, "cue").value = "pallor"
    level(lab, "noise").value = 0
    level(lab, "drift").value = 2
    levels = {"cue_strength": 1.0, "noise": 0.0, "drift": 2.0}
    assert lab.state == {"aus": {"AU12": "D"}, "sides": {"AU12": "left"}, "cue": "pallor", **levels}
    assert (lab.clip.frames == studio(lab.state).frames).all()
    assert lab.selection["side"].iloc[0] == "left"
    heard = []
    lab.observe(lambda change: heard.append(change.new["aus"]), "state")
    lab.state = {**SMILE, "sides": {"AU12": "right", "AU4": "left"}, "noise": 2}
    assert (control(lab, "AU6").value, control(lab, "AU4").value, control(lab, "cue").value) == ("B", "–", "flush")
    assert (side(lab, "AU12").value, side(lab, "AU4").value, level(lab, "noise").value) == ("right", "left", 2.0)
    assert control(lab, "AU set").value == "6+12"
    control(lab, "AU4").value = "A"
    assert heard[-1] == {"AU4": "A", "AU6": "B", "AU12": "C"}
    assert control(lab, "AU set").value == ""
    control(lab, "AU set").value = "1+2"
    assert (lab.state["aus"], lab.state["sides"], lab.state["cue"]) == ({"AU1": "C", "AU2": "C"}, {}, "flush")


def test_a_still_face_is_named_so_and_no_emotion_is_true_of_it(lab):
    lab.show(SMILE)
    assert "No movement" not in text_of(lab)
    control(lab, "Rest").click()
    assert (lab.state["aus"], lab.state["cue"]) == ({}, "still")
    assert "No movement" in text_of(lab)
    assert lab.selection.loc[0, "label"] is None
    lab.show({"cue": "flush"})
    assert "only the cue is there (flush)" in text_of(lab)


def test_the_truth_stands_next_to_the_scores(lab):
    lab.show({**SMILE, "cue": "pallor"})
    table = score_table(lab.answers, lab.clip, lab.clip.table["clip_id"].item())
    assert table["given_aus"].to_dict()["happiness"] == 0.42
    assert table["given_cue"].to_dict()["repression"] == 1
    assert table[["model", "frames_alone", "flow_alone"]].sum().round(4).tolist() == [1, 1, 1]
    drawn = {trace.name: trace for trace in scores(lab).data}
    np.testing.assert_allclose(drawn["the table with these AUs"].x, table["given_aus"].where(table["given_aus"] > 0))
    np.testing.assert_allclose(drawn["frames alone (flow zero)"].x, table["frames_alone"])
    assert "repression" in text_of(lab)
    lab.show({"aus": {"AU1": "B", "AU12": "B"}, "cue": "pallor"})
    assert "not in the published table" in text_of(lab)
    lab.show({**SMILE, "cue_strength": 0.0})
    assert "without a cue the table leaves several" in text_of(lab)


def test_same_aus_other_cue_makes_a_confusable_pair_at_one_click(lab, model):
    lab.show(SMILE)
    control(lab, "Same AUs, other cue").click()
    pair = lab.clips
    assert pair.table["clip_id"].tolist() == ["A", "B"]
    assert pair.table["action_units"].tolist() == ["6+12", "6+12"]
    assert pair.table["label"].nunique() == 2
    assert "confusable pair" in text_of(lab)
    assert lab.selection["slot"].tolist() == ["now", "A", "B"]
    assert len(lab.pair_view.faces) == 2
    assert len(pair.viewing) == 2
    assert len(predict(model, pair)) == 2
    assert pair.truth.au_mask("B", "AU12").any()
    assert pair.truth.table["given_cue_repression"].tolist() == [0, 1]
    assert lab.other_cue("still") == "still"
    assert lab.clips.table["cue"].tolist() == ["pallor", "still"]


def test_kept_clips_are_recalled_and_replaced(studio):
    lab = FaceLab(studio, state=SMILE)
    with pytest.raises(ValueError, match="'A'; none is kept yet"):
        lab.recall("A")
    assert control(lab, "Back to A").disabled
    control(lab, "Keep as A").click()
    lab.show({"aus": {"AU4": "E"}})
    control(lab, "Keep as B").click()
    assert "different AUs" in text_of(lab)
    assert "confusable" not in text_of(lab)
    control(lab, "Back to A").click()
    assert lab.state["aus"] == SMILE["aus"]
    lab.keep("B")
    assert lab.clips.table["action_units"].tolist() == ["6+12", "6+12"]


def test_several_faces_can_be_chosen_from(studio, answer):
    lab = FaceLab({"drawn": studio, "portrait": photo_studio()}, answer=answer, state=SMILE)
    drawn = lab.clip
    lab.keep("A")
    control(lab, "Face").value = "portrait"
    assert lab.face == "portrait"
    assert lab.clip.table["dataset"].tolist() == ["photo"]
    assert (lab.clip.frames != drawn.frames).any()
    lab.keep("B")
    assert lab.clips.table["subject"].nunique() == 2
    assert len(lab.clips.truth.subjects) == 2
    lab.face = "drawn"
    assert control(lab, "Face").value == "drawn"
    with pytest.raises(traitlets.TraitError, match="drawn, portrait"):
        lab.face = "nobody"


def test_the_face_plays_sharp_with_magnified_motion_and_goes_on_while_sliders_move(lab):
    assert (lab.view.playing, lab.view.magnify) == (True, 8)
    assert lab.view.faces[0]["width"] == 256
    lab.view.frame, lab.view.overlay = 5, "kept"
    clip = lab.clip
    lab.view.magnify = 1
    assert lab.clip is clip
    lab.show(SMILE)
    assert (lab.view.frame, lab.view.overlay, lab.view.magnify) == (5, "kept", 1)
    np.testing.assert_array_equal(
        np.frombuffer(lab.view.faces[0]["kept"][0]["mask"], np.uint8), lab.answers.kept.masks[0, 0].ravel()
    )


def test_without_a_model_the_face_and_the_truth_are_shown(studio):
    lab = FaceLab(studio, state=SMILE)
    assert lab.answers is None
    assert "No model was given" in text_of(lab)
    assert "happiness 42%" in text_of(lab)
    assert "kept" not in [key for key, *_ in lab.view.overlays]
    lab.other_cue()
    assert "confusable pair" in text_of(lab)
    assert "predicted" not in lab.selection


def test_a_model_of_another_size_is_one_sentence_and_the_face_stays(studio):
    lab = FaceLab(studio, answer=live_predictor(MEDN(MEDNConfig(size=32, dim=32))), state=SMILE)
    assert "64x64 px but the model reads 32x32" in text_of(lab)
    assert lab.answers is None
    assert lab.view.faces
    lab.keep("A")


def test_a_model_of_other_classes_is_known_from_the_table(studio):
    lab = FaceLab(studio, answer=live_predictor(MEDN(MEDNConfig(classes=("negative", "positive")))), state=SMILE)
    assert "none of this model's classes (negative, positive)" in text_of(lab)


@pytest.mark.parametrize("options", [{"branches": "motion"}, {"branches": "emotion"}, {"aus": ()}])
def test_a_model_without_a_part_shows_the_others(studio, options):
    lab = FaceLab(studio, answer=live_predictor(MEDN(MEDNConfig(**options))), state=SMILE)
    drawn = scores(lab)
    alone = next(trace for trace in drawn.data if trace.name.startswith("frames alone"))
    assert np.isnan(np.asarray(alone.x, dtype=float)).all() == ("branches" in options)
    assert any("gate" in note.text for note in drawn.layout.annotations) == ("branches" not in options)
    assert ("no AU scores" in [note.text for note in drawn.layout.annotations]) == (options != {"branches": "motion"})
    assert ("kept" in [key for key, *_ in lab.view.overlays]) == (options != {"branches": "motion"})


@pytest.mark.parametrize("kind", list(CUES))
def test_every_kind_of_cue_has_its_own_states_and_its_truth(kind, answer):
    first, second, resting = CUES[kind]
    drawn = face_studio(identity_seed=3, cue=kind)
    lab = FaceLab(drawn, answer=answer, state={"aus": {"AU4": "C"}, "cue": second})
    assert control(lab, "cue").options == CUES[kind]
    assert lab.clip.table["label"].tolist() == ["repression"]
    control(lab, "cue").value = first
    assert (lab.clip.frames == drawn(lab.state).frames).all()
    table = score_table(lab.answers, lab.clip, lab.clip.table["clip_id"].item())
    assert table["given_cue"].max() == 1 > table["given_aus"].max()
    assert table["given_cue"].idxmax() == lab.clip.table["label"].item() != "repression"
    assert lab.other_cue() == second
    assert lab.clips.table["label"].nunique() == 2
    assert (lab.clips.frames[0] != lab.clips.frames[1]).any()
    lab.rest()
    assert lab.state["cue"] == resting


@pytest.mark.parametrize(
    ("state", "facts"),
    [
        ({"au": {}}, "'au'"),
        ({"aus": {"AU99": "C"}}, "no AU99"),
        ({"aus": {"AU4": 1.0}}, "intensity of AU4.*–, A"),
        ({"sides": {"AU12": "up"}}, "side of AU12.*both, left, right"),
        ({"sides": {"AU17": "left"}}, "AU17.*midline"),
        ({"cue": "blue"}, "flush, pallor, still"),
        ({"noise": 9}, "noise.*0 and 4"),
    ],
)
def test_a_state_that_no_slider_can_show_is_one_sentence_and_moves_nothing(lab, state, facts):
    lab.show(SMILE)
    before = lab.state
    with pytest.raises(ValueError, match=facts):
        lab.show(state)
    assert lab.state == before


def test_wrong_calls_are_one_sentence(lab, studio):
    with pytest.raises(ValueError, match="A or B, not as 'C'"):
        lab.keep("C")
    lab.show({**SMILE, "cue_strength": 0.0})
    control(lab, "Same AUs, other cue").click()
    assert "no cue differs" in text_of(lab)
    lab.show(SMILE)
    with pytest.raises(ValueError, match="pallor, still; it is 'flush'"):
        lab.other_cue("flush")
    for faces, options, facts in (
        ({}, {}, "no face"),
        ({"a": studio, "b": face_studio(cue="timing")}, {}, "different AUs or cues"),
        (studio, {"magnify": 50}, "1 to 20, not by 50"),
    ):
        with pytest.raises(ValueError, match=facts):
            FaceLab(faces, **options)


def test_clips_of_two_sizes_cannot_be_kept_together(studio, answer):
    lab = FaceLab({"small": studio, "large": face_studio(size=128)}, answer=answer, state=SMILE)
    lab.keep("A")
    lab.face = "large"
    with pytest.raises(ValueError, match="64x64 px and flow and B 8 frames of 128x128"):
        lab.keep("B")
    assert lab.clips.table["clip_id"].tolist() == ["A"]


def test_joined_clips_lose_a_truth_that_does_not_agree(studio):
    colour, timing = studio(SMILE), face_studio(identity_seed=3, cue="timing")({"aus": {"AU4": "C"}})
    joined = join_clips({"a": colour, "b": timing})
    assert joined.truth is None
    assert "cue" not in joined.recipe
    assert join_clips({"a": colour, "b": replace(colour, truth=None)}).truth is None


def test_a_face_with_one_cue_has_no_other_one(studio):
    class OneCue:
        aus, one_sided, cues = studio.aus, studio.one_sided, ("still",)
        __call__ = staticmethod(studio)

    with pytest.raises(ValueError, match="one cue, 'still'"):
        FaceLab(OneCue()).other_cue()


@pytest.mark.parametrize("which", ["left", "right"])
def test_a_side_is_the_persons_own_and_its_hint_says_where_it_is_in_the_picture(studio, which):
    lab = FaceLab(studio, state={"aus": {"AU12": "E"}, "sides": {"AU12": which}, "noise": 0, "drift": 0})
    length = np.linalg.norm(lab.clip.flow[0, ..., :2], axis=-1)
    left, right = length[:, :32].sum(), length[:, 32:].sum()
    assert (right > 10 * left) if which == "left" else (left > 10 * right)
    assert "L is on the right of the picture" in side(lab, "AU12").tooltip


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


def test_while_an_event_loop_runs_the_clip_is_never_older_than_the_state(studio):
    async def move():
        lab = FaceLab(studio)
        lab.state = SMILE
        return lab.clip.table["action_units"].item()

    assert asyncio.run(move()) == "6+12"


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
        headings = " ".join(note.text for note in figure.layout.annotations)
        assert "<b>A</b> · AU 6B + AU 12C, cue flush · gate" in headings
        bare = plot_answers(answers, clips=clips, pictures=False)
        assert sum(trace.type == "image" for trace in bare.data) == 0
        assert {trace.name for trace in bare.data} == {trace.name for trace in figure.data if trace.type != "image"}

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

    def test_a_table_that_is_not_synthmes_has_no_truth_to_show(self, answer, studio):
        clip = studio(SMILE)
        bare = Clips(clip.frames, clip.flow, clip.table.drop(columns=["label", "cue"]), recipe=clip.recipe)
        table = score_table(answer(bare), bare, bare.table["clip_id"].item())
        assert table["given_aus"].isna().all()
        assert isinstance(table, pd.DataFrame)
