/** A plotly figure: `figure` is its JSON, `library` the model that carries plotly's code once for the whole page. */

/** Load plotly from the library's model, once a page. */
async function load(model) {
  const library = await model.widget_manager.get_model(model.get("library"));
  const packed = new Blob([library.get("value")]).stream().pipeThrough(new DecompressionStream("gzip"));
  const text = await new Response(packed).text();
  const module = { exports: {} };
  new Function("module", "exports", "define", text)(module, module.exports, undefined);
  return module.exports;
}

async function render({ model, el }) {
  const plot = document.createElement("div");
  plot.textContent = "loading the figure ...";
  el.append(plot);
  const Plotly = await (globalThis.mednPlotly ??= load(model)).catch(problem => {
    globalThis.mednPlotly = undefined;
    plot.textContent = `This figure could not be drawn (${problem}). Run the cell again, or reload the page.`;
  });
  if (!Plotly) return;
  plot.textContent = "";

  const config = { displaylogo: false, displayModeBar: false };
  const draw = async () => {
    const { data, layout } = JSON.parse(model.get("figure"));
    plot.style.height = layout.height ? `${layout.height}px` : "";
    await Plotly.react(plot, data, { ...layout, autosize: !layout.width }, config);
  };
  let width = plot.clientWidth; // 0 where the page has not placed the figure yet: it is drawn again when it is
  await draw();
  plot.on("plotly_click", ({ points: [point] }) => {
    const clicks = model.get("clicked")[2] ?? 0;
    model.set("clicked", [point.curveNumber, point.pointNumber ?? point.pointIndex, clicks + 1]);
    model.save_changes();
  });
  model.on("change:figure", draw);
  const watch = new ResizeObserver(() => {
    if (!plot.clientWidth || plot.clientWidth === width) return;
    width = plot.clientWidth;
    Plotly.Plots.resize(plot);
  });
  watch.observe(el);
  return () => {
    watch.disconnect();
    model.off("change:figure", draw);
    Plotly.purge(plot);
  };
}

export default { render };
