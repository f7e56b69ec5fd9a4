"""The canvas of the explorer's maps: what the page is told, and that it knows every marker that the theme has."""

import re
from importlib.resources import files

import numpy as np
import pytest

from medn_lab.view import theme
from medn_lab.view.colouring import Colouring
from medn_lab.widgets.dots import CanvasMarks

XY = np.arange(16).reshape(2, 4, 2) / 3


@pytest.fixture
def marks():
    return CanvasMarks(XY, axes=[("xaxis", "yaxis"), ("xaxis2", "yaxis2")], size=6, opacity=0.8, dimmed=0.2)


def test_every_place_is_told_once_as_single_numbers(marks):
    assert len(marks.widget.xy) == 4 * XY.size
    assert np.allclose(np.frombuffer(marks.widget.xy, np.float32).reshape(XY.shape), XY)


def test_all_points_are_there_until_some_are_kept_alone(marks):
    assert list(marks.widget.kept) == [1, 1, 1, 1]
    marks.keep(np.array([True, False, False, True]))
    assert list(marks.widget.kept) == [1, 0, 0, 1]


def test_a_selection_is_told_by_its_rows_alone(marks):
    marks.light(np.array([3, 1]))
    assert np.frombuffer(marks.widget.lit, np.int32).tolist() == [3, 1]
    marks.light(np.array([], dtype=int))
    assert marks.widget.lit == b""


def test_dimmed_is_a_share_of_what_the_points_have(marks):
    assert marks.widget.opacity * marks.widget.dimmed == pytest.approx(0.2)


def test_colours_are_told_a_category_and_not_a_clip(marks):
    values = np.array(["b", "a", "b", "a"], dtype=object)
    marks.paint(Colouring("k", "k", values, {"a": ("#111111", "square"), "b": ("#222222", "circle")}))
    assert [marks.widget.styles[place] for place in marks.widget.style_of] == [
        ["#222222", "circle"], ["#111111", "square"], ["#222222", "circle"], ["#111111", "square"],
    ]  # fmt: skip


def test_the_page_can_draw_every_marker_of_the_theme():
    page = files("medn_lab.widgets").joinpath("dots.js").read_text(encoding="utf-8")
    cornered = set(re.findall(r'^  "([a-z-]+)": ', page, flags=re.MULTILINE))
    used = {*theme.SYMBOL_GLYPHS, *theme.EMOTION_SYMBOLS.values(), *theme.CATEGORY_SYMBOLS}
    assert used - cornered == {"circle", "circle-open", "x-thin-open"}  # round, or lines without an inside
