"""Colours that colour-blind readers distinguish, on light and on dark pages; texts of clips."""

import itertools

import numpy as np
import pandas as pd
import pytest

from medn_lab import view
from medn_lab.view import theme
from medn_lab.view.rows import au_set_names, au_set_texts, hover_texts

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
    assert len({theme.emotion_symbol(name) for name in classes}) == len(classes)
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


def test_an_au_set_is_read_from_the_text_and_from_the_columns_where_there_is_none_and_texts_are_escaped():
    columns = {
        "clip_id": list("abcdefg"), "AU4": [1, 0, np.nan, np.nan, 1, 1, np.nan],
        "AU12": [1, 0, np.nan, np.nan, 1, np.nan, np.nan], "action_units": ["4+12", "", "L14", "", "", "", "12 or 14"],
    }  # fmt: skip
    table, names = pd.DataFrame(columns), ["AU4+AU12", "no AU", "AU14", "AUs unknown", "AU4+AU12", "AUs unknown"]
    assert au_set_names(table).tolist() == [*names, "AUs in doubt"]
    assert au_set_texts(table).tolist() == [*names, "AUs in doubt: 12 or 14"]
    (text,) = hover_texts(pd.DataFrame({"clip_id": ["<b>x</b>"], "label": ["a & b"], "predicted": ["c"]}))
    assert text == "<b>&lt;b&gt;x&lt;/b&gt;</b><br>AUs unknown<br>a &amp; b<br>predicted c"
