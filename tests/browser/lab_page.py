"""What a person does in JupyterLab, as methods: open a notebook, run it, look at it, point at a plot."""

import html
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
from lab_server import LabServer
from playwright.sync_api import Locator, Page, TimeoutError

READY = """path => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  if (panel?.context?.path !== path || !panel.context.isReady) return false;
  const session = panel.sessionContext;
  const kernel = session?.session?.kernel;
  return session?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""
"""Lab's indicator says idle before a kernel is connected, so the session itself is asked."""

CELLS = """() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells.map(cell => ({
  type: cell.cell_type,
  source: Array.isArray(cell.source) ? cell.source.join('') : cell.source,
  count: cell.execution_count ?? null,
  errors: (cell.outputs ?? []).filter(o => o.output_type === 'error').map(o => `${o.ename}: ${o.evalue}`),
}))"""
"""From the model: Lab draws only the cells in view."""

IMAGE = "node => node.toDataURL()"
"""What a canvas shows."""

PATIENCE_MS = 120_000
"""How long anything that must come is waited for; a slow machine needs it, a fast one does not notice."""

SETTLE_MS = 400
"""Between moving to a point and clicking it: plotly takes up a hover first, and an earlier click is lost."""


def notebook_of(cells: Sequence[str]) -> nbformat.NotebookNode:
    """A notebook of code cells."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text.strip()) for text in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return book


@dataclass
class LabPage:
    """One browser page with JupyterLab in it.

    Attributes
    ----------
    page : Page
        Playwright's page, for whatever has no method here.
    outside : list of str
        Requests that tried to leave the machine (they were stopped).
    """

    page: Page
    server: LabServer
    pictures: Path
    outside: list[str]

    def open_notebook(self, path: str) -> None:
        """Open a notebook (a path under the server's root) alone in the window and wait for its kernel.

        On a machine under load Lab's first page may come without its extensions or its kernel: it is loaded again.
        """
        for patience in (PATIENCE_MS, 2 * PATIENCE_MS):
            try:
                self.page.goto(f"{self.server.url}/lab/tree/{path}?reset", timeout=patience)
                self.page.wait_for_function(READY, arg=path, timeout=patience)
                break
            except TimeoutError:
                if patience > PATIENCE_MS:
                    raise
        self.page.evaluate("() => { const s = window.jupyterapp.shell; s.collapseLeft(); s.collapseRight(); }")

    def open_cells(self, name: str, *cells: str) -> None:
        """Write a notebook of these code cells under the server's root and open it."""
        nbformat.write(notebook_of(cells), self.server.root / name)
        self.open_notebook(name)

    def start_all(self) -> None:
        """Clear the stored outputs, and begin to run every cell."""
        self.page.evaluate(
            """async () => {
              const commands = window.jupyterapp.commands;
              await commands.execute('notebook:clear-all-cell-outputs');
              window.allHaveRun = false;
              commands.execute('notebook:run-all-cells').finally(() => { window.allHaveRun = true; });
            }"""
        )

    def wait_until_run(self, *, seconds: float = 900) -> None:
        """Wait until each cell has been executed or one has failed."""
        self.page.wait_for_function(
            """() => window.allHaveRun
              && window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'""",
            timeout=seconds * 1000,
            polling=250,
        )

    def run_all(self, *, seconds: float = 900) -> None:
        """Run every cell, and wait until each has been executed or one has failed."""
        self.start_all()
        self.wait_until_run(seconds=seconds)

    def cells(self) -> list[dict]:
        """Type, source, execution count and errors of each cell."""
        return self.page.evaluate(CELLS)

    def errors(self) -> list[str]:
        """The errors of the cells, each with the first line of its cell."""
        return [f"{error} (in: {c['source'].splitlines()[0]})" for c in self.cells() for error in c["errors"]]

    def not_executed(self) -> list[str]:
        """The first line of each code cell that has not run."""
        code = [cell for cell in self.cells() if cell["type"] == "code" and cell["source"].strip()]
        return [cell["source"].splitlines()[0] for cell in code if cell["count"] is None]

    def scroll_to(self, cell: int) -> None:
        """Bring a cell into view, so that Lab draws it."""
        self.page.evaluate("i => window.jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start')", cell)
        self.page.wait_for_timeout(SETTLE_MS)

    def scroll_to_class(self, css_class: str) -> Locator:
        """Go down the notebook until something of this CSS class is drawn, and return it."""
        for cell, _ in enumerate(self.cells()):
            found = self.page.locator(f".{css_class}").first
            if found.count():
                break
            self.scroll_to(cell)
        found.wait_for(state="visible")
        found.scroll_into_view_if_needed()
        return found

    def screenshot(self, name: str) -> None:
        """Store what the window shows as ``screenshots/<name>.png``."""
        self.page.screenshot(path=self.pictures / f"{name}.png")

    def plot(self, within: str = ".jp-NotebookPanel") -> "PlotlyPlot":
        """The first plotly plot inside the elements that a CSS selector finds, scrolled into view."""
        graph = self.page.locator(f"{within} .js-plotly-plot").first
        graph.wait_for(state="visible")
        graph.scroll_into_view_if_needed()
        self.page.wait_for_function("gd => gd._fullLayout?._size", arg=graph.element_handle())
        return PlotlyPlot(self.page, graph)


@contextmanager
def another_picture(*images: Locator) -> Iterator[None]:
    """What is done in the block changes what each of these canvases shows."""
    before = [(image, image.evaluate(IMAGE)) for image in images]
    yield
    until = time.monotonic() + PATIENCE_MS / 1000
    for image, shown in before:
        while image.evaluate(IMAGE) == shown:
            assert time.monotonic() < until, "the picture did not change"
            image.page.wait_for_timeout(250)


class MapsOnPage:
    """The maps of an explorer on the page: where clips are drawn, and what a person does with them.

    ``number`` counts the maps from 0; places are CSS pixels of the window.
    """

    def __init__(self, page: Page, *, within: str = ".medn-branch-explorer") -> None:
        self.page = page
        self.canvases = page.locator(f"{within} canvas.medn-map")
        self.canvases.first.wait_for(state="visible")
        self.canvases.first.scroll_into_view_if_needed()
        page.wait_for_function("canvas => +canvas.dataset.clips > 0", arg=self.canvases.first.element_handle())

    def texts(self) -> list[str]:
        """What the pointer shows of each clip, as lines of text."""
        read = "canvas => Array.from({ length: +canvas.dataset.clips }, (_, k) => canvas.clip(k).text)"
        found = self.canvases.first.evaluate(read)
        return [html.unescape(re.sub("</?b>", "", text).replace("<br>", "\n")) for text in found]

    def places(self, *, number: int = 0) -> np.ndarray:
        """Where each clip is in the window, (n, 2); NaN where it is not shown."""
        found = self.canvases.nth(number).evaluate(
            """canvas => {
              const { left, top } = canvas.getBoundingClientRect();
              return Array.from({ length: +canvas.dataset.clips }, (_, k) => canvas.clip(k)).map(
                clip => (clip.shown ? [left + clip.x, top + clip.y] : null));
            }"""
        )
        return np.array([place or [np.nan, np.nan] for place in found])

    def drawn(self, *, number: int = 0) -> dict[str, int]:
        """Numbers of the clips, of the selected ones and of the rings, and the row under the pointer (-1: none)."""
        data = self.canvases.nth(number).evaluate("canvas => ({ ...canvas.dataset })")
        return {name: int(value) for name, value in data.items()}

    def wait_for(self, condition: str, *, number: int = 0) -> None:
        """Wait until an expression of the canvas's numbers holds, such as ``selected > 0``."""
        holds = f"canvas => {{ const {{ clips, selected, rings, hovered }} = canvas.dataset; return {condition}; }}"
        self.page.wait_for_function(holds, arg=self.canvases.nth(number).element_handle())

    def hover(self, row: int, *, number: int = 0) -> None:
        """Move the mouse onto a clip."""
        left, top = self.places(number=number)[row]
        self.page.mouse.move(left - 3, top - 3)
        self.page.mouse.move(left, top, steps=3)
        self.wait_for("+hovered >= 0", number=number)

    def click(self, row: int, *, number: int = 0) -> None:
        """Click a clip."""
        self.hover(row, number=number)
        self.page.mouse.down()
        self.page.mouse.up()

    def lasso(self, corners: Sequence[tuple[float, float]], *, modifier: str = "") -> None:
        """Draw a lasso through the corners and let the mouse go at the last."""
        mouse, keyboard = self.page.mouse, self.page.keyboard
        mouse.move(*corners[0])
        if modifier:
            keyboard.down(modifier)
        mouse.down()
        for corner in corners[1:]:
            mouse.move(*corner, steps=3)
        mouse.up()
        if modifier:
            keyboard.up(modifier)


@dataclass
class PlotlyPlot:
    """A drawn plotly figure: its data, and a click on them."""

    page: Page
    graph: Locator

    def points(self, trace: int = 0) -> list[dict]:
        """``x, y`` of each point of a trace, and the trace's axes."""
        return self.graph.evaluate(
            """(gd, i) => {
              const { xaxis, yaxis } = gd._fullData[i];
              return gd.calcdata[i].map(point => ({ x: point.x, y: point.y, axes: [xaxis ?? 'x', yaxis ?? 'y'] }));
            }""",
            trace,
        )

    def click(self, x: float, y: float, *, axes: Sequence[str] = ("x", "y")) -> None:
        """Move the mouse onto a data point, stay until plotly has taken it up, and click.

        ``axes`` names the subplot as a trace does: ``("x", "y")``, ``("x2", "y2")`` and so on.
        """
        left, top = self.graph.evaluate(
            """(gd, [x, y, xName, yName]) => {
              const axis = name => gd._fullLayout[name[0] + 'axis' + name.slice(1)];
              const box = gd.getBoundingClientRect(), px = axis(xName), py = axis(yName);
              return [box.left + px._offset + px.d2p(x), box.top + py._offset + py.d2p(y)];
            }""",
            [x, y, *axes],
        )
        self.page.mouse.move(left - 3, top - 3)
        self.page.mouse.move(left, top, steps=3)
        self.page.wait_for_timeout(SETTLE_MS)
        self.page.mouse.down()
        self.page.mouse.up()
        self.page.wait_for_timeout(SETTLE_MS)
