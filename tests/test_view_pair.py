"""One confusable pair as a picture and in words: each figure is that of its clips, and what is missing is named."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from pair_tables import swaps_of
from sample_records import sample_clips, sample_features, sample_predictions

from medn_lab import view
from medn_lab.diagnose import rank_pairs
from medn_lab.records import Attribution
from medn_lab.view.pair_tiles import difference_tiles, flow_tiles
from medn_lab.view.pair_words import branch_verdicts, owed, swap_lines


@pytest.fixture(scope="module")
def clips():
    return sample_clips(n=40, size=32)


@pytest.fixture(scope="module")
def predictions(clips):
    return sample_predictions(clips)


@pytest.fixture(scope="module")
def pairs(clips, predictions):
    return rank_pairs(clips.table, features=sample_features(clips), predictions=predictions)


@pytest.fixture(scope="module")
def names(pairs):
    return pairs.loc[pairs["action_units"] == "12", ["clip_a", "clip_b"]].iloc[0].tolist()


def attribution_of(clips, names):
    both = clips.select(names)
    frames = np.zeros(both.frames.shape, np.float32)
    frames[0, 0] = 9  # the onset's own values do not count
    frames[0, 3, :, :13], frames[1, 3, :, 19:] = 1, -0.5
    return Attribution(frames, None, both.table, "happiness - others", "emotion", "integrated_gradients")


def texts(figure):
    subtitle = figure.layout.title.subtitle.text or ""
    return " ".join([figure.layout.title.text, subtitle, *(str(note.text) for note in figure.layout.annotations)])


class TestWords:
    @pytest.mark.parametrize(
        ("beyond", "n", "word"),
        [
            (1.0, 45, "tells them apart"),
            (0.95, 20, "tells them apart"),
            (0.94, 45, "does not tell them apart"),
            (1.0, 19, "too few controls to say (19)"),
            (np.nan, 0, "no control: no pair of its AU set has one emotion"),
        ],
    )
    def test_a_branch_is_held_against_its_controls(self, beyond, n, word):
        pair = {"emotion_separation": 0.8, "emotion_beyond": beyond, "n_controls": n}
        (verdict,) = branch_verdicts(pd.Series(pair))
        assert (verdict.branch, verdict.word, verdict.n_controls) == ("emotion", word, n)
        assert verdict.lines[-1] == "of all pairs of clips, 80% lie nearer together"

    def test_similarity_and_separation_are_told_the_same_way_round(self):
        pair = pd.Series(
            {"motion_similarity": 0.998, "motion_beyond": 3 / 45, "emotion_separation": 0.3, "n_controls": 45}
        )
        motion, emotion = branch_verdicts(pair)
        assert motion.nearer == pytest.approx(0.002)
        assert motion.lines == (
            "further apart than 3 of 45 controls (same AUs, one emotion)",
            "of all pairs of clips, among the 0.2% nearest",
        )
        assert emotion.nearer == 0.3
        assert np.isnan(emotion.beyond)

    def test_what_is_owed_adds_up_and_lines_say_it(self):
        swaps = swaps_of((5.0, 2.0, -1.0, -6.0))
        motion, emotion = owed(swaps)
        assert motion == pytest.approx(0.5 * (3 + 5))
        assert emotion == pytest.approx(0.5 * (6 + 8))
        assert motion + emotion == pytest.approx(11)
        assert swap_lines(swaps)[0].startswith(
            "11.0 logits lie between the two: +4.0 by the motion, +7.0 by the frames"
        )
        shuffled = swaps.sample(frac=1, random_state=1)
        assert swap_lines(shuffled) == swap_lines(swaps)

    def test_another_table_is_refused(self):
        with pytest.raises(ValueError, match="lacks margin, predicted"):
            owed(pd.DataFrame({"frames_of": ["a"], "flow_of": ["b"]}))
        with pytest.raises(ValueError, match="one row for each mix"):
            owed(swaps_of().iloc[:3])


class TestTiles:
    def test_the_difference_is_drawn_on_the_flows_own_scale(self, clips, names):
        one = clips.select(names)
        twice = dataclasses.replace(one, flow=np.stack([one.flow[0], 2 * one.flow[0]]))
        a, difference, b = flow_tiles(twice, names, size=96)
        longest = float(np.hypot(*np.moveaxis(one.flow[0], -1, 0)).max())
        assert a.note.startswith(f"longest {longest:.2f} px")
        assert difference.note.startswith(f"longest {longest:.2f} px")
        assert b.note.startswith(f"longest {2 * longest:.2f} px")
        assert len({tile.note.partition("arrows")[2] for tile in (a, difference, b)}) == 1
        same = dataclasses.replace(one, flow=np.stack([one.flow[0]] * 2), frames=None)
        _, nothing, _ = flow_tiles(same, names, size=96)
        assert np.ptp(nothing.picture) == 0  # no difference: a plain ground

    def test_attribution_leaves_the_onset_out_and_shares_its_colours(self, clips, names):
        a, b = difference_tiles(attribution_of(clips, names), clips, names, part="frames", size=96)
        red, blue = (tile.picture.astype(int) for tile in (a, b))
        assert (red[..., 0] - red[..., 2])[:, :36].mean() > 80
        assert abs((red[..., 0] - red[..., 2])[:, 60:].mean()) < 2
        strength = (blue[..., 2] - blue[..., 0])[:, 60:].mean() / (red[..., 0] - red[..., 2])[:, :36].mean()
        assert 0.4 < strength < 0.9  # half the value is paler on the common scale
        assert a.note.startswith("the frames of a add up to +")
        assert b.note.startswith("the frames of b add up to -")
        again = difference_tiles(attribution_of(clips, names), clips, names, part="flow", size=96)
        assert again[0].note == a.note  # the flow was not attributed, so the frames are drawn


class TestPicture:
    def test_it_holds_faces_flows_difference_maps_scores_and_verdicts(self, clips, names, pairs, predictions):
        figure = view.plot_pair(
            clips,
            names,
            pairs=pairs,
            predictions=predictions,
            attribution=attribution_of(clips, names),
            swaps=swaps_of(),
        )
        assert [trace.type for trace in figure.data].count("image") == 7
        bars = [trace for trace in figure.data if trace.type == "bar"]
        for bar, name in zip(bars, names, strict=True):
            row = predictions.table.index[predictions.table["clip_id"] == name][0]
            assert np.asarray(bar.x) == pytest.approx(predictions.probabilities[row])
        said = texts(figure)
        for part in (*names, "motion branch", "emotion branch", "10.0 logits", "difference of flows", "red speaks for"):
            assert part in said
        assert len(figure.to_json()) < 200_000

    def test_the_order_of_the_clips_is_the_callers(self, clips, names, pairs):
        turned = view.plot_pair(clips, names[::-1], pairs=pairs)
        assert texts(turned).index(names[1]) < texts(turned).index(names[0])

    def test_what_is_missing_is_named(self, clips, names):
        bare = view.plot_pair(dataclasses.replace(clips, frames=None), names)
        assert texts(bare).count("no frames") == 2
        assert [trace.type for trace in bare.data].count("image") == 3
        still = view.plot_pair(dataclasses.replace(clips, flow=None), names)
        assert texts(still).count("no flow") == 3
        coloured = dataclasses.replace(clips, recipe={"coding": "hsv"})
        assert "coded as colours" in texts(view.plot_pair(coloured, names)).replace("<br>", " ")

    def test_it_is_no_wider_than_asked_and_square(self, clips, names, predictions):
        for width in (760, 1000):
            figure = view.plot_pair(clips, names, predictions=predictions, width=width)
            assert figure.layout.width == width
        alone = view.plot_pair(clips, names)
        assert alone.layout.width < 1000

    def test_other_clips_are_refused_in_one_sentence(self, clips, names, pairs):
        with pytest.raises(ValueError, match="a pair has two clips; 1 were named"):
            view.plot_pair(clips, names[:1])
        with pytest.raises(ValueError, match="'nobody'"):
            view.plot_pair(clips, [names[0], "nobody"])
        with pytest.raises(ValueError, match="are not among the"):
            view.plot_pair(clips, [names[0], names[0]], pairs=pairs)
