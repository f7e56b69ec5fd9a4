"""Whether another picture is shown than before."""

from lab_page import PATIENCE_MS, LabPage
from playwright.sync_api import Locator

IMAGE = """async node => {
  if (node.tagName === 'CANVAS') return node.toDataURL();
  const answer = await fetch(node.src);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  return [bytes.length, bytes.reduce((sum, byte) => (sum * 31 + byte) >>> 0, 7)].join(':');
}"""
"""What an image element (length and checksum) or a canvas shows."""


def expect_other_picture(lab: LabPage, image: Locator, than: str) -> str:
    """Wait until another picture is shown, and return its length and checksum."""
    for _ in range(PATIENCE_MS // 250):
        lab.page.wait_for_timeout(250)
        shown = image.evaluate(IMAGE)
        if shown != than:
            return shown
    raise AssertionError("the picture did not change")
