// Maps of the same clips: axes, points by shape and colour, hover, click, lasso, pan, zoom, rings, and a legend that
// filters. All points together are kept as one picture, so that a selection draws only the lit points anew.

/**
 * The part of an anywidget model that is used here; an exported page gives an object with the same methods.
 * @typedef {{get(name: string): any, set(name: string, value: any): void, save_changes(): void,
 *   on(event: string, act: Function): void, off(event: string, act: Function): void}} Model
 */

const MARGIN = { left: 30, right: 8, top: 24, bottom: 22 };
const NEAR = 12; // pixels between the pointer and a point that it touches
const STILL = 4; // pixels that a click may move
const LIT_DIMS = 0.16;
const GAP = 8;

const TURN = Math.PI / 180;
const around = (angles, radius = 1) => angles.map(a => [radius * Math.cos(a * TURN), radius * Math.sin(a * TURN)]);
const every = (step, from) => Array.from({ length: 360 / step }, (_, k) => from + k * step);
const CROSS = [[-1.2, -0.4], [-0.4, -0.4], [-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4],
  [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4]];
/** Corners in radii, y downwards. */
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

/** Put the outline of a marker on the pen. */
function trace(pen, symbol, x, y, radius) {
  pen.beginPath();
  if (symbol === "x-thin-open") {
    for (const side of [-1, 1]) {
      pen.moveTo(x - radius, y - side * radius);
      pen.lineTo(x + radius, y + side * radius);
    }
    return;
  }
  const corners = SHAPES[symbol.replace("-open", "")];
  if (!corners) return pen.arc(x, y, radius, 0, 2 * Math.PI);
  corners.forEach(([dx, dy], k) => (k ? pen.lineTo(x + radius * dx, y + radius * dy)
    : pen.moveTo(x + radius * dx, y + radius * dy)));
  pen.closePath();
}

/** A marker as a small picture, which is drawn faster than its path. */
function stamp({ colour, symbol }, size, scale) {
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

/** A copy of a binary trait: what comes over the wire need not begin where numbers may. */
const array = (model, name, kind) => {
  const view = model.get(name);
  return new kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
};

const bytes = numbers => new DataView(Int32Array.from(numbers).buffer);

/** Whether a point lies inside a closed outline (even-odd rule). */
function inside(outline, x, y) {
  let odd = false;
  for (let k = 0, last = outline.length - 1; k < outline.length; last = k++) {
    const [ax, ay] = outline[k], [bx, by] = outline[last];
    if (ay > y !== by > y && x < (bx - ax) * (y - ay) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}

/** Round numbers of an axis, three to six of them. */
function ticks(low, high) {
  const raw = (high - low) / 4, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find(k => k * power >= raw) ?? 10);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, k) => +((first + k) * step).toPrecision(6));
}

function element(tag, className, parent, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  if (tag === "button") made.type = "button";
  parent?.append(made);
  return made;
}

/** @param {{model: Model, el: HTMLElement}} place */
function render({ model, el }) {
  el.classList.add("medn-maps");
  const bar = element("div", "medn-maps-bar", el), row = element("div", "medn-maps-row", el);
  const legend = element("div", "medn-legend", el), tip = element("div", "medn-tip", el);
  tip.hidden = true;
  let xy, styleOf, kept, lit, stamps = {}, version = 0, frame = 0, hovered = -1, tool = "lasso";
  let outline = null, enclosed = null;
  const maps = model.get("titles").map((title, place) => {
    const canvas = element("canvas", "medn-map", row);
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    return { title, place, canvas, ground: document.createElement("canvas"), view: null, drawn: "" };
  });
  const n = () => styleOf.length;
  const shown = k => kept[k] && !hidden.has(styleOf[k]);
  let hidden = new Set();

  const read = () => {
    xy = array(model, "xy", Float32Array);
    styleOf = array(model, "style_of", Uint8Array);
    kept = array(model, "kept", Uint8Array);
    lit = array(model, "lit", Int32Array);
    const names = model.get("hidden");
    hidden = new Set(model.get("styles").flatMap(({ name }, k) => (names.includes(name) ? [k] : [])));
  };
  const at = (map, k) => 2 * (map.place * n() + k);

  /** The range of all points of a map with a margin: left, right, low, high. */
  const home = map => [0, 1].flatMap(axis => {
    let least = Infinity, most = -Infinity;
    for (let k = 0; k < n(); k++) {
      if (!Number.isFinite(xy[at(map, k)] + xy[at(map, k) + 1])) continue;
      least = Math.min(least, xy[at(map, k) + axis]);
      most = Math.max(most, xy[at(map, k) + axis]);
    }
    const margin = 0.05 * (most - least || 1);
    return least > most ? [0, 1] : [least - margin, most + margin];
  });

  const box = map => {
    const { clientWidth: wide, clientHeight: high } = map.canvas, [left, right, low, up] = map.view;
    const width = wide - MARGIN.left - MARGIN.right, height = high - MARGIN.top - MARGIN.bottom;
    return {
      width, height,
      x: value => MARGIN.left + (value - left) / (right - left) * width,
      y: value => MARGIN.top + (up - value) / (up - low) * height,
      unX: pixel => left + (pixel - MARGIN.left) / width * (right - left),
      unY: pixel => up - (pixel - MARGIN.top) / height * (up - low),
    };
  };

  const clipped = (pen, map, act) => {
    const { width, height } = box(map);
    pen.save();
    pen.beginPath();
    pen.rect(MARGIN.left, MARGIN.top, width, height);
    pen.clip();
    act();
    pen.restore();
  };

  const dot = (pen, map, places, k, scale) => {
    const x = places.x(xy[at(map, k)]), y = places.y(xy[at(map, k) + 1]);
    if (!Number.isFinite(x + y)) return;
    const style = styleOf[k];
    const { canvas, half } = stamps[`${style}/${scale}`] ??= stamp(model.get("styles")[style], model.get("size"), scale);
    pen.drawImage(canvas, x - half / scale, y - half / scale, 2 * half / scale, 2 * half / scale);
  };

  const axes = (pen, map) => {
    const places = box(map), [left, right, low, high] = map.view, ink = getComputedStyle(el).color;
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = pen.strokeStyle = ink;
    pen.globalAlpha = 0.75;
    for (const value of ticks(left, right)) {
      pen.textAlign = "center";
      pen.fillText(String(value), places.x(value), MARGIN.top + places.height + 14);
    }
    for (const value of ticks(low, high)) {
      pen.textAlign = "right";
      pen.fillText(String(value), MARGIN.left - 4, places.y(value) + 4);
    }
    pen.globalAlpha = 0.3;
    pen.strokeRect(MARGIN.left + 0.5, MARGIN.top + 0.5, places.width - 1, places.height - 1);
    pen.globalAlpha = 1;
    pen.textAlign = "left";
    pen.font = "600 13px system-ui, sans-serif";
    pen.fillStyle = model.get("colours")[map.place] || ink;
    pen.fillText(map.title, MARGIN.left, 15);
  };

  const drawMap = map => {
    const { canvas, ground } = map, scale = window.devicePixelRatio || 1;
    if (!canvas.clientWidth) return;
    map.view ??= home(map);
    const size = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
    const places = box(map), state = JSON.stringify([version, size, scale, map.view]);
    if (state !== map.drawn) {
      map.drawn = state;
      for (const one of [canvas, ground]) [one.width, one.height] = size;
      const pen = ground.getContext("2d");
      pen.scale(scale, scale);
      pen.globalAlpha = model.get("opacity");
      clipped(pen, map, () => {
        for (let k = 0; k < n(); k++) if (shown(k)) dot(pen, map, places, k, scale);
      });
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    axes(pen, map);
    pen.globalAlpha = lit.length ? LIT_DIMS : 1;
    pen.drawImage(ground, 0, 0, canvas.clientWidth, canvas.clientHeight);
    pen.globalAlpha = 1;
    clipped(pen, map, () => {
      for (const k of lit) if (shown(k)) dot(pen, map, places, k, scale);
      pen.lineWidth = 3;
      const rings = model.get("rings"), passing = hovered >= 0 ? [[hovered, model.get("ring_colour")]] : [];
      for (const [k, colour] of [...rings, ...passing]) {
        pen.strokeStyle = colour;
        trace(pen, "circle", places.x(xy[at(map, k)]), places.y(xy[at(map, k) + 1]), 9.5);
        pen.stroke();
      }
      if (outline?.map === map) {
        pen.strokeStyle = model.get("ring_colour");
        pen.lineWidth = 1.5;
        pen.setLineDash([4, 3]);
        pen.beginPath();
        outline.corners.forEach(([x, y], k) => (k ? pen.lineTo(places.x(x), places.y(y))
          : pen.moveTo(places.x(x), places.y(y))));
        pen.closePath();
        pen.stroke();
        pen.setLineDash([]);
      }
    });
    const of = kept.length === n() ? kept.reduce((sum, one) => sum + one, 0) : n();
    canvas.setAttribute("aria-label", `${map.title}: ${of} clips, ${lit.length} selected`);
    Object.assign(canvas.dataset, { clips: n(), lit: lit.length, rings: model.get("rings").length, hovered });
  };

  const soon = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      maps.forEach(drawMap);
    });
  };
  const stale = () => { version += 1; soon(); };

  // Gestures -----------------------------------------------------------------------------------------------------------

  const nearest = (map, x, y) => {
    const places = box(map);
    let found = -1, least = NEAR * NEAR;
    for (let k = 0; k < n(); k++) {
      if (!shown(k)) continue;
      const distance = (places.x(xy[at(map, k)]) - x) ** 2 + (places.y(xy[at(map, k) + 1]) - y) ** 2;
      if (distance < least) [found, least] = [k, distance];
    }
    return found;
  };

  const hover = (k, map = null) => {
    if (k !== hovered) {
      hovered = k;
      soon();
      model.set("hovered", k);
      model.save_changes();
    }
    const text = model.get("texts")[k];
    tip.hidden = k < 0 || !text || !map;
    if (tip.hidden) return;
    tip.textContent = text;
    const places = box(map), left = map.canvas.offsetLeft + places.x(xy[at(map, k)]);
    const over = left + 14 + tip.offsetWidth > el.clientWidth;
    tip.style.left = `${over ? left - 14 - tip.offsetWidth : left + 14}px`;
    tip.style.top = `${map.canvas.offsetTop + places.y(xy[at(map, k) + 1]) + 10}px`;
  };

  const light = rows => {
    lit = Int32Array.from(rows);
    model.set("lit", bytes(lit));
    model.save_changes();
    soon();
  };

  /** Select what the outline holds; shift adds to what is lit, alt takes away. */
  const enclose = ({ map, corners }, event) => {
    const held = [];
    for (let k = 0; k < n(); k++) if (shown(k) && inside(corners, xy[at(map, k)], xy[at(map, k) + 1])) held.push(k);
    const there = new Set(lit);
    if (event.altKey) held.forEach(k => there.delete(k));
    else if (event.shiftKey) held.forEach(k => there.add(k));
    enclosed = event.altKey || event.shiftKey ? [...there].sort((a, b) => a - b) : held;
    light(enclosed);
  };

  const zoom = (map, factor, x, y) => {
    const places = box(map), cx = places.unX(x), cy = places.unY(y), [left, right, low, high] = map.view;
    map.view = [cx + (left - cx) * factor, cx + (right - cx) * factor,
      cy + (low - cy) * factor, cy + (high - cy) * factor];
    soon();
  };
  const zoomMiddle = factor => map => zoom(map, factor, map.canvas.clientWidth / 2, map.canvas.clientHeight / 2);
  const reset = map => { map.view = null; soon(); };
  const clear = () => { outline = null; light([]); };
  const click = k => {
    model.set("clicked", [k, model.get("clicked")[1] + 1]); // counted, so that a second click on a point is heard
    model.save_changes();
  };
  /** Hover the next point that is shown. */
  const walk = step => map => {
    let k = hovered;
    for (let tried = 0; tried < n(); tried++) {
      k = (k + step + n()) % n();
      if (shown(k)) return hover(k, map);
    }
  };
  const keys = {
    "+": zoomMiddle(0.8), "=": zoomMiddle(0.8), "-": zoomMiddle(1.25), "0": reset, Escape: clear,
    Enter: () => { if (hovered >= 0) click(hovered); },
    ArrowRight: walk(1), ArrowDown: walk(1), ArrowLeft: walk(-1), ArrowUp: walk(-1),
  };

  const listen = map => {
    const { canvas } = map;
    let start = null;
    /** Where a clip is drawn, for scripts in the page. */
    canvas.clip = k => {
      const places = box(map);
      return { x: places.x(xy[at(map, k)]), y: places.y(xy[at(map, k) + 1]), text: model.get("texts")[k], shown: !!shown(k) };
    };
    const place = event => [event.offsetX, event.offsetY];
    canvas.addEventListener("pointerdown", event => {
      const [x, y] = place(event), pans = tool === "pan" || event.button !== 0;
      start = { x, y, view: [...map.view], pans, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", event => {
      const [x, y] = place(event);
      if (!start) return hover(nearest(map, x, y), map);
      if (!start.moved && Math.hypot(x - start.x, y - start.y) < STILL) return;
      const places = box(map);
      if (start.pans) {
        const [left, right, low, high] = start.view;
        const dx = (x - start.x) / places.width * (right - left), dy = (y - start.y) / places.height * (high - low);
        map.view = [left - dx, right - dx, low + dy, high + dy];
      } else if (!start.moved) {
        outline = { map, corners: [[places.unX(start.x), places.unY(start.y)]] };
      }
      start.moved = true;
      if (!start.pans) outline.corners.push([places.unX(x), places.unY(y)]);
      tip.hidden = true;
      soon();
    });
    const end = event => {
      if (!start) return;
      const { moved, pans } = start, [x, y] = place(event);
      start = null;
      if (moved && !pans) enclose(outline, event);
      else if (!moved && nearest(map, x, y) >= 0) click(nearest(map, x, y));
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", () => { start = outline = null; soon(); });
    canvas.addEventListener("pointerleave", () => { if (!start) hover(-1); });
    canvas.addEventListener("dblclick", () => { reset(map); clear(); });
    canvas.addEventListener("contextmenu", event => event.preventDefault());
    canvas.addEventListener("wheel", event => {
      if (!event.ctrlKey && document.activeElement !== canvas) return; // the page scrolls until a map is clicked
      event.preventDefault();
      zoom(map, Math.exp(event.deltaY / 400), ...place(event));
    }, { passive: false });
    canvas.addEventListener("keydown", event => {
      if (!keys[event.key]) return;
      keys[event.key](map);
      event.preventDefault();
      event.stopPropagation();
    });
  };

  el.addEventListener("keydown", event => { // Lab's own keys would take Enter and space from a button
    if (event.target.tagName === "BUTTON" && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  });

  // Tools and legend ---------------------------------------------------------------------------------------------------

  const button = (text, title, act) => {
    const made = element("button", "medn-tool", bar, text);
    made.title = title;
    made.setAttribute("aria-label", title);
    made.addEventListener("click", act);
    return made;
  };
  const tools = {};
  const choose = name => {
    tool = name;
    for (const own of Object.keys(tools)) tools[own].setAttribute("aria-pressed", String(own === tool));
  };
  tools.lasso = button("lasso", "Lasso: drag round points; shift adds, alt takes away", () => choose("lasso"));
  tools.pan = button("pan", "Pan: drag the map", () => choose("pan"));
  choose("lasso");
  button("+", "Zoom in (+)", () => maps.forEach(keys["+"]));
  button("−", "Zoom out (-)", () => maps.forEach(keys["-"]));
  button("reset", "Show all points (0, or a double click)", () => maps.forEach(reset));
  button("clear", "Select nothing (Escape)", clear);

  const listStyles = () => {
    const counts = new Array(model.get("styles").length).fill(0);
    kept.forEach((one, k) => { if (one) counts[styleOf[k]] += 1; });
    const focused = [...legend.children].indexOf(document.activeElement);
    legend.replaceChildren();
    element("span", "medn-legend-title", legend, model.get("legend_title"));
    model.get("styles").forEach(({ name, colour, symbol }, k) => {
      if (!counts[k]) return;
      const entry = element("button", "medn-entry", legend);
      entry.title = "Hide or show; with shift, show only this";
      entry.setAttribute("aria-pressed", String(!hidden.has(k)));
      const { canvas } = stamp({ colour, symbol }, 10, 2);
      canvas.style.height = "13px";
      entry.append(canvas, `${name} ${counts[k]}`);
      entry.addEventListener("click", event => {
        const before = model.get("hidden"), off = before.includes(name);
        const others = model.get("styles").map(style => style.name).filter(one => one !== name);
        const alone = before.length === others.length && !off;
        model.set("hidden", event.shiftKey ? (alone ? [] : others)
          : off ? before.filter(one => one !== name) : [...before, name]);
        model.save_changes();
      });
    });
    legend.children[focused]?.focus(); // the keyboard stays on the entry that it pressed
  };

  const ground = () => {
    read();
    stamps = {};
    listStyles();
    stale();
  };
  const moved = () => { maps.forEach(map => { map.view = null; }); ground(); };
  const marks = () => {
    const now = array(model, "lit", Int32Array);
    if (String(now) !== String(enclosed)) outline = null; // selected by something else than the outline
    lit = now;
    soon();
  };
  const events = [["xy", moved], ["lit", marks], ["rings", soon],
    ...["style_of", "styles", "kept", "hidden", "size", "opacity", "legend_title"].map(name => [name, ground])];
  for (const [name, act] of events) model.on(`change:${name}`, act);
  const fit = () => {
    const each = Math.floor((row.clientWidth - GAP * (maps.length - 1)) / maps.length);
    for (const { canvas } of maps) {
      canvas.style.width = `${each}px`;
      canvas.style.height = `${Math.min(Math.max(Math.round(0.98 * each), 220), model.get("height"))}px`;
    }
    soon();
  };
  const watcher = new ResizeObserver(fit);
  watcher.observe(row);
  maps.forEach(listen);
  ground();
  fit();

  return () => {
    watcher.disconnect();
    cancelAnimationFrame(frame);
    for (const [name, act] of events) model.off(`change:${name}`, act);
    el.replaceChildren();
  };
}

export default { render };
