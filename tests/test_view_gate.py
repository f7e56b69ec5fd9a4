"""The gate's picture: a point a clip at its mean gate, groups in order, and a sentence where there is none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from medn_lab.records import BranchFeatures
from medn_lab.view import emotion_colour, plot_gate


def features():
    table = pd.DataFrame(
        {
            "clip_id": ["a", "b", "c"],
            "subject": ["1", "1", "2"],
            "label": ["happiness", "disgust", "happiness"],
            "emotion": ["happiness", "disgust", "happiness"],
        }
    )
    gate = np.array([[0.2, 0.4], [0.9, 0.7], [0.5, 0.7]], dtype=np.float32)
    return BranchFeatures(motion=gate, emotion=gate, fused=gate, gate=gate, table=table)


def test_a_point_is_a_clip_at_its_mean_gate_and_the_groups_are_in_order():
    figure = plot_gate(features())
    assert [trace.name for trace in figure.data] == ["disgust", "happiness"]
    np.testing.assert_allclose(figure.data[1].x, [0.3, 0.6], rtol=1e-6)
    assert list(figure.data[1].customdata) == ["a", "c"]
    np.testing.assert_allclose([shape.x0 for shape in figure.layout.shapes], [0.8, 0.45], rtol=1e-6)
    assert figure.data[0].marker.color == emotion_colour("disgust")


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match="only a network with both branches and CoFM"):
        plot_gate(replace(features(), gate=None))
    with pytest.raises(ValueError, match="no column 'age'"):
        plot_gate(features(), by="age")


def test_a_group_of_markup_is_shown_as_text():
    own = features()
    own = replace(own, table=own.table.assign(label="<img src=x>"))
    assert "<img" not in plot_gate(own).to_json()
