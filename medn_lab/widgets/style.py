"""The look of the widgets: one small style sheet that follows JupyterLab's light or dark theme."""

from __future__ import annotations

import html

import ipywidgets as widgets

from medn_lab.view import theme

# Lab's own colours where the page has them, plain ones elsewhere (VS Code, Voila). The first plotly rule lets the
# letters of a figure inside a widget follow the theme; a figure on its own keeps its mid-grey, which reads on both. A
# drawn lasso would catch the pointer: the second lets the points inside of it be hovered and clicked. The arrow of a
# list is a dark picture in ipywidgets, whatever the theme.
SHEET = """
.medn { color: var(--jp-ui-font-color1, #222); font-family: var(--jp-ui-font-family, system-ui, sans-serif); }
.medn .medn-line { font-size: 12.5px; line-height: 1.45; color: var(--jp-ui-font-color1, #222); }
.medn .medn-quiet { color: var(--jp-ui-font-color2, #666); }
.medn .medn-title { font-size: 14px; font-weight: 600; line-height: 1.3; }
.medn .medn-chip { display: inline-block; padding: 0 7px; margin: 1px 3px 1px 0; border-radius: 9px; font-size: 11.5px;
  line-height: 18px; border: 1px solid var(--jp-border-color1, #bbb); white-space: nowrap; }
.medn .medn-dot { font-size: 13px; margin-right: 3px; }
.medn .widget-html-content { line-height: 1.4; }
.medn .medn-rows { display: grid; grid-template-columns: max-content 1fr max-content; column-gap: 6px; row-gap: 2px;
  align-items: center; font-size: 11.5px; line-height: 15px; }
.medn .medn-track { height: 9px; border-radius: 2px; background: var(--jp-layout-color2, #e6e6e6); position: relative; }
.medn .medn-fill { position: absolute; left: 0; top: 0; bottom: 0; border-radius: 2px; }
.medn .medn-stack { display: inline-flex; height: 11px; width: 96px; border-radius: 2px; overflow: hidden;
  vertical-align: middle; }
.medn .medn-group { display: inline-flex; align-items: center; gap: 5px; margin-right: 14px; font-size: 11.5px; }
.medn .medn-card { padding: 2px 4px; }
.medn .medn-note { font-size: 11.5px; line-height: 1.4; color: var(--jp-ui-font-color2, #666); }
.medn .medn-warn { color: var(--jp-warn-color0, #b45f06); }
.medn svg text { fill: var(--jp-ui-font-color1, #333); font-family: inherit; }
.medn svg .medn-halo { paint-order: stroke; stroke: var(--jp-layout-color0, #fff); stroke-width: 4px; }
.medn .medn-axis { stroke: var(--jp-ui-font-color3, #999); }
.medn .js-plotly-plot .plotly svg text { fill: var(--jp-ui-font-color1, #555) !important; }
.medn .js-plotly-plot .plotly .selectionlayer path { pointer-events: none !important; }
.medn .js-plotly-plot .plotly .hoverlayer text { fill: #f4f4f4 !important; }
.medn .widget-image img, .medn img.widget-image, .medn .medn-faces { border-radius: 4px; }
.medn .medn-floor { stroke: var(--jp-ui-font-color1, #333); stroke-width: 2.5; }
.medn .medn-short { display: inline-block; width: 64px; vertical-align: middle; margin-right: 4px; }
.medn .medn-table { border-collapse: collapse; font-size: 11.5px; line-height: 16px;
  font-variant-numeric: tabular-nums; }
.medn .medn-table th, .medn .medn-table td { padding: 1px 9px 1px 2px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--jp-border-color2, #ddd); background: transparent; color: inherit; }
.medn .medn-table .medn-left { text-align: left; }
.medn .medn-table thead th { font-weight: 600; position: sticky; top: 0; background: var(--jp-layout-color0, #fff); }
.medn .medn-cells .jupyter-button { line-height: 1.2; font-size: 12.5px; font-variant-numeric: tabular-nums; }
.medn .jupyter-button.medn-picked { box-shadow: inset 0 0 0 3px #FF9F1C; }
.medn .medn-listed select, .medn .medn-listed-head { font-family: var(--jp-code-font-family, monospace);
  font-size: 11.5px; }
[data-jp-theme-light="false"] .medn .widget-dropdown > select { background-image: url("data:image/svg+xml,%3Csvg\
 xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'%3E%3Cpath fill='%23ccc' d='M5.2 5.9 9 9.7l3.8-3.8 1.2 1.2L9\
 12.1 4 7.1z'/%3E%3C/svg%3E"); }
.medn button:focus-visible, .medn select:focus-visible, .medn input:focus-visible, .medn .noUi-handle:focus-visible {
  outline: 2px solid var(--jp-brand-color1, #2196f3); outline-offset: 1px; }
"""


def sheet() -> widgets.HTML:
    """The style sheet as a widget without height; the first child of every widget of this room."""
    return widgets.HTML(f"<style>{SHEET}</style>", layout=widgets.Layout(height="0px", margin="0", padding="0"))


def chip(
    text: str, *, colour: str | None = None, symbol: str | None = None, hint: str = "", faint: bool = False
) -> str:
    """A small rounded label; `text` and `hint` are escaped here."""
    glyph = theme.SYMBOL_GLYPHS.get(symbol or "", "●")
    dot = "" if colour is None else f"<span class='medn-dot' style='color:{colour}'>{glyph}</span>"
    look = " style='opacity:.6'" if faint else ""
    return f"<span class='medn-chip' title='{html.escape(hint)}'{look}>{dot}{html.escape(text)}</span>"


def emotion_chip(emotion: object, *, count: int | None = None) -> str:
    """A chip in the emotion's colour, with its marker."""
    text = str(emotion) if count is None else f"{emotion} {count}"
    return chip(text, colour=theme.emotion_colour(emotion), symbol=theme.emotion_symbol(emotion))


def note(text: str, *, warn: bool = False) -> str:
    """One quiet sentence, escaped."""
    return f"<div class='medn-note{' medn-warn' if warn else ''}'>{html.escape(text)}</div>" if text else ""


def small_print(lines: list[str]) -> str:
    """Lines of HTML as quiet small print."""
    return "".join(f"<div class='medn-note'>{line}</div>" for line in lines)
