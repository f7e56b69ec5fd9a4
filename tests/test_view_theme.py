"""Colours that colour-blind readers distinguish, on light and on dark pages."""

import itertools

import numpy as np
import pytest

from medn_lab import view
from medn_lab.view import theme

# Machado, Oliveira, Fernandes 2009: severity 1.
COLOUR_BLIND = (
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    np.eye(3),
)
CLASSES = (("happiness", "disgust", "repression", "surprise", "others"), ("negative", "positive", "surprise"))


def linear(colour):
    share = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def oklab(rgb):
    to_lms = [[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]]
    to_lab = [[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]]
    return np.array(to_lab) @ np.cbrt(np.array(to_lms) @ np.clip(rgb, 0, 1))


@pytest.mark.parametrize("classes", CLASSES)
def test_emotions_of_one_protocol_differ_in_marker_and_in_colour_for_every_reader(classes):
    assert len({theme.emotion_style(name)[1] for name in classes}) == len(classes)
    for sight in COLOUR_BLIND:
        seen = [oklab(np.array(sight) @ linear(theme.emotion_colour(name))) for name in classes]
        assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)) > 0.07


def test_every_colour_stands_out_from_a_white_and_from_a_dark_page():
    colours = [*(colour for colour, _ in theme.EMOTIONS.values()), *theme.BRANCH_COLOURS.values(), theme.INK]
    dark_page = float(linear("#111111") @ [0.2126, 0.7152, 0.0722])
    for light in (float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in colours):
        assert 1.05 / (light + 0.05) > 2.3
        assert (light + 0.05) / (dark_page + 0.05) > 2.9
    assert view.emotion_colour("Happy") == view.emotion_colour("happiness") == view.emotion_colour(" HAPPINESS ")
