"""AttributionViewer: controls are its state, the map in view is the one made, and its figures are always beside it."""

import asyncio
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sample_records import sample_clips

from medn_lab.diagnose import attributor, kept_tokens
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import Attribution, Clips
from medn_lab.synthme import synthetic_clips
from medn_lab.view import plot_attribution
from medn_lab.view.images import draw_heat, full_colour, smooth
from medn_lab.widgets import AttributionViewer
from medn_lab.widgets.map_pictures import GAP
from medn_lab.widgets.map_stage import PIXELS
from medn_lab.widgets.sanity_card import sanity_html, verdict_line
from medn_lab.widgets.target_lists import PAIR, by_kind, partners


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
    return AttributionViewer(clips, attribute=make)


def picture(viewer):
    return np.asarray(Image.open(io.BytesIO(viewer._stage._picture.value)).convert("RGB")).astype(int)


def test_it_begins_with_the_clips_own_emotion_at_the_apex(viewer, clips):
    row = clips.table.iloc[0]
    assert (viewer.clip_id, viewer.target, viewer.method) == (row["clip_id"], row["label"], "integrated_gradients")
    assert viewer.attribution.target == row["label"]
    assert viewer._stage._slider.value == viewer.frame
    assert "apex" in viewer._stage._now.value


def test_the_frame_in_view_is_drawn_under_its_own_map(viewer, clips):
    viewer.frame = 5
    heat = smooth(viewer.attribution.frames_heat[0], 1.0)
    expected = draw_heat(clips.frames[0, 5], heat[5], largest=full_colour(heat), size=PIXELS)
    shown = picture(viewer)
    assert shown.shape == (PIXELS, 3 * PIXELS + 2 * GAP, 3)
    assert np.abs(shown[:, :PIXELS] - expected).mean() < 5
    flow = smooth(viewer.attribution.flow_heat[0], 1.0)
    of_flow = draw_heat(clips.frames[0, 0], flow, largest=full_colour(flow), size=PIXELS)
    assert np.abs(shown[:, -PIXELS:] - of_flow).mean() < 5


def test_the_time_slider_moves_the_first_picture_alone(viewer):
    before = picture(viewer)
    viewer._stage._slider.value = 6
    assert viewer.frame == 6
    change = np.abs(picture(viewer) - before)
    assert change[:, :PIXELS].mean() > 1
    assert change[:, PIXELS + GAP :].mean() < change[:, :PIXELS].mean() / 2  # the compression of the whole picture
    viewer.frame = 0
    assert viewer._stage._slider.value == 0
    assert "onset" in viewer._stage._now.value


def test_choosing_a_method_or_a_target_makes_that_map(viewer, make):
    viewer._methods.value = "grad_cam"
    assert viewer.attribution is make(viewer.clip_id, target=viewer.target, method="grad_cam")
    viewer._which.value = next(name for name in viewer._which.options if name[1] != viewer.target)[1]
    assert viewer.attribution.target == viewer.target
    assert viewer.attribution.method == "grad_cam"


@pytest.mark.parametrize(
    ("kind", "ends"),
    [("what a branch adds", "from motion"), ("the gate", "gate"), ("the length of a feature", "norm of motion")],
)
def test_every_kind_of_target_can_be_asked_for(viewer, kind, ends):
    viewer._methods.value = "saliency"
    viewer._kinds.value = kind
    assert viewer.attribution.target.endswith(ends)
    assert viewer.target == viewer.attribution.target


def test_an_au_that_the_clip_shows_is_offered_first_and_the_frames_have_no_say(viewer, clips):
    viewer._kinds.value = "an AU"
    assert clips.table.iloc[0][viewer.target] == 1
    assert viewer.attribution.frames is None
    assert "no say in this map" in viewer._stage._titles.value
    assert f"on {viewer.target}, flow" in viewer._sanity.value
    assert picture(viewer).shape[1] == 2 * PIXELS + GAP


def test_a_pair_is_drawn_in_two_rows_and_told_apart(viewer, clips):
    viewer._methods.value = "saliency"
    viewer._kinds.value = PAIR
    assert viewer.partner
    labels = clips.table.set_index("clip_id")["label"]
    assert viewer.attribution.target == f"{labels[viewer.clip_id]} - {labels[viewer.partner]}"
    assert picture(viewer).shape[0] == 2 * PIXELS + GAP
    other = viewer._which.options[-1][1]
    viewer._which.value = other
    assert viewer.attribution.table["clip_id"].tolist() == [viewer.clip_id, other]
    viewer._kinds.value = "an emotion"
    assert viewer.partner == ""
    assert len(viewer.attribution) == 1


def test_partners_with_the_same_aus_come_first():
    table = sample_clips(n=30).table
    found = partners(table, table["clip_id"][0])
    own = table.iloc[0]
    named = table.set_index("clip_id")
    alike = [named.loc[name, "action_units"] == own["action_units"] for _, name in found]
    assert alike == sorted(alike, reverse=True)
    assert all(named.loc[name, "label"] != own["label"] for _, name in found)
    assert found[0][0].endswith("same AUs")


def test_the_figures_are_always_in_view_measured_or_not(viewer, make):
    asked = {"target": viewer.target, "method": "saliency"}
    viewer._methods.value = "saliency"
    assert viewer._sanity.value.count("press Check") == 4
    assert "does not claim to add up" in viewer._sanity.value
    assert "Not checked against random weights" in viewer._verdict.value
    viewer._check.click()
    figures = make(viewer.clip_id, **asked).sanity
    assert f"<b>{figures['infidelity']:.2f}</b>" in viewer._sanity.value
    assert f"<b>{figures['randomised_flow']:.2f}</b>" in viewer._sanity.value
    assert "press Check" not in viewer._sanity.value
    assert viewer._check.disabled
    assert "Checked in" in viewer._message.value
    assert viewer.selection.iloc[-1]["infidelity"] == pytest.approx(figures["infidelity"])


def test_a_map_that_survives_random_weights_is_marked(viewer):
    viewer.explain(method="bare_change")
    viewer.check()
    assert viewer._sanity.value.count("SURVIVES") == 2
    assert "read no learning" in viewer._verdict.value
    assert "medn-warn" in viewer._verdict.value


def test_planted_mass_stands_beside_the_area_where_the_truth_is_known(viewer):
    share, area = (viewer.attribution.sanity[f"{what}_flow"] for what in ("planted", "area"))
    assert f"<b>{share:.0%}</b>" in viewer._sanity.value
    assert f"area {area:.0%}, {share / area:.1f} times" in viewer._sanity.value


def test_the_selection_lists_each_map_once_with_its_figures(viewer):
    viewer.explain(method="saliency")
    viewer.explain(method="bare_change")
    viewer.explain(method="saliency")
    assert viewer.selection["method"].tolist() == ["integrated_gradients", "bare_change", "saliency"]
    assert {"score", "completeness_error", "planted_flow", "seconds"} <= set(viewer.selection)


def test_a_map_comes_again_from_memory(viewer):
    viewer.explain(method="occlusion")
    viewer.explain(method="saliency")
    viewer.explain(method="occlusion")
    assert "Made before" in viewer._message.value


def test_slow_work_is_announced_before_it_begins(clips, make):
    viewer = AttributionViewer(clips, attribute=make, method="saliency")
    said = []
    viewer._message.observe(lambda change: said.append(change.new), "value")
    viewer.explain("norm of fused", method="occlusion")
    assert "Computing occlusion of norm of fused ..." in said[0]
    assert "Computed in" in said[-1]
    viewer.check()
    assert any("Checking occlusion" in text for text in said)


def test_a_quick_run_of_choices_asks_once_for_the_last(clips, make):
    asked = []

    async def choose():
        viewer = AttributionViewer(clips, attribute=make, method="saliency")
        viewer.observe(lambda change: asked.append(change.new.method), "attribution")
        viewer._methods.value = "grad_cam"
        viewer._methods.value = "bare_change"
        await asyncio.sleep(0.2)

    asyncio.run(choose())
    assert asked == ["bare_change"]


def test_the_kept_places_stand_below_with_their_cover(viewer, clips, model):
    flowing = clips.table.loc[clips.table["cue"] != "still", "clip_id"].iloc[0]
    viewer.show(flowing)
    kept = kept_tokens(model, clips, truth=clips.truth).select([flowing])
    for rate, cover in zip(kept.keep_rates, kept.cover[0], strict=True):
        assert f"keep {rate:g}" in viewer._kept._text.value
        assert f"{cover:.0%} of the cue" in viewer._kept._text.value
    assert viewer._kept._picture.layout.display == ""


def test_a_line_and_less_smoothing_redraw_the_same_map(viewer):
    found, before = viewer.attribution, picture(viewer)
    viewer._regions.value = "cue"
    lined = picture(viewer)
    viewer._blurs.value = 0
    assert viewer.attribution is found
    assert np.abs(lined - before).mean() > 0.5
    assert np.abs(picture(viewer) - lined).mean() > 0.1


def test_the_map_goes_on_to_the_next_cell(viewer, clips):
    figure = plot_attribution(viewer.attribution, viewer.clip_id, clips=clips, region="cue")
    assert viewer.target in figure.layout.title.text


class TestBadInput:
    def test_without_an_attributor_there_is_the_clip_and_a_sentence(self, clips):
        viewer = AttributionViewer(clips)
        assert viewer.attribution is None
        assert "No attributor was handed in" in viewer._message.value
        assert viewer._kinds.disabled
        with pytest.raises(ValueError, match="no attributor was handed in"):
            viewer.explain("gate")
        with pytest.raises(ValueError, match="no map in view"):
            viewer.check()
        viewer.show(clips.table["clip_id"][1])
        assert clips.table["clip_id"][1] in viewer._message.value

    def test_kept_tokens_of_other_clips_are_named(self, clips, model):
        kept = kept_tokens(model, clips.select(clips.table["clip_id"][:1]))
        viewer = AttributionViewer(clips, kept=kept)
        assert viewer._kept._picture.layout.display == ""
        viewer.show(clips.table["clip_id"][1])
        assert "not among the kept places" in viewer._kept._text.value

    def test_a_method_that_says_nothing_of_a_target_is_said_on_the_page(self, viewer):
        viewer._kinds.value = "an AU"
        viewer._methods.value = "frame_ablation"
        assert "frames alone" in viewer._message.value
        assert viewer.attribution is None
        assert viewer._stage._picture.layout.display == "none"
        viewer._methods.value = "saliency"
        assert viewer.attribution is not None
        assert viewer._stage._picture.layout.display == ""

    def test_clips_without_frames_have_a_flow_map_on_a_plain_ground(self, clips, model):
        bare = replace(clips, frames=None, truth=None)
        viewer = AttributionViewer(bare, attribute=attributor(model, bare), target="AU4", method="saliency")
        assert picture(viewer).shape == (PIXELS, PIXELS, 3)
        assert viewer._stage._slider.disabled
        assert "no frames" in viewer._stage._now.value
        assert "No kept places" in viewer._kept._text.value
        assert "not known" in viewer._sanity.value

    def test_clips_without_labels_or_aus_have_no_pair_and_say_so(self, clips, model):
        plain = Clips(clips.frames, clips.flow, clips.table[["clip_id", "subject", "onset", "apex", "offset"]])
        viewer = AttributionViewer(plain, attribute=attributor(model, plain), method="saliency")
        assert viewer.target == viewer._attribute.targets[0]
        viewer._kinds.value = PAIR
        assert "is not known" in viewer._message.value
        assert viewer._kinds.value == "an emotion"
        assert viewer.attribution is not None

    def test_one_class_alone_has_no_pair(self, clips, model):
        few = clips.where(label=clips.table["label"][0])
        viewer = AttributionViewer(few, attribute=attributor(model, few), method="saliency")
        viewer._kinds.value = PAIR
        assert "has two emotions" in viewer._message.value

    def test_a_model_of_other_classes_is_asked_for_its_own(self, clips):
        other = MEDN(MEDNConfig(dim=32, classes=("negative", "positive")))
        viewer = AttributionViewer(clips, attribute=attributor(other, clips), method="saliency")
        assert viewer.target == "negative"
        viewer._kinds.value = PAIR  # the labels are none of its classes
        assert "is no target of this model" in viewer._message.value

    def test_a_model_of_another_size_is_one_sentence(self, clips):
        with pytest.raises(ValueError, match="64x64 px but the model reads 32x32"):
            AttributionViewer(clips, attribute=attributor(MEDN(MEDNConfig(size=32, dim=32)), clips))

    def test_ten_thousand_clips_open_at_once(self, clips, make):
        table = clips.table.loc[np.zeros(10_000, dtype=int)].assign(clip_id=[f"c{i}" for i in range(10_000)])
        many = Clips(np.zeros((10_000, 2, 4, 4, 3), np.uint8), None, table)
        viewer = AttributionViewer(many)
        assert len(viewer._names.options) == 2000
        viewer.show("c9999")
        assert viewer.clip_id == "c9999"

    def test_wrong_calls_are_one_sentence(self, viewer, clips):
        with pytest.raises(ValueError, match="not in this viewer"):
            viewer.show("nobody")
        with pytest.raises(ValueError, match="not in this viewer"):
            viewer.explain(partner="nobody")
        with pytest.raises(ValueError, match="'joy' is no target"):
            viewer.explain("joy")
        with pytest.raises(ValueError, match="no method 'magic'"):
            viewer.explain("gate", method="magic")
        viewer._names.value = "nobody"
        assert "not in this viewer" in viewer._message.value
        with pytest.raises(ValueError, match="there are no clips to look at"):
            AttributionViewer(
                replace(clips, frames=clips.frames[:0], flow=clips.flow[:0], table=clips.table[:0], truth=None)
            )
        with pytest.raises(ValueError, match="0 to 3 pixels, not by 9"):
            AttributionViewer(clips, blur=9)


def test_targets_are_sorted_by_kind_with_the_differences_of_emotions():
    found = by_kind(["fear", "joy", "AU4", "fear from motion", "gate", "norm of fused"])
    assert found == {
        "an emotion": ["fear", "joy"], "an AU": ["AU4"], "what a branch adds": ["fear from motion"],
        "the gate": ["gate"], "the length of a feature": ["norm of fused"],
        "two emotions": ["fear - joy", "joy - fear"],
    }  # fmt: skip


def test_the_card_reads_any_attribution(clips):
    bare = Attribution(None, np.zeros((1, 8, 8, 2), np.float32), clips.table[:1], "AU4", "motion", "saliency")
    card = sanity_html(bare)
    assert "random, flow" in card
    assert "random, frames" not in card
    assert "Not checked" in verdict_line(bare)
    learned = bare.with_sanity({"randomised_flow": 0.1, "randomised_threshold": 0.5})
    assert "Random weights draw another map" in verdict_line(learned)
    assert "(1 clip)" in sanity_html(learned)
