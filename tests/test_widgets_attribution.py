"""AttributionViewer: its traits, what it draws over the faces, and its sanity checks."""

import asyncio
import re
from dataclasses import replace

import numpy as np
import pytest
from page_contents import control, text_of
from sample_records import sample_clips

from medn_lab.diagnose import attributor, kept_tokens
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import Clips
from medn_lab.synthme import synthetic_clips
from medn_lab.view import plot_attribution
from medn_lab.view.images import full_colour
from medn_lab.widgets import AttributionViewer
from medn_lab.widgets.attribution import PAIR, by_kind
from medn_lab.widgets.selection import partners


@pytest.fixture(scope="module")
def clips():
    return synthetic_clips(n_subjects=2, clips_per_subject=5, seed=2)


@pytest.fixture(scope="module")
def model():
    return MEDN(MEDNConfig(dim=32), seed=1)


@pytest.fixture(scope="module")
def make(model, clips):
    quick = {"integrated_gradients": {"n_steps": 4}, "occlusion": {"patch": 32}}
    return attributor(model, clips, params=quick, n_checked=2)


@pytest.fixture
def viewer(clips, make):
    return AttributionViewer(clips, attribute=make, method="saliency")


def heat(viewer, part, face=0):
    """The map that the page draws, from -1 to 1."""
    drawn = viewer.view.faces[face]["heat"][part]
    values = np.frombuffer(drawn["data"], np.int8).reshape(-1, drawn["height"], drawn["width"]) / 127
    return values if part == "frames" else values[0]


def test_it_begins_with_the_clips_emotion_at_the_apex(clips, make):
    viewer = AttributionViewer(clips, attribute=make)
    row = clips.table.iloc[0]
    assert (viewer.clip_id, viewer.target, viewer.method) == (row["clip_id"], row["label"], "integrated_gradients")
    assert viewer.attribution.target == row["label"]
    assert "apex" in viewer.view.moments[viewer.frame]["text"]
    assert viewer.view.overlay == "attribution"


def test_the_page_draws_the_map_of_each_frame_and_of_the_flow(viewer):
    control(viewer, "smooth (px)").value = 0
    for part, own in (("frames", viewer.attribution.frames_heat[0]), ("flow", viewer.attribution.flow_heat[0])):
        np.testing.assert_allclose(heat(viewer, part), np.clip(own / full_colour(own), -1, 1), atol=0.01)
    course = viewer.view.faces[0]["heat"]["frames"]["course"]
    assert len(course) == len(viewer.view.moments)


def test_the_frame_is_one_trait_in_both_directions(viewer):
    viewer.view.frame = 6
    assert viewer.frame == 6
    viewer.frame = 0
    assert viewer.view.frame == 0
    viewer.explain(method="grad_cam")
    assert viewer.frame == 0
    with pytest.raises(Exception, match="no frame 99"):
        viewer.frame = 99


def test_controls_and_traits_are_equal_both_ways(viewer, make, clips):
    control(viewer, "Method").value = "grad_cam"
    assert viewer.method == "grad_cam"
    assert viewer.attribution is make(viewer.clip_id, target=viewer.target, method="grad_cam")
    viewer.method = "saliency"
    assert control(viewer, "Method").value == "saliency"
    viewer.target = "gate"
    assert control(viewer, "Target").value == "the gate"
    viewer.clip_id = clips.table["clip_id"][3]
    assert control(viewer, "Clip").value == viewer.clip_id
    assert viewer.attribution.table["clip_id"].tolist() == [viewer.clip_id]
    control(viewer, "Clip").value = clips.table["clip_id"][1]
    assert viewer.clip_id == clips.table["clip_id"][1]


@pytest.mark.parametrize(
    ("kind", "ends"),
    [("what a branch adds", "from motion"), ("the gate", "gate"), ("the length of a feature", "norm of motion")],
)
def test_every_kind_of_target_can_be_chosen(viewer, kind, ends):
    control(viewer, "Target").value = kind
    assert viewer.attribution.target.endswith(ends)
    assert viewer.target == viewer.attribution.target


def test_an_au_that_the_clip_shows_is_offered_first_and_does_not_depend_on_the_frames(viewer, clips):
    control(viewer, "Target").value = "an AU"
    assert clips.table.iloc[0][viewer.target] == 1
    assert viewer.attribution.frames is None
    assert list(viewer.view.parts) == ["flow"]
    assert f"share on {viewer.target}" in text_of(viewer)


def test_a_pair_shows_two_clips_with_common_colours(viewer, clips):
    control(viewer, "Target").value = PAIR
    assert viewer.partner
    labels = clips.table.set_index("clip_id")["label"]
    assert viewer.attribution.target == f"{labels[viewer.clip_id]} - {labels[viewer.partner]}"
    assert len(viewer.view.faces) == 2
    texts = [face["heat"]["flow"]["text"] for face in viewer.view.faces]
    assert texts[0] == texts[1]
    other = next(name for _, name in partners(clips.table, viewer.clip_id) if name != viewer.partner)
    viewer.partner = other
    assert viewer.attribution.table["clip_id"].tolist() == [viewer.clip_id, other]
    control(viewer, "Target").value = "an emotion"
    assert viewer.partner == ""
    assert len(viewer.attribution) == 1
    viewer.explain(partner=other)
    viewer.clip_id = other
    assert viewer.partner == ""


def test_partners_with_the_same_aus_come_first():
    table = sample_clips(n=30).table
    found = partners(table, table["clip_id"][0])
    own, named = table.iloc[0], table.set_index("clip_id")
    alike = [named.loc[name, "action_units"] == own["action_units"] for _, name in found]
    assert alike == sorted(alike, reverse=True)
    assert all(named.loc[name, "label"] != own["label"] for _, name in found)
    assert found[0][0].endswith("same AUs")


def test_checks_are_named_before_and_after_they_are_made(viewer, make):
    assert text_of(viewer).count("not measured") == 4
    assert "press Check" in text_of(viewer)
    control(viewer, "Check").click()
    figures = make(viewer.clip_id, target=viewer.target, method="saliency").sanity
    assert f"{figures['infidelity']:.2f}" in text_of(viewer)
    assert f"{figures['randomised_flow']:.2f}" in text_of(viewer)
    assert "not measured" not in text_of(viewer)
    assert control(viewer, "Check").disabled
    assert viewer.selection.iloc[-1]["infidelity"] == pytest.approx(figures["infidelity"])
    viewer.explain(method="bare_change")
    viewer.check()
    assert text_of(viewer).count("SURVIVES") == 2
    assert "does not show learning" in text_of(viewer)


def test_the_planted_share_is_shown_with_the_area(viewer):
    share, area = (viewer.attribution.sanity[f"{what}_flow"] for what in ("planted", "area"))
    assert f"{share:.0%}, area {area:.0%}, ratio {share / area:.1f}" in text_of(viewer)


def test_the_selection_lists_each_map_once_with_its_checks(viewer):
    viewer.explain(method="bare_change")
    viewer.explain(method="grad_cam")
    viewer.explain(method="bare_change")
    assert viewer.selection["method"].tolist() == ["saliency", "grad_cam", "bare_change"]
    assert {"score", "planted_flow", "seconds"} <= set(viewer.selection)


def test_slow_work_is_announced_before_it_begins(viewer):
    messages = []
    for part in viewer.children:
        part.observe(lambda change: messages.append(str(change.new)), "value")
    viewer.explain("norm of emotion", method="occlusion")
    assert "Computing occlusion of norm of emotion" in messages[0]
    viewer.check()
    assert any("Checking occlusion" in message for message in messages)


def test_a_quick_run_of_choices_makes_the_last_map_alone(clips, make):
    shown = []

    async def choose():
        viewer = AttributionViewer(clips, attribute=make, method="saliency")
        viewer.observe(lambda change: shown.append(change.new.method), "attribution")
        control(viewer, "Method").value = "grad_cam"
        control(viewer, "Method").value = "bare_change"
        await asyncio.sleep(0.3)

    asyncio.run(choose())
    assert shown == ["bare_change"]


def test_kept_tokens_are_an_overlay_with_their_cover(viewer, clips, model):
    flowing = clips.table.loc[clips.table["cue"] != "still", "clip_id"].iloc[0]
    viewer.show(flowing)
    kept = kept_tokens(model, clips, truth=clips.truth).select([flowing])
    for scale, cover in zip(viewer.view.faces[0]["kept"], kept.cover[0], strict=True):
        assert f"{cover:.0%} of the cue" in scale["text"]
    others = AttributionViewer(clips, kept=kept)
    others.show(next(one for one in clips.table["clip_id"] if one != flowing))
    assert "not among" in others.view.faces[0]["texts"]["kept"]


def test_a_line_and_less_smoothing_draw_the_same_map_again(viewer):
    found, before = viewer.attribution, heat(viewer, "flow")
    assert viewer.view.faces[0]["outline"] is None
    control(viewer, "Line around").value = "cue"
    assert viewer.view.faces[0]["outline"]["height"] == 64
    control(viewer, "smooth (px)").value = 0
    assert viewer.attribution is found
    assert np.abs(heat(viewer, "flow") - before).mean() > 0.01


def test_the_map_can_be_drawn_in_the_next_cell(viewer, clips):
    figure = plot_attribution(viewer.attribution, viewer.clip_id, clips=clips, region="cue")
    assert viewer.target in figure.layout.title.text


def test_the_map_is_written_as_one_page_with_its_checks(viewer, clips, tmp_path):
    page = viewer.to_html(tmp_path / "map.html", title="One <map>").read_text()
    assert "One &lt;map&gt;" in page
    assert "completeness" in page
    assert "http://" not in re.sub(r"http://www\.w3\.org", "", page)
    assert len(viewer.to_html(tmp_path / "bare.html", faces=False).read_text()) < len(page)
    with pytest.raises(ValueError, match="no map"):
        AttributionViewer(clips).to_html(tmp_path / "none.html")


class TestBadInput:
    def test_without_an_attributor_there_is_the_clip_and_a_sentence(self, clips):
        viewer = AttributionViewer(clips)
        assert viewer.attribution is None
        assert "No attributor" in text_of(viewer)
        assert control(viewer, "Target").disabled
        with pytest.raises(ValueError, match="no attributor"):
            viewer.explain("gate")
        with pytest.raises(ValueError, match="no map"):
            viewer.check()
        viewer.show(clips.table["clip_id"][1])
        assert clips.table["clip_id"][1] in text_of(viewer)
        assert len(viewer.view.faces) == 1

    def test_a_map_that_cannot_be_made_changes_nothing_and_says_why(self, viewer):
        viewer.explain(target="AU4")
        before = viewer.attribution
        control(viewer, "Method").value = "frame_ablation"
        assert "frames alone" in text_of(viewer)
        assert viewer.attribution is before
        assert viewer.method == control(viewer, "Method").value == "saliency"

    def test_clips_without_frames_have_a_flow_map_on_a_plain_ground(self, clips, model):
        bare = replace(clips, frames=None, truth=None)
        viewer = AttributionViewer(bare, attribute=attributor(model, bare), target="AU4", method="saliency")
        assert viewer.view.faces[0]["frames"] is None
        assert "flow" in viewer.view.faces[0]["heat"]
        assert "share on" not in text_of(viewer)

    def test_clips_without_labels_or_with_one_class_have_no_pair_and_say_so(self, clips, model):
        plain = Clips(clips.frames, clips.flow, clips.table[["clip_id", "subject", "onset", "apex", "offset"]])
        few = clips.where(label=clips.table["label"][0])
        for own, why in ((plain, "is not known"), (few, "needs two emotions")):
            viewer = AttributionViewer(own, attribute=attributor(model, own), method="saliency")
            control(viewer, "Target").value = PAIR
            assert why in text_of(viewer)
            assert control(viewer, "Target").value == "an emotion"
            assert viewer.attribution is not None

    def test_a_model_of_other_classes_is_asked_for_its_classes(self, clips):
        other = MEDN(MEDNConfig(dim=32, classes=("negative", "positive")))
        viewer = AttributionViewer(clips, attribute=attributor(other, clips), method="saliency")
        assert viewer.target == "negative"
        control(viewer, "Target").value = PAIR  # the labels are none of its classes
        assert "is no target of this model" in text_of(viewer)

    def test_a_model_of_another_size_is_one_sentence(self, clips):
        with pytest.raises(ValueError, match="64x64 px but the model reads 32x32"):
            AttributionViewer(clips, attribute=attributor(MEDN(MEDNConfig(size=32, dim=32)), clips))

    def test_ten_thousand_clips_open_at_once(self, clips):
        table = clips.table.loc[np.zeros(10_000, dtype=int)].assign(clip_id=[f"c{i}" for i in range(10_000)])
        viewer = AttributionViewer(Clips(np.zeros((10_000, 2, 4, 4, 3), np.uint8), None, table))
        assert len(control(viewer, "Clip").options) == 2000
        viewer.show("c9999")
        assert viewer.clip_id == "c9999"

    def test_wrong_calls_are_one_sentence(self, viewer, clips):
        for call, why in (
            (lambda: viewer.show("nobody"), "not in this viewer"),
            (lambda: viewer.explain(partner="nobody"), "not in this viewer"),
            (lambda: viewer.explain("joy"), "'joy' is no target"),
            (lambda: viewer.explain("gate", method="magic"), "no method 'magic'"),
            (lambda: AttributionViewer(clips, blur=9), "0 to 3 pixels, not by 9"),
        ):
            with pytest.raises(ValueError, match=why):
                call()
        control(viewer, "Clip").value = "nobody"
        assert "not in this viewer" in text_of(viewer)
        empty = replace(
            clips, frames=clips.frames[:0], flow=clips.flow[:0], table=clips.table[:0], truth=None, viewing=None
        )
        with pytest.raises(ValueError, match="there are no clips"):
            AttributionViewer(empty)


def test_targets_are_sorted_by_kind_with_the_differences_of_emotions():
    found = by_kind(["fear", "joy", "AU4", "fear from motion", "gate", "norm of fused"])
    assert found == {
        "an emotion": ["fear", "joy"], "an AU": ["AU4"], "what a branch adds": ["fear from motion"],
        "the gate": ["gate"], "the length of a feature": ["norm of fused"],
        "two emotions": ["fear - joy", "joy - fear"],
    }  # fmt: skip
