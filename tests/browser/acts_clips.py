"""What a reader does with a clip that plays, and with a pair of them."""

from lab_page import LabPage
from pictures_shown import IMAGE, expect_other_picture


def play_and_magnify_the_clip(lab: LabPage) -> None:
    """The player of ``00_start_here``."""
    player = lab.scroll_to_class("medn-clip-player")
    image = player.locator("img").first
    still = image.evaluate(IMAGE)
    slider = player.locator(".widget-slider", has_text="magnify").locator(".noUi-base")
    box = slider.bounding_box()
    lab.page.mouse.click(box["x"] + 0.95 * box["width"], box["y"] + box["height"] / 2)
    lab.page.wait_for_timeout(1000)
    play, pause = (player.locator(".jupyter-widget-play button, .widget-play button").nth(place) for place in (0, 1))
    play.click()
    moved = expect_other_picture(lab, image, than=still)
    expect_other_picture(lab, image, than=moved)
    pause.click()
    lab.screenshot("player-magnified")


BY_HAND = {"00_start_here.ipynb": (play_and_magnify_the_clip,)}
"""What is tried in a notebook once it has run."""
