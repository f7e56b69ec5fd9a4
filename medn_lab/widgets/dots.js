// The points of the explorer's maps on one canvas over plotly's axes. Without a graphics card WebGL takes a second to
// draw thousands of points again, and plotly draws all of them again for one ring; this takes a few milliseconds.

const TURN = Math.PI / 180;
const around = (angles, radius = 1) => angles.map(a => [radius * Math.cos(a * TURN), radius * Math.sin(a * TURN)]);
const every = (step, from) => Array.from({ length: 360 / step }, (_, k) => from + k * step);

// Corners in radii, y downwards, sized as plotly sizes them.
const CROSS = [[-1.2, -0.4], [-0.4, -0.4], [-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4],
  [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4]];
const SHAPES = {
  "square": [[-1, -1], [1, -1], [1, 1], [-1, 1]],
  "diamond": around(every(90, 0), 1.3),
  "triangle-up": around([-90, 30, 150], 1.15),
  "triangle-down": around([90, 210, 330], 1.15),
  "hexagon": around(every(60, 30)),
  "pentagon": around(every(72, -90)),
  "bowtie": [[-1, -1], [1, 1], [1, -1], [-1, 1]],
  "cross": CROSS,
  "x": CROSS.map(([x, y]) => [(x - y) * Math.SQRT1_2, (x + y) * Math.SQRT1_2]),
  "star": every(36, -90).map((angle, k) => around([angle], k % 2 ? 0.53 : 1.4)[0]),
};

function trace(pen, symbol, x, y, radius) {
  pen.beginPath();
  if (symbol === "x-thin-open") {
    for (const side of [-1, 1]) {
      pen.moveTo(x - radius, y - side * radius);
      pen.lineTo(x + radius, y + side * radius);
    }
    return;
  }
  const corners = SHAPES[symbol];
  if (!corners) return pen.arc(x, y, radius, 0, 2 * Math.PI);
  corners.forEach(([dx, dy], k) => (k ? pen.lineTo(x + radius * dx, y + radius * dy)
    : pen.moveTo(x + radius * dx, y + radius * dy)));
  pen.closePath();
}

function stamp([colour, symbol], size, scale) {
  const radius = size / 2 * scale, half = Math.ceil(1.4 * radius) + 1;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 2 * half;
  const pen = canvas.getContext("2d");
  pen.fillStyle = pen.strokeStyle = colour;
  pen.lineWidth = scale;
  trace(pen, symbol, half, half, radius);
  if (symbol.endsWith("-open")) pen.stroke();
  else pen.fill();
  return { canvas, half };
}

const array = (model, name, kind) => {
  const view = model.get(name);
  // A copy: what comes over the wire need not begin where numbers may.
  return new kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
};

function render({ model, el }) {
  el.style.display = "none";
  const canvas = document.createElement("canvas"), ground = document.createElement("canvas");
  canvas.className = "medn-dots";
  canvas.style.cssText = "position:absolute;left:0;top:0;pointer-events:none";
  let plot = null, waiting = 0, frame = 0, drawn = "", version = 0;
  let xy, styleOf, kept, lit, stamps = {};

  const read = () => {
    xy = array(model, "xy", Float32Array);
    styleOf = array(model, "style_of", Uint8Array);
    kept = array(model, "kept", Uint8Array);
    lit = array(model, "lit", Int32Array);
  };

  const frames = () => model.get("axes").map(([x, y]) => {
    const layout = plot._fullLayout, across = layout[x], down = layout[y];
    const [left, right] = across.range, [low, high] = down.range;
    return {
      left: across._offset, top: down._offset, width: across._length, height: down._length,
      x: value => across._offset + (value - left) / (right - left) * across._length,
      y: value => down._offset + (high - value) / (high - low) * down._length,
    };
  });

  const within = (pen, box, scale, act) => {
    pen.save();
    pen.beginPath();
    pen.rect(box.left * scale, box.top * scale, box.width * scale, box.height * scale);
    pen.clip();
    act();
    pen.restore();
  };

  const dot = (pen, box, place, row, scale) => {
    const start = 2 * (place * styleOf.length + row), style = styleOf[row];
    const left = scale * box.x(xy[start]), top = scale * box.y(xy[start + 1]);
    if (!Number.isFinite(left + top)) return;
    const own = stamps[style] ??= stamp(model.get("styles")[style], model.get("size"), scale);
    pen.drawImage(own.canvas, Math.round(left) - own.half, Math.round(top) - own.half);
  };

  const draw = () => {
    frame = 0;
    const boxes = frames(), scale = window.devicePixelRatio || 1;
    const wide = Math.round(plot._fullLayout.width * scale), high = Math.round(plot._fullLayout.height * scale);
    // All points together change with the view and the colours alone, so that they are kept as a picture.
    const view = JSON.stringify([version, wide, high, scale, boxes, model.get("axes").map(
      names => names.map(name => plot._fullLayout[name].range))]);
    if (view !== drawn) {
      drawn = view;
      stamps = {};
      for (const one of [canvas, ground]) [one.width, one.height] = [wide, high];
      canvas.style.width = `${plot._fullLayout.width}px`;
      canvas.style.height = `${plot._fullLayout.height}px`;
      const pen = ground.getContext("2d");
      pen.globalAlpha = model.get("opacity");
      boxes.forEach((box, place) => within(pen, box, scale, () => {
        for (let row = 0; row < kept.length; row++) if (kept[row]) dot(pen, box, place, row, scale);
      }));
    }
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, wide, high);
    pen.globalAlpha = lit.length ? model.get("dimmed") : 1;
    pen.drawImage(ground, 0, 0);
    pen.globalAlpha = 1;
    boxes.forEach((box, place) => within(pen, box, scale, () => {
      for (const row of lit) if (kept[row]) dot(pen, box, place, row, scale);
      pen.lineWidth = 3 * scale;
      for (const [row, colour] of model.get("rings")) {
        const start = 2 * (place * styleOf.length + row);
        pen.strokeStyle = colour;
        trace(pen, "circle", scale * box.x(xy[start]), scale * box.y(xy[start + 1]), 9.5 * scale);
        pen.stroke();
      }
    }));
    canvas.dataset.lit = lit.length;
    canvas.dataset.rings = model.get("rings").length;
  };

  const soon = () => { if (plot) frame ||= requestAnimationFrame(draw); };
  const changed = () => { read(); version += 1; soon(); };
  const marked = () => { lit = array(model, "lit", Int32Array); soon(); };

  const find = () => {
    const found = el.closest(".medn-maps")?.querySelector(".js-plotly-plot");
    const room = found?._fullLayout?._size && found.querySelector(".gl-container");
    if (!room) {
      waiting = setTimeout(find, 60);
      return;
    }
    plot = found;
    room.append(canvas);
    for (const event of ["plotly_afterplot", "plotly_relayout", "plotly_relayouting"]) plot.on(event, soon);
    draw();
  };

  read();
  const groundwork = ["xy", "style_of", "styles", "kept", "size", "opacity"], marks = ["lit", "rings", "dimmed"];
  for (const name of groundwork) model.on(`change:${name}`, changed);
  for (const name of marks) model.on(`change:${name}`, marked);
  find();

  return () => {
    clearTimeout(waiting);
    cancelAnimationFrame(frame);
    for (const name of groundwork) model.off(`change:${name}`, changed);
    for (const name of marks) model.off(`change:${name}`, marked);
    canvas.remove();
    plot = null;
  };
}

export default { render };
