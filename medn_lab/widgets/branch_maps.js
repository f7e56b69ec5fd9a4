// Maps of the same clips: points by shape and colour, hover, click, lasso, pan, zoom, rings, and a legend that
// filters. All points together are kept as one picture, so that a selection draws only the lit points anew.

/**
 * The part of an anywidget model that is used here; an exported page gives an object with the same methods.
 * @typedef {{get(name: string): any, set(name: string, value: any): void, save_changes(): void,
 *   on(event: string, act: Function): void, off(event: string, act: Function): void}} Model
 */

const MARGIN = 4, TOP = 24; // pixels around a map, whose axes have no unit
const NEAR = 12; // pixels between the pointer and a point that it touches
const STILL = 4; // pixels that a click may move
const LIT_DIMS = 0.16;
const GAP = 8;
const HIGHEST = 322; // pixels of a map

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

/** Put a closed line through these corners on the pen. */
function outlined(pen, corners) {
  pen.beginPath();
  corners.forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
}

/** A marker as a small picture, which is drawn faster than its path. */
function stamp({ colour, symbol }, size, scale) {
  const radius = size / 2 * scale, half = Math.ceil(1.4 * radius) + 1, shape = SHAPES[symbol.replace("-open", "")];
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 2 * half;
  const pen = canvas.getContext("2d");
  pen.fillStyle = pen.strokeStyle = colour;
  pen.lineWidth = scale;
  pen.translate(half, half);
  if (symbol === "x-thin-open") {
    for (const side of [-radius, radius]) {
      pen.moveTo(-radius, side);
      pen.lineTo(radius, -side);
    }
  } else if (shape) outlined(pen, shape.map(([x, y]) => [radius * x, radius * y]));
  else pen.arc(0, 0, radius, 0, 2 * Math.PI);
  pen[symbol.endsWith("-open") ? "stroke" : "fill"]();
  return { canvas, half };
}

/** A copy of a binary trait: what comes over the wire need not begin where numbers may. */
const array = (model, name, kind) => {
  const { buffer, byteOffset, byteLength } = model.get(name);
  return new kind(buffer.slice(byteOffset, byteOffset + byteLength));
};

/** Whether a point lies inside a closed outline (even-odd rule). */
function inside(outline, [x, y]) {
  let odd = false;
  for (let k = 0, last = outline.length - 1; k < outline.length; last = k++) {
    const [ax, ay] = outline[k], [bx, by] = outline[last];
    if (ay > y !== by > y && x < (bx - ax) * (y - ay) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}

function element(tag, className, parent, text = "") {
  const made = Object.assign(document.createElement(tag), { className, textContent: text });
  if (tag === "button") made.type = "button";
  parent.append(made);
  return made;
}

/** @param {{model: Model, el: HTMLElement}} place */
function render({ model, el }) {
  el.classList.add("medn-maps");
  const bar = element("div", "medn-maps-bar", el), row = element("div", "medn-maps-row", el);
  const legend = element("div", "medn-legend", el), tip = element("div", "medn-tip", el);
  tip.hidden = true;
  let xy, styleOf, kept, lit, hidden, n, stamps = {}, version = 0, frame = 0, hovered = -1, tool = "lasso";
  let outline = null, enclosed = null;
  const look = model.get("look");
  const send = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const maps = model.get("titles").map((title, place) => {
    const canvas = element("canvas", "medn-map", row);
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    return { title, place, canvas, ground: document.createElement("canvas"), view: null, drawn: "" };
  });
  const shown = k => kept[k] && !hidden.has(styleOf[k]);
  const clip = (map, k) => [xy[2 * (map.place * n + k)], xy[2 * (map.place * n + k) + 1]];

  /** The range of all points of a map with a margin: left, right, low, high. */
  const home = map => [0, 1].flatMap(axis => {
    let least = Infinity, most = -Infinity;
    for (let k = 0; k < n; k++) {
      const own = clip(map, k);
      if (!Number.isFinite(own[0] + own[1])) continue;
      least = Math.min(least, own[axis]);
      most = Math.max(most, own[axis]);
    }
    const margin = 0.05 * (most - least || 1);
    return least > most ? [0, 1] : [least - margin, most + margin];
  });

  /** Size of a map's plot, and from places to pixels and back. */
  const box = map => {
    const { clientWidth: wide, clientHeight: high } = map.canvas, [left, right, low, up] = map.view ??= home(map);
    const width = wide - 2 * MARGIN, height = high - TOP - MARGIN;
    const x = value => MARGIN + (value - left) / (right - left) * width;
    const y = value => TOP + (up - value) / (up - low) * height;
    return {
      width, height, x, y,
      pixel: place => [x(place[0]), y(place[1])],
      place: (px, py) => [left + (px - MARGIN) / width * (right - left), up - (py - TOP) / height * (up - low)],
    };
  };

  const clipped = (pen, { width, height }, act) => {
    pen.save();
    pen.beginPath();
    pen.rect(MARGIN, TOP, width, height);
    pen.clip();
    act();
    pen.restore();
  };

  const dot = (pen, map, { pixel }, k, scale) => {
    const [x, y] = pixel(clip(map, k)), style = styleOf[k];
    if (!Number.isFinite(x + y)) return;
    const { canvas, half } = stamps[`${style}/${scale}`] ??= stamp(model.get("styles")[style], look.size, scale);
    pen.drawImage(canvas, x - half / scale, y - half / scale, 2 * half / scale, 2 * half / scale);
  };

  const frameOf = (pen, map, { width, height }) => {
    const ink = getComputedStyle(el).color;
    pen.strokeStyle = ink;
    pen.globalAlpha = 0.3;
    pen.strokeRect(MARGIN + 0.5, TOP + 0.5, width - 1, height - 1);
    pen.globalAlpha = 1;
    pen.font = "600 13px system-ui, sans-serif";
    pen.fillStyle = look.titles[map.place] || ink;
    pen.fillText(map.title, MARGIN, 15);
  };

  const drawMap = map => {
    const { canvas, ground } = map, { clientWidth, clientHeight } = canvas, scale = window.devicePixelRatio || 1;
    if (!clientWidth) return;
    const size = [clientWidth, clientHeight].map(side => Math.round(side * scale)), places = box(map);
    const state = JSON.stringify([version, size, scale, map.view]);
    if (state !== map.drawn) {
      map.drawn = state;
      for (const one of [canvas, ground]) [one.width, one.height] = size;
      const pen = ground.getContext("2d");
      pen.scale(scale, scale);
      pen.globalAlpha = look.opacity;
      clipped(pen, places, () => {
        for (let k = 0; k < n; k++) if (shown(k)) dot(pen, map, places, k, scale);
      });
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, clientWidth, clientHeight);
    frameOf(pen, map, places);
    pen.globalAlpha = lit.length ? LIT_DIMS : 1;
    pen.drawImage(ground, 0, 0, clientWidth, clientHeight);
    pen.globalAlpha = 1;
    clipped(pen, places, () => {
      for (const k of lit) if (shown(k)) dot(pen, map, places, k, scale);
      pen.lineWidth = 3;
      const passing = hovered >= 0 ? [[hovered, look.ring]] : [];
      for (const [k, colour] of [...model.get("rings"), ...passing]) {
        pen.strokeStyle = colour;
        pen.beginPath();
        pen.arc(...places.pixel(clip(map, k)), 9.5, 0, 2 * Math.PI);
        pen.stroke();
      }
      if (outline?.map !== map) return;
      pen.strokeStyle = look.ring;
      pen.lineWidth = 1.5;
      pen.setLineDash([4, 3]);
      outlined(pen, outline.corners.map(places.pixel));
      pen.stroke();
    });
    const of = kept.reduce((sum, one) => sum + one, 0);
    canvas.setAttribute("aria-label", `${map.title}: ${of} clips, ${lit.length} selected`);
    Object.assign(canvas.dataset, { clips: n, lit: lit.length, rings: model.get("rings").length, hovered });
  };

  const drawAll = () => {
    frame = 0;
    maps.forEach(drawMap);
  };
  const soon = () => { frame ||= requestAnimationFrame(drawAll); };

  // Gestures -----------------------------------------------------------------------------------------------------------

  const nearest = (map, x, y) => {
    const { pixel } = box(map);
    let found = -1, least = NEAR ** 2;
    for (let k = 0; k < n; k++) {
      if (!shown(k)) continue;
      const [px, py] = pixel(clip(map, k)), distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) [found, least] = [k, distance];
    }
    return found;
  };

  const hover = (k, map) => {
    if (k !== hovered) {
      hovered = k;
      soon();
      send("hovered", k);
    }
    tip.textContent = model.get("texts")[k] ?? "";
    tip.hidden = !tip.textContent;
    if (tip.hidden) return;
    const [x, y] = box(map).pixel(clip(map, k)), left = map.canvas.offsetLeft + x;
    const over = left + 14 + tip.offsetWidth > el.clientWidth;
    tip.style.left = `${over ? left - 14 - tip.offsetWidth : left + 14}px`;
    tip.style.top = `${map.canvas.offsetTop + y + 10}px`;
  };

  const light = rows => {
    lit = Int32Array.from(rows);
    send("lit", new DataView(lit.buffer));
    soon();
  };

  /** Select what the outline holds; shift adds to what is lit, alt takes away. */
  const enclose = ({ map, corners }, { altKey, shiftKey }) => {
    const held = [], there = new Set(altKey || shiftKey ? lit : []);
    for (let k = 0; k < n; k++) if (shown(k) && inside(corners, clip(map, k))) held.push(k);
    held.forEach(k => (altKey ? there.delete(k) : there.add(k)));
    enclosed = [...there].sort((a, b) => a - b);
    light(enclosed);
  };

  const zoom = (map, factor, x = map.canvas.clientWidth / 2, y = map.canvas.clientHeight / 2) => {
    const [cx, cy] = box(map).place(x, y);
    map.view = map.view.map((edge, k) => (k < 2 ? cx + (edge - cx) * factor : cy + (edge - cy) * factor));
    soon();
  };
  const reset = map => { map.view = null; soon(); };
  const clear = () => { outline = null; light([]); };
  // Counted, so that a second click on a point is heard.
  const click = k => { if (k >= 0) send("clicked", [k, model.get("clicked")[1] + 1]); };
  /** Hover the next point that is shown. */
  const walk = step => map => {
    for (let tried = 1, k = hovered; tried <= n; tried++) {
      k = (k + step + n) % n;
      if (shown(k)) return hover(k, map);
    }
  };
  const keys = {
    "+": map => zoom(map, 0.8), "=": map => zoom(map, 0.8), "-": map => zoom(map, 1.25), "0": reset, Escape: clear,
    Enter: () => click(hovered),
    ArrowRight: walk(1), ArrowDown: walk(1), ArrowLeft: walk(-1), ArrowUp: walk(-1),
  };

  const listen = map => {
    const { canvas } = map;
    let start = null;
    /** Where a clip is drawn, for scripts in the page. */
    canvas.clip = k => {
      const [x, y] = box(map).pixel(clip(map, k));
      return { x, y, text: model.get("texts")[k], shown: !!shown(k) };
    };
    const on = (name, act, options) => canvas.addEventListener(
      name, event => act(event, event.offsetX, event.offsetY), options);
    on("pointerdown", (event, x, y) => {
      start = { x, y, pans: tool === "pan" || event.button !== 0, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    on("pointermove", (event, x, y) => {
      if (!start) return hover(nearest(map, x, y), map);
      if (!start.moved && Math.hypot(x - start.x, y - start.y) < STILL) return;
      const { place } = box(map), [fromX, fromY] = place(start.x, start.y), [toX, toY] = place(x, y);
      if (start.pans) {
        map.view = map.view.map((edge, k) => edge - (k < 2 ? toX - fromX : toY - fromY));
        Object.assign(start, { x, y });
      } else {
        if (!start.moved) outline = { map, corners: [[fromX, fromY]] };
        outline.corners.push([toX, toY]);
      }
      start.moved = true;
      tip.hidden = true;
      soon();
    });
    on("pointerup", (event, x, y) => {
      const { moved, pans } = start ?? { pans: true, moved: true };
      start = null;
      if (!moved) click(nearest(map, x, y));
      else if (!pans) enclose(outline, event);
    });
    on("pointercancel", () => { start = outline = null; soon(); });
    on("pointerleave", () => { if (!start) hover(-1, map); });
    on("dblclick", () => { reset(map); clear(); });
    on("contextmenu", event => event.preventDefault());
    on("wheel", (event, x, y) => {
      if (!event.ctrlKey && document.activeElement !== canvas) return; // the page scrolls until a map is clicked
      event.preventDefault();
      zoom(map, Math.exp(event.deltaY / 400), x, y);
    }, { passive: false });
    on("keydown", event => {
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
    made.addEventListener("click", () => act(made));
    return made;
  };
  const choose = made => {
    tool = made.textContent;
    tools.forEach(one => one.setAttribute("aria-pressed", String(one === made)));
  };
  const tools = [
    button("lasso", "Lasso: drag around points; shift adds points, alt removes points", choose),
    button("pan", "Pan: drag the map", choose),
  ];
  choose(tools[0]);
  button("+", "Zoom in (+)", () => maps.forEach(keys["+"]));
  button("−", "Zoom out (-)", () => maps.forEach(keys["-"]));
  button("reset", "Show all points (0, or a double click)", () => maps.forEach(reset));
  button("clear", "Select nothing (Escape)", clear);

  const listStyles = () => {
    const styles = model.get("styles"), counts = styles.map(() => 0);
    kept.forEach((one, k) => { counts[styleOf[k]] += one; });
    const focused = [...legend.children].indexOf(document.activeElement);
    legend.replaceChildren();
    element("span", "medn-legend-title", legend, model.get("legend_title"));
    styles.forEach((style, k) => {
      if (!counts[k]) return;
      const entry = element("button", "medn-entry", legend);
      entry.title = "Hide or show this category; with shift, show only this category";
      entry.setAttribute("aria-pressed", String(!hidden.has(k)));
      const { canvas } = stamp(style, 10, 2);
      canvas.style.height = "13px";
      entry.append(canvas, `${style.name} ${counts[k]}`);
      entry.addEventListener("click", event => {
        const before = model.get("hidden"), off = before.includes(style.name);
        const others = styles.map(({ name }) => name).filter(name => name !== style.name);
        const alone = before.length === others.length && !off;
        send("hidden", event.shiftKey ? (alone ? [] : others)
          : off ? before.filter(name => name !== style.name) : [...before, style.name]);
      });
    });
    legend.children[focused]?.focus(); // the keyboard stays on the entry that it pressed
  };

  const marks = () => {
    lit = array(model, "lit", Int32Array);
    if (String(lit) !== String(enclosed)) outline = null; // selected by something else than the outline
    soon();
  };
  const ground = () => {
    [xy, styleOf, kept] = [["xy", Float32Array], ["style_of", Uint8Array], ["kept", Uint8Array]]
      .map(([name, kind]) => array(model, name, kind));
    n = styleOf.length;
    hidden = new Set(model.get("styles").flatMap(({ name }, k) => (model.get("hidden").includes(name) ? [k] : [])));
    stamps = {};
    version += 1;
    listStyles();
    marks();
  };
  const events = [["lit", marks], ["rings", soon],
    ...["style_of", "styles", "kept", "hidden", "legend_title"].map(name => [name, ground])];
  for (const [name, act] of events) model.on(`change:${name}`, act);
  const fit = () => {
    const each = Math.floor((row.clientWidth - GAP * (maps.length - 1)) / maps.length);
    for (const { canvas } of maps) {
      canvas.style.width = `${each}px`;
      canvas.style.height = `${Math.min(Math.max(Math.round(0.98 * each), 220), HIGHEST)}px`;
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
