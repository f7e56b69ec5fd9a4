"""A widget whose module loads late, as on a busy page: what the kernel sends before and after must be shown."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.acts

SETUP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})
from sample_records import sample_clips
from medn_lab.widgets import ClipPlayer

clips = sample_clips(n=6)
first, other = clips.table["clip_id"][:2]
"""
SHOW = "player = ClipPlayer(clips, clip_id=first)\nplayer"
LATE = """() => { const make = URL.createObjectURL;
  URL.createObjectURL = blob => {
    const url = make(blob);
    if (blob.type !== 'text/javascript') return url;
    const module = `await new Promise(done => setTimeout(done, 4000));
      const { default: widget } = await import(${JSON.stringify(url)}); export default widget;`;
    return make(new Blob([module], { type: 'text/javascript' }));
  };
  URL.revokeObjectURL = () => {};
}"""

EXECUTE = "code => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({ code }).done"


def test_a_widget_whose_module_loads_late_shows_what_the_kernel_sent(lab):
    lab.open_cells("late.ipynb", SETUP, SHOW)
    lab.page.evaluate(LATE)
    lab.run_all()
    player = lab.page.locator(".medn-clip-player")
    expect(player.locator("canvas.medn-face-canvas")).to_have_count(1)
    lab.page.evaluate(EXECUTE, "player.view.magnify = 7.5")
    expect(player.locator(".medn-factor")).to_have_text("7.5")
