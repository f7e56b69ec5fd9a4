"""What a reader does with the panels of scores and of decoupling."""

import re

from lab_page import LabPage, another_picture
from playwright.sync_api import expect


def look_through_a_cell_of_the_confusion_matrix(lab: LabPage) -> None:
    """The panel of ``04_evaluation``: a click on a cell lists its clips, which play; lists and tables obey."""
    panel = lab.scroll_to_class("medn-evaluation-panel")
    plot = lab.plot(".medn-evaluation-panel")
    lab.page.wait_for_function("gd => gd._fullData.some(trace => trace.text)", arg=plot.graph.element_handle())
    texts = plot.graph.evaluate(
        "gd => gd._fullData.filter(t => t.type === 'heatmap' && t.text).flatMap(t => t.text.flat())"
    )
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
    "04_evaluation.ipynb": (look_through_a_cell_of_the_confusion_matrix,),
    "05_decoupling.ipynb": (compare_checkpoints,),
}
"""What is tried in a notebook once it has run."""
