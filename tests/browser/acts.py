"""What a reader does with the widgets of a notebook once it has run."""

import csv
import re
from pathlib import Path

from lab_page import IMAGE, PATIENCE_MS, SETTLE_MS, LabPage, MapsOnPage, another_picture
from outlines import held, loneliest, through_a_gap
from playwright.sync_api import expect

FACE = "canvas.medn-face-canvas"


def play_and_magnify_the_clip(lab: LabPage) -> None:
    """The player of ``00_start_here``."""
    player = lab.scroll_to_class("medn-clip-player")
    face = player.locator(FACE)
    slider = player.locator(".medn-magnify").bounding_box()
    lab.page.mouse.click(slider["x"] + 0.95 * slider["width"], slider["y"] + slider["height"] / 2)
    expect(player.locator(".medn-factor")).not_to_have_text("1.0")
    with another_picture(face):
        player.get_by_role("button", name="Play").click()
    with another_picture(face):
        lab.page.wait_for_timeout(250)  # it goes on
    player.get_by_role("button", name="Pause").click()
    lab.page.wait_for_timeout(500)
    held = face.evaluate(IMAGE)
    lab.page.wait_for_timeout(1200)
    assert face.evaluate(IMAGE) == held
    lab.screenshot("player-magnified")


def watch_what_the_network_keeps(lab: LabPage) -> None:
    """The player of ``08_confusable_pairs``: arrows, kept tokens at two keep rates, attribution in red and blue."""
    player = lab.scroll_to_class("medn-clip-player")
    face, line = player.locator(FACE), player.locator(".medn-now")
    with another_picture(face):
        player.get_by_role("button", name="flow arrows").click()
    player.get_by_text("times as long as the motion").wait_for()
    rates = player.get_by_role("button", name="kept tokens")
    rates.first.click()
    expect(face).to_have_attribute("data-overlay", "kept")
    with another_picture(face):
        rates.nth(1).click()
    with another_picture(face):
        player.get_by_role("button", name="attribution: frames").click()
    now = line.inner_text()
    with another_picture(face):
        player.locator(".medn-frames").press("ArrowRight")
    expect(line).not_to_have_text(now)
    player.get_by_text("red raises it").wait_for()
    lab.screenshot("player-attribution")


def browse_pairs(lab: LabPage) -> None:
    """The browser of ``08_confusable_pairs``: next, a frame, a filter, the attribution, a bookmark saved as a file."""
    browser = lab.scroll_to_class("medn-pair-browser")
    titles, faces = browser.locator(".medn-title").filter(has_text="-"), browser.locator(FACE)
    expect(faces).to_have_count(2)
    browser.get_by_role("button", name="Pause").click()
    first = titles.first.inner_text()  # of four persons: the second clip is in both pairs
    with another_picture(faces.first):
        browser.get_by_role("button", name="next").click()
    expect(titles.first).not_to_have_text(first)
    with another_picture(*faces.all()):
        for _ in range(3):
            browser.locator(".medn-frames").press("ArrowRight")
    expect(browser.locator(".medn-now")).to_contain_text(" ms")

    count = browser.get_by_text("pairs").filter(has_text="of ").first
    whole = count.inner_text()
    browser.locator("input[type=checkbox]").first.check()
    expect(count).not_to_have_text(whole)
    browser.get_by_role("button", name="attribute the difference").click()
    browser.get_by_text("red raises").wait_for()
    expect(browser.locator(".js-plotly-plot")).to_have_count(2)  # the flows, and the attribution

    note = browser.get_by_placeholder("note on this pair")
    note.fill("one-sided")
    note.press("Enter")
    link = browser.locator("a.medn-download")
    link.wait_for()
    with lab.page.expect_download() as saved:
        link.click()
    (row,) = csv.DictReader(Path(saved.value.path()).read_text(encoding="utf-8").splitlines())
    assert [row["note"], row["clip_a"], row["clip_b"]] == ["one-sided", *titles.all_inner_texts()]
    lab.screenshot("pairs-bookmarked")


def point_at_clips_and_encircle_them(lab: LabPage) -> None:
    """The explorer of ``00_start_here``: a lasso measures its clips, a click shows a clip and its partner."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    maps, titles = MapsOnPage(lab.page), explorer.locator(".medn-title")
    places, names = maps.places(), [text.splitlines()[0] for text in maps.texts()]
    corners = through_a_gap(places, least=80, most=200)
    maps.lasso(corners)
    counts = "|".join(map(str, held(places, corners)))
    line = explorer.get_by_text(re.compile(rf"^({counts}) of {len(places)} clips")).first
    explorer.get_by_text(f"Selected: {line.inner_text().split(' of ')[0]} clips of ").wait_for()
    explorer.get_by_text("AUs from the emotion branch").wait_for()
    expect(explorer).not_to_contain_text("omputing")
    figures = explorer.locator(".medn-table tbody td").all_inner_texts()
    # Four measures: the value of all clips each, of the selection and chance unless it is too small for a measure.
    assert sum(text.replace(".", "").isdigit() for text in figures) >= 8, figures

    explorer.get_by_label("partner on click").check()
    places = maps.places()  # the table of measures may have moved the maps
    row = loneliest(places)  # every clip of this corpus has a partner
    maps.click(row)
    expect(titles.first).to_contain_text(names[row])
    expect(titles.nth(1)).not_to_contain_text(names[row])
    explorer.get_by_text("has the same AU set as").wait_for()
    maps.wait_for("+rings === 2", number=2)
    lab.screenshot("explorer-pair")


def colour_by_the_gate_and_light_a_step(lab: LabPage) -> None:
    """The explorer of ``06_feature_space``: another colouring changes the legend, a group of it the selection."""
    explorer = lab.scroll_to_class("medn-branch-explorer")
    explorer.get_by_label("Colour by").select_option(label="gate (0 all emotion, 1 all motion)")
    explorer.get_by_text("gate (0 all emotion, 1 all motion)").last.wait_for()
    explorer.locator(".medn-entry").first.click(modifiers=["Control"])
    maps = MapsOnPage(lab.page)
    maps.wait_for("+selected >= 1 && +selected < +clips", number=1)
    drawn = maps.drawn(number=1)
    selected = drawn["selected"]
    explorer.get_by_text(f"{selected} of {drawn['clips']} clips").first.wait_for()
    explorer.get_by_text(f"Selected: {selected} clips").wait_for()


def look_at_the_curves(lab: LabPage) -> None:
    """The monitor of ``03_training`` after the training."""
    monitor = lab.scroll_to_class("medn-training-monitor")
    plot = lab.plot(".medn-training-monitor")
    names = plot.graph.evaluate("gd => gd._fullData.map(trace => trace.name ?? '')")
    assert len(plot.points()) >= 3
    assert {"linear CKA", "AUs from the emotion branch", "emotion from the motion branch"} <= set(names)
    expect(monitor).to_contain_text("Epoch")
    expect(monitor.get_by_role("button", name="Stop after this epoch")).to_be_disabled()
    expect(monitor.get_by_role("button", name="Resume")).to_be_disabled()  # it is finished
    lab.screenshot("training-curves")


def move_a_face_and_make_a_pair(lab: LabPage) -> None:
    """FaceLab in ``02_network``: a slider moved by keys, a cue, an overlay and a pair by buttons."""
    face = lab.scroll_to_class("medn-face-lab")
    canvas = face.locator(".medn-face-canvas").first
    face.get_by_text("(viewing copy)").first.wait_for()
    brow = face.locator(".widget-slider", has_text="AU4").first
    brow.scroll_into_view_if_needed()
    lab.page.wait_for_timeout(SETTLE_MS)  # figures above may still take their height
    brow.locator(".noUi-handle").press("End")
    face.locator(".js-plotly-plot").get_by_text("AU 4E + AU 6B + AU 12C").wait_for()
    expect(canvas).to_have_attribute("data-magnify", "8")

    face.get_by_role("button", name="Neutral").click()
    face.get_by_text("No movement:").first.wait_for()
    brow.locator(".noUi-handle").press("ArrowRight")
    face.get_by_text("AU 4A, cue still").first.wait_for()
    face.get_by_role("button", name="kept tokens").first.click()
    face.get_by_role("button", name="flush").click()
    face.get_by_text("AU 4A, cue flush").first.wait_for()
    expect(canvas).to_have_attribute("data-overlay", "kept")  # what is shown of a face is shown of the next one, too
    face.get_by_role("button", name="Same AUs, other cue").click()
    expect(face).to_contain_text("A and B have the same AUs and mean")
    expect(face.locator(".medn-face-canvas")).to_have_count(3)  # the current clip, A and B
    face.get_by_role("button", name="Back to A").click()
    expect(face.get_by_role("button", name="flush")).to_have_class(re.compile("mod-active"))  # A's cue, not B's
    face.get_by_text("Now: AU 4A, cue flush").first.wait_for()
    strongest = face.get_by_text("AU 4E, cue flush").first
    for _ in range(20):
        if not strongest.is_visible():  # a key that comes while the face is sent can be lost
            brow.locator(".noUi-handle").press("End")
            lab.page.wait_for_timeout(2000)
    strongest.wait_for()
    face.get_by_role("button", name="Counterfactual shift").click()
    face.get_by_text("shift (sd)").wait_for()


def ask_a_clip_for_other_maps(lab: LabPage) -> None:
    """The viewer of ``07_attribution``: another frame, another method, the check, an AU, a pair."""
    viewer = lab.scroll_to_class("medn-attribution-viewer")
    picture = viewer.locator("canvas").first
    viewer.get_by_text("not measured").first.wait_for()
    with another_picture(picture):
        viewer.get_by_role("button", name="onset").first.click()  # the first bar of the attribution per frame
    with another_picture(picture):
        viewer.get_by_label("Method").select_option(label="saliency")
    viewer.get_by_text("not a property of this method").wait_for()
    viewer.get_by_role("button", name="Check").click()
    viewer.get_by_text("This map is checked").wait_for(timeout=4 * PATIENCE_MS)
    expect(viewer).not_to_contain_text("not measured")

    viewer.get_by_label("Target").select_option(label="AU12")
    expect(viewer.locator(".medn-bar")).to_have_count(0)  # an AU does not depend on the frames
    other = viewer.get_by_label("Compare with")
    for text in other.locator("option").all_inner_texts()[1:]:
        other.select_option(label=text)
        lab.page.wait_for_timeout(SETTLE_MS)
        if viewer.locator("canvas").count() == 2:  # of another emotion
            break
    viewer.get_by_text("score of b").wait_for()
    expect(viewer.locator("canvas")).to_have_count(2)
    lab.page.wait_for_timeout(SETTLE_MS)
    lab.screenshot("attribution-pair")


def look_through_a_cell_of_the_confusion_matrix(lab: LabPage) -> None:
    """The panel of ``04_evaluation``: a click on a cell lists its clips, which play; lists and tables obey."""
    panel = lab.scroll_to_class("medn-evaluation-panel")
    plot = lab.plot(".medn-evaluation-panel")
    lab.page.wait_for_function("gd => gd._fullData.some(trace => trace.text)", arg=plot.graph.element_handle())
    read = "gd => gd._fullData.filter(t => t.type === 'heatmap' && t.text).flatMap(t => t.text.flat())"
    texts = plot.graph.evaluate(read)
    counts = [int(found[1]) for found in map(re.compile(r"<b>(\d+)</b>").match, texts) if found]
    n = len(panel.get_by_label("predicted").locator("option").all()) - 1
    fullest = max(range(len(counts)), key=counts.__getitem__)
    plot.click(fullest % n, fullest // n)
    panel.get_by_text(f"{counts[fullest]} clips", exact=True).first.wait_for()
    listed, title = panel.locator(".medn-listed option"), panel.locator(".medn-title")
    expect(listed).to_have_count(counts[fullest])
    image = panel.locator("canvas.medn-face-canvas")
    image.wait_for()
    expect(title).to_have_text(listed.first.inner_text().split()[0])
    lab.screenshot("evaluation-cell")
    with another_picture(image):
        panel.get_by_role("button", name="next").click()
    title.filter(has_text=listed.nth(1).inner_text().split()[0]).wait_for()
    for table, heading in (("folds", "held out"), ("subjects", "missed most often"), ("AUs", "AUC")):
        panel.get_by_role("button", name=table, exact=True).click()
        panel.locator("th").get_by_text(heading, exact=True).wait_for()
    panel.get_by_label("predicted").select_option("all")  # what a click on a cell does, by the keyboard
    expect(listed).to_have_count(sum(counts[fullest // n * n : fullest // n * n + n]))


def compare_checkpoints(lab: LabPage) -> None:
    """The panel of ``05_decoupling``: a row is explained, each kind has its figure."""
    panel = lab.scroll_to_class("medn-decoupling-panel")
    rows, words = panel.get_by_label("Row"), panel.locator(".medn-line")
    panel.get_by_label("orthogonal").wait_for()
    plot = lab.plot(".medn-decoupling-panel")
    lab.page.wait_for_function("gd => gd._fullData.length > 0", arg=plot.graph.element_handle())
    first = plot.graph.evaluate("gd => gd._fullData.findIndex(trace => trace.ids)")
    value = plot.points(first)[0]
    plot.click(value["x"], value["y"], axes=value["axes"])
    words.filter(has_text="linear CKA of motion and emotion branch").wait_for()

    panel.get_by_role("button", name="leakage", exact=True).click()
    leak = rows.locator("option").filter(has_text="AUs (mean) from the emotion branch of none")
    expect(leak).to_have_count(1)
    rows.select_option(label=leak.inner_text())
    panel.get_by_text("The interval of the excess lies above 0: a leak.").wait_for()
    lab.screenshot("decoupling-leakage")
    for kind, title in (
        ("conditional", "Conditional leakage"), ("readers", "Usable information by reader"),
        ("information", "nats per clip"),
    ):  # fmt: skip
        panel.get_by_role("button", name=kind, exact=True).click()
        panel.locator("svg").get_by_text(title).wait_for()
    rows.select_option(index=1)
    words.filter(has_text="Information in the emotion code of bottleneck").wait_for()


BY_HAND = {
    "00_start_here.ipynb": (play_and_magnify_the_clip, point_at_clips_and_encircle_them),
    "02_network.ipynb": (move_a_face_and_make_a_pair,),
    "03_training.ipynb": (look_at_the_curves,),
    "04_evaluation.ipynb": (look_through_a_cell_of_the_confusion_matrix,),
    "05_decoupling.ipynb": (compare_checkpoints,),
    "06_feature_space.ipynb": (colour_by_the_gate_and_light_a_step,),
    "07_attribution.ipynb": (ask_a_clip_for_other_maps,),
    "08_confusable_pairs.ipynb": (browse_pairs, watch_what_the_network_keeps),
}
"""What is tried in each notebook."""
