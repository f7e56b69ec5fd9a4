"""Figures as HTML in addition to plotly's JSON, so that a notebook exported as a page shows them without a network.

Jupyter draws a figure from plotly's JSON; ``jupyter nbconvert --to html`` drops that JSON and keeps HTML. Each figure
carries its data there compressed, and plotly.js stands once in a notebook, in the output of its first figure.
"""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from typing import Any

import plotly.io as pio
from plotly.io.base_renderers import MimetypeRenderer
from plotly.offline import get_plotlyjs

NAME = "medn_lab_html"
# The renderers that show plotly's JSON and nothing else.
_JUPYTER = ("plotly_mimetype", "vscode", "jupyterlab", "nteract")

MISSING = (
    "This figure needs plotly.js. It is stored in the output of the notebook's first figure, and that output is not on"
    " this page. Restart the kernel, run all cells, keep the first figure, and export the notebook again."
)
_DRAW = """
(() => {
  const unpack = text => new Response(new Blob([Uint8Array.from(atob(text), sign => sign.charCodeAt(0))]).stream()
    .pipeThrough(new DecompressionStream("gzip"))).text();
  const library = async () => {
    const packed = document.querySelector("script[data-medn-plotly]");
    if (!packed) throw MISSING;
    const node = document.createElement("script");
    node.text = "((define, module, exports) => {" + await unpack(packed.text) + "\\n})();";
    document.head.append(node);
  };
  const draw = async node => {
    try {
      if (!window.Plotly) await (window.mednPlotly ??= library());
      const { data, layout, config } = JSON.parse(await unpack(node.dataset.mednFigure));
      node.textContent = "";
      await window.Plotly.newPlot(node, data, layout, config);
    } catch (reason) { node.textContent = String(reason); }
  };
  const drawAll = () => document.querySelectorAll("[data-medn-figure]:not([data-medn-drawn])").forEach(node => {
    node.dataset.mednDrawn = "";
    draw(node);
  });
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", drawAll); else drawAll();
})();
"""
_PAGE = (
    '<div data-medn-figure="{figure}" style="width:{width};height:{height}">Needs JavaScript.</div>'
    "{library}<script>{draw}</script>"
)


class HtmlTwin(MimetypeRenderer):
    """Plotly's renderer of a figure as HTML that draws itself on a page without a network."""

    def __init__(self) -> None:
        self.config = {"displaylogo": False}
        self._carrier: dict[str, object] = {}  # shared by plotly's copies of a renderer

    def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, str]:
        """The figure under ``text/html``; plotly.js with a kernel's first figure, and where its cell is run again."""
        from IPython import get_ipython  # In Jupyter it is loaded; elsewhere it is not needed.

        message: dict[str, Any] = getattr(get_ipython(), "get_parent", dict)()
        run = message.get("header", {}).get("msg_id")
        cell = message.get("metadata", {}).get("cellId") or message.get("content", {}).get("code")
        layout, library = fig_dict.get("layout", {}), ""
        if not self._carrier or (self._carrier["cell"] == cell and self._carrier["run"] != run):
            self._carrier.update(cell=cell, run=run)
            library = f'<script type="text/plain" data-medn-plotly>{_packed(get_plotlyjs())}</script>'
        page = _PAGE.format(
            figure=_packed(pio.to_json({**fig_dict, "config": self.config}, validate=False)),
            width=f"{layout['width']}px" if layout.get("width") else "100%",
            height=f"{layout.get('height') or 450}px",
            library=library,
            draw=_DRAW.replace("MISSING", json.dumps(MISSING)),
        )
        return {"text/html": page}


@cache
def keep_figures_in_html() -> None:
    """Add the HTML to what Jupyter stores of a figure, where plotly's renderer for Jupyter is the one in use."""
    pio.renderers[NAME] = HtmlTwin()
    if pio.renderers.default in _JUPYTER:
        pio.renderers.default += f"+{NAME}"


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
