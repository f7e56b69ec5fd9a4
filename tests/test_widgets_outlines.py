"""What a lasso or a box encloses: closed forms, and the spellings that plotly writes."""

import numpy as np
import pytest

from medn_lab.widgets.outlines import newest, read_outlines

SQUARE = "M0,0L4,0L4,4L0,4Z"


def path(text, axis=""):
    return {"xref": f"x{axis}", "yref": f"y{axis}", "type": "path", "path": text}


def inside(selection, *points):
    (outline,) = read_outlines([selection])
    return outline.contains(np.array(points, dtype=np.float32)).tolist()


def test_a_square_holds_its_middle_and_nothing_beside_above_or_below_it():
    assert inside(path(SQUARE), (2, 2), (5, 2), (-1, 2), (2, 5), (2, -1)) == [True, False, False, False, False]


def test_the_notch_of_a_concave_outline_is_outside():
    u_shape = path("M0,0L6,0L6,6L4,6L4,2L2,2L2,6L0,6Z")
    assert inside(u_shape, (3, 4), (1, 4), (5, 4), (3, 1)) == [False, True, True, True]


@pytest.mark.parametrize("turned", [False, True])
def test_the_sense_of_turning_does_not_matter(turned):
    corners = ["0,0", "4,0", "4,4", "0,4"]
    text = "M" + "L".join(corners[::-1] if turned else corners) + "Z"
    assert inside(path(text), (1, 3), (4.5, 3)) == [True, False]


def test_a_ray_through_a_corner_is_counted_once():
    diamond = path("M0,2L2,0L4,2L2,4Z")
    assert inside(diamond, (2, 2), (-1, 2), (5, 2), (-1, 4), (-1, 0)) == [True, False, False, False, False]


def test_what_a_lasso_goes_round_twice_is_outside():
    twice = path("M0,0L6,0L6,6L0,6L0,0L2,2L4,2L4,4L2,4L2,2L0,0Z")
    assert inside(twice, (3, 3), (1, 3)) == [False, True]


def test_each_ring_of_a_path_counts():
    assert inside(path(SQUARE + "M10,10L12,10L12,12L10,12Z"), (2, 2), (11, 11), (7, 7)) == [True, True, False]


@pytest.mark.parametrize(("x0", "x1"), [(1, 3), (3, 1)])
def test_a_box_may_be_drawn_from_either_side(x0, x1):
    box = {"xref": "x", "yref": "y", "type": "rect", "x0": x0, "x1": x1, "y0": 5, "y1": 0}
    assert inside(box, (2, 2), (0, 2), (2, 6)) == [True, False, False]


def test_a_hundred_points_agree_with_the_closed_form_of_a_circle():
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    circle = "M" + "L".join(f"{np.cos(a):.9f},{np.sin(a):.9f}" for a in angles) + "Z"
    points = np.random.default_rng(0).uniform(-1.4, 1.4, (100, 2))
    expected = np.hypot(*points.T) < 1
    assert 20 < expected.sum() < 80
    assert inside(path(circle), *points) == expected.tolist()


def test_a_point_without_a_place_is_in_no_outline():
    assert inside(path(SQUARE), (np.nan, 2), (2, np.nan)) == [False, False]


def test_numbers_are_read_as_plotly_writes_them():
    (outline,) = read_outlines([path("M-1.5e-7,+2L.5,3.25L-4,1E2Z", axis=3)])
    assert outline.rings == (((-1.5e-7, 2.0), (0.5, 3.25), (-4.0, 100.0)),)
    assert outline.axes == ("x3", "y3")


def test_what_encloses_nothing_is_left_out():
    assert read_outlines([path("M1,1L2,2Z"), path(""), {}]) == []


def test_an_outline_is_the_same_after_it_was_written_and_read():
    outlines = read_outlines([path("M0.1,0.2L1e-9,3.3333333333333335L4,5Z" + SQUARE, axis=2)])
    assert read_outlines([one.as_selection() for one in outlines]) == outlines


def test_the_map_in_which_something_was_drawn_last_wins():
    motion, emotion = read_outlines([path(SQUARE), path(SQUARE, axis=2)])
    assert newest([motion, emotion], known=[motion]) == [emotion]
    assert newest([motion, emotion], known=[emotion]) == [motion]
    assert newest([motion, emotion], known=[]) == [emotion]
