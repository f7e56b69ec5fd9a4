"""AttributionViewer: its traits, what it draws over the faces, and its sanity checks."""

import numpy as np
import pytest
from cases import assert_refuses
from page_contents import control, text_of

from medn_lab.diagnose import Attributor
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import Clips
from medn_lab.synthme import synthetic_clips
from medn_lab.view.images import full_colour, smooth
from medn_lab.widgets import AttributionViewer


@pytest.fixture(scope="module")
def clips():
    return synthetic_clips(n_subjects=2, clips_per_subject=5, n_frames=4, seed=2)


@pytest.fixture(scope="module")
def make(clips):
    quick = {"integrated_gradients": {"n_steps": 4}, "occlusion": {"patch": 32}}
    return Attributor(MEDN(MEDNConfig(dim=32, n_frames=4), seed=1), clips, params=quick, n_checked=2)


@pytest.fixture
def viewer(clips, make):
    return AttributionViewer(clips, attribute=make, method="saliency")


def test_the_page_draws_the_maps_and_keeps_the_frame_and_the_overlay_that_the_user_chose(viewer, make, clips):
    first = AttributionViewer(clips, attribute=make)
    assert (first.target, first.method) == (clips.table["label"][0], "integrated_gradients")
    assert "apex" in first.view.moments[first.view.frame]["text"]
    for part, own in (("frames", viewer.attribution.frames_heat[0]), ("flow", viewer.attribution.flow_heat[0])):
        values = np.frombuffer(viewer.view.faces[0]["heat"][part]["data"], np.int8).reshape(own.shape) / 127
        own = smooth(own, 1)
        np.testing.assert_allclose(values, np.clip(own / full_colour(own), -1, 1), atol=0.01)
    assert viewer.view.overlay == "attribution"
    viewer.view.frame, viewer.view.overlay = 1, "kept"
    viewer.show(clips.table.loc[clips.table["cue"] != "still", "clip_id"].iloc[1], method="grad_cam")
    assert (viewer.view.frame, viewer.view.overlay) == (1, "kept")
    for scale, cover in zip(viewer.view.faces[0]["kept"], make.kept(viewer.clip_id).cover[0], strict=True):
        assert f"{cover:.0%} of the cue" in scale["text"]


def test_every_target_can_be_chosen_and_a_pair_has_common_colours_until_another_is_chosen(viewer, make, clips):
    for target in ("happiness from motion", "gate", "norm of motion", "happiness - disgust", "AU5"):
        control(viewer, "Target").value = target
        assert viewer.target == viewer.attribution.target == target
        assert viewer.attribution is make(viewer.clip_id, target=target, method="saliency")
    assert viewer.view.overlays[-1][0]["attributed"] == "flow"  # an AU depends on the flow alone
    assert "share on AU5" in text_of(viewer)
    labels = clips.table.set_index("clip_id")["label"]
    first, second = labels.index[labels.notna() & (labels != labels[viewer.clip_id])][:2]
    control(viewer, "Compare with").value = first
    assert viewer.attribution.target == f"{labels[viewer.clip_id]} - {labels[first]}"
    assert len({face["heat"]["flow"]["text"] for face in viewer.view.faces}) == 1
    viewer.partner = second
    assert viewer.attribution.table["clip_id"].tolist() == [viewer.clip_id, second]
    assert len(viewer.view.faces) == 2  # the target is the difference
    control(viewer, "Target").value = "gate"
    assert (viewer.partner, len(viewer.attribution), control(viewer, "Compare with").value) == ("", 1, "")
    viewer.show(clips.table["clip_id"].iloc[-1], partner=first)
    assert (viewer.partner, len(viewer.attribution)) == (first, 2)
    control(viewer, "Clip").value = second
    assert (viewer.partner, viewer.clip_id, control(viewer, "Compare with").value) == ("", second, "")


def test_checks_are_named_before_and_after_they_are_made_and_written_as_a_page(viewer, make, tmp_path):
    share, area = (viewer.attribution.sanity[f"{what}_flow"] for what in ("planted", "area"))
    assert f"{share:.0%}, area {area:.0%}, ratio {share / area:.1f}" in text_of(viewer)
    assert text_of(viewer).count("not measured") == 4
    control(viewer, "Check").click()
    figures = make(viewer.clip_id, target=viewer.target, method="saliency").sanity
    for name in ("infidelity", "randomised_flow"):
        assert f"{figures[name]:.2f}" in text_of(viewer)
        assert viewer.selection.iloc[-1][name] == pytest.approx(figures[name])
    assert "not measured" not in text_of(viewer)
    assert control(viewer, "Check").disabled
    viewer.show(method="bare_change")
    viewer.check()
    figures = viewer.attribution.sanity  # a map that uses no weight is marked
    assert figures["randomised_flow"] >= figures["randomised_threshold"]
    assert "medn-warn" in text_of(viewer)
    viewer.show(method="saliency")
    assert viewer.selection["method"].tolist() == ["bare_change", "saliency"]  # each map once
    page = viewer.to_html(tmp_path / "map.html", title="One <map>").read_text()
    assert all(fact in page for fact in ("One &lt;map&gt;", f"{viewer.attribution.sanity['infidelity']:.2f}"))


def test_slow_work_is_announced_before_it_begins(viewer):
    messages = []
    for part in viewer.children:
        part.observe(lambda change: messages.append(str(change.new)), "value")
    control(viewer, "Method").value = "occlusion"
    assert "Computing occlusion of" in messages[0]
    assert viewer.attribution.method == "occlusion"


def test_what_is_missing_is_named_and_a_map_that_cannot_be_made_changes_nothing(viewer, clips):
    before = viewer.show(target="AU4")
    control(viewer, "Method").value = "frame_ablation"
    assert "frames alone" in text_of(viewer)
    assert (viewer.attribution, viewer.method, control(viewer, "Method").value) == (before, "saliency", "saliency")
    for wrong in ({"clip_id": "nobody"}, {"target": "joy"}, {"target": "gate", "method": "magic"}):
        assert_refuses(viewer.show, **wrong, match="|".join(wrong.values()))
    assert viewer.attribution is before
    bare = Clips(None, clips.flow, clips.table[["clip_id", "subject", "onset", "apex", "offset"]], recipe=clips.recipe)
    attribute = Attributor(MEDN(MEDNConfig(dim=32, n_frames=4)), bare)
    flows = AttributionViewer(bare, attribute=attribute, target="AU4", method="saliency")
    assert (flows.view.faces[0]["frames"], flows.view.overlays[-1][0]["attributed"]) == (None, "flow")


def test_clips_with_the_same_aus_stand_together_in_the_list_to_compare_with(viewer, clips):
    (text, none), *others = control(viewer, "Compare with").options
    assert (text, none, {name for _, name in others}) == ("no other clip", "", set(clips.table["clip_id"]))
    sets = [text.split(" · ")[1] for text, _ in others]
    assert sets == sorted(sets)
