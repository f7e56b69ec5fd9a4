// Maps of the same clips: points by shape and colour, hover, click, lasso, pan, zoom, rings, and a legend that
// filters. All points together are kept as one picture, so that a selection draws only the selected points anew.

/**
 * The part of an anywidget model that is used here; an exported page gives an object with the same methods.
 * @typedef {{get(name: string): any, set(name: string, value: any): void, save_changes(): void,
 *   on(event: string, act: Function): void, off(event: string, act: Function): void}} Model
 */

const MARGIN = 4, TOP = 24; // pixels around a map, whose axes have no unit
const NEAR = 12; // pixels between the pointer and a point that it touches
const STILL = 4; // pixels that a click may move
const REST = 160; // milliseconds that the pointer rests on a point before the clip is sent
const UNSELECTED_OPACITY = 0.16;

/** Paths of the markers, in radii. */
const SHAPES = {
  "circle": "M1 0A1 1 0 0 1 -1 0A1 1 0 0 1 1 0Z",
  "square": "M-1 -1H1V1H-1Z",
  "diamond": "M1.3 0L0 1.3L-1.3 0L0 -1.3Z",
  "triangle-up": "M0 -1.15L1 .575H-1Z",
  "triangle-down": "M0 1.15L-1 -.575H1Z",
  "hexagon": "M.866 .5L0 1L-.866 .5V-.5L0 -1L.866 -.5Z",
  "pentagon": "M0 -1L.951 -.309L.588 .809H-.588L-.951 -.309Z",
  "bowtie": "M-1 -1L1 1V-1L-1 1Z",
  "cross": "M-1.2 -.4H-.4V-1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2Z",
  "x": "M0 -.566L.566 -1.131L1.131 -.566L.566 0L1.131 .566L.566 1.131L0 .566L-.566 1.131L-1.131 .566L-.566 0L"
    + "-1.131 -.566L-.566 -1.131Z",
  "x-thin": "M-1 -1L1 1M-1 1L1 -1",
  "star": "M0 -1.4L.312 -.429L1.331 -.433L.504 .164L.823 1.133L0 .53L-.823 1.133L-.504 .164L-1.331 -.433L-.312 -.429Z",
};

/** A marker as a small picture, which is drawn faster than its path. */
function stamp({ colour, symbol }, size, scale) {
  const radius = size / 2 * scale, half = Math.ceil(1.4 * radius) + 1, path = SHAPES[symbol.replace("-open", "")];
  const canvas = Object.assign(document.createElement("canvas"), { width: 2 * half, height: 2 * half });
  const pen = canvas.getContext("2d");
  pen.fillStyle = pen.strokeStyle = colour;
  pen.setTransform(radius, 0, 0, radius, half, half);
  pen.lineWidth = scale / radius;
  pen[symbol.endsWith("-open") ? "stroke" : "fill"](new Path2D(path ?? SHAPES.circle));
  return { canvas, half };
}

/** A copy of a binary trait: what comes over the wire need not begin where numbers may. */
const array = (model, name, kind) => {
  const { buffer, byteOffset, byteLength } = model.get(name);
  return new kind(buffer.slice(byteOffset, byteOffset + byteLength));
};

/** A closed line through these corners. */
const outlined = corners => new Path2D(`M${corners.join("L")}Z`);

/** A new element with these properties (`ariaLabel` and the like are attributes too), inside of `parent`. */
function element(tag, className, parent, properties = {}) {
  const made = Object.assign(document.createElement(tag), { className }, properties);
  parent.append(made);
  return made;
}

/** @param {{model: Model, el: HTMLElement}} place */
function render({ model, el }) {
  el.classList.add("medn-maps");
  const bar = element("div", "medn-maps-bar", el), row = element("div", "medn-maps-row", el);
  const legend = element("div", "medn-legend", el), tip = element("div", "medn-tip", el, { hidden: true });
  let xy, styleOf, kept, selected, hidden, n, stamps = {}, version = 0, frame = 0, hovered = -1, resting = 0, tool = "lasso";
  let outline = null; // while it is drawn
  const look = model.get("look");
  const send = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const maps = model.get("titles").map((title, place) => {
    const canvas = element("canvas", "medn-map", row, { tabIndex: 0, role: "application" });
    return { title, place, canvas, ground: document.createElement("canvas"), view: look.home[place], drawn: "" };
  });
  const shown = k => kept[k] && !hidden.has(styleOf[k]);
  const clip = (map, k) => [xy[2 * (map.place * n + k)], xy[2 * (map.place * n + k) + 1]];

  /** Size of a map's plot, and from places to pixels and back. */
  const box = map => {
    const { clientWidth: wide, clientHeight: high } = map.canvas, [left, right, low, up] = map.view;
    const width = wide - 2 * MARGIN, height = high - TOP - MARGIN;
    const across = width / (right - left), down = height / (up - low);
    const pixel = ([x, y]) => [MARGIN + (x - left) * across, TOP + (up - y) * down];
    const place = (x, y) => [left + (x - MARGIN) / across, up - (y - TOP) / down];
    return { width, height, pixel, place };
  };

  const dot = (pen, map, { pixel }, k, scale) => {
    const [x, y] = pixel(clip(map, k)), style = styleOf[k];
    if (!Number.isFinite(x + y)) return;
    const { canvas, half } = stamps[`${style}/${scale}`] ??= stamp(model.get("styles")[style], look.size, scale);
    pen.drawImage(canvas, x - half / scale, y - half / scale, 2 * half / scale, 2 * half / scale);
  };

  const drawMap = map => {
    const { canvas, ground } = map, { clientWidth, clientHeight } = canvas, scale = window.devicePixelRatio || 1;
    if (!clientWidth) return;
    const size = [clientWidth, clientHeight].map(side => Math.round(side * scale)), places = box(map);
    const { width, height, pixel } = places, plot = new Path2D(`M${MARGIN} ${TOP}h${width}v${height}h${-width}Z`);
    const state = JSON.stringify([version, size, scale, map.view]);
    if (state !== map.drawn) {
      map.drawn = state;
      for (const one of [canvas, ground]) [one.width, one.height] = size;
      const pen = ground.getContext("2d");
      pen.scale(scale, scale);
      pen.globalAlpha = look.opacity;
      pen.clip(plot);
      for (let k = 0; k < n; k++) if (shown(k)) dot(pen, map, places, k, scale);
    }
    const pen = canvas.getContext("2d"), ink = getComputedStyle(el).color;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, clientWidth, clientHeight);
    Object.assign(pen, { lineWidth: 1, strokeStyle: ink, fillStyle: look.titles[map.place] || ink, globalAlpha: 0.3 });
    pen.strokeRect(MARGIN + 0.5, TOP + 0.5, width - 1, height - 1);
    pen.globalAlpha = 1;
    pen.font = "600 13px system-ui, sans-serif";
    pen.fillText(map.title, MARGIN, 15);
    pen.globalAlpha = selected.length ? UNSELECTED_OPACITY : 1;
    pen.drawImage(ground, 0, 0, clientWidth, clientHeight);
    pen.globalAlpha = 1;
    pen.save();
    pen.clip(plot);
    for (const k of selected) if (shown(k)) dot(pen, map, places, k, scale);
    pen.lineWidth = 3;
    for (const [k, colour] of [...model.get("rings"), ...(hovered < 0 ? [] : [[hovered, look.ring]])]) {
      pen.strokeStyle = colour;
      pen.beginPath();
      pen.arc(...pixel(clip(map, k)), 9.5, 0, 2 * Math.PI);
      pen.stroke();
    }
    if (outline?.map === map) {
      Object.assign(pen, { strokeStyle: look.ring, lineWidth: 1.5 });
      pen.setLineDash([4, 3]);
      pen.stroke(outlined(outline.corners.map(pixel)));
    }
    pen.restore();
    canvas.ariaLabel = `${map.title}: ${kept.reduce((sum, one) => sum + one, 0)} clips, ${selected.length} selected`;
    Object.assign(canvas.dataset, { clips: n, selected: selected.length, rings: model.get("rings").length, hovered });
  };

  const soon = () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => maps.forEach(drawMap));
  };

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
      clearTimeout(resting);
      resting = setTimeout(() => send("hovered", k), REST);
    }
    tip.innerHTML = model.get("texts")[k] ?? ""; // names from data are escaped in it
    tip.hidden = k < 0;
    if (tip.hidden) return;
    const [x, y] = box(map).pixel(clip(map, k)), left = map.canvas.offsetLeft + x;
    const over = left + 14 + tip.offsetWidth > el.clientWidth;
    tip.style.left = `${over ? left - 14 - tip.offsetWidth : left + 14}px`;
    tip.style.top = `${map.canvas.offsetTop + y + 10}px`;
  };

  const select = rows => {
    selected = Int32Array.from(rows);
    send("selected", new DataView(selected.buffer));
    soon();
  };

  /** Select what the outline holds; shift adds to what is selected, alt takes away. */
  const enclose = ({ map, corners }, { altKey, shiftKey }) => {
    const { pixel } = box(map), path = outlined(corners.map(pixel)), pen = new OffscreenCanvas(1, 1).getContext("2d");
    const there = new Set(altKey || shiftKey ? selected : []);
    for (let k = 0; k < n; k++) {
      if (!shown(k) || !pen.isPointInPath(path, ...pixel(clip(map, k)), "evenodd")) continue;
      if (altKey) there.delete(k);
      else there.add(k);
    }
    select([...there].sort((a, b) => a - b));
  };

  const zoom = (map, factor, x = map.canvas.clientWidth / 2, y = map.canvas.clientHeight / 2) => {
    const [cx, cy] = box(map).place(x, y);
    map.view = map.view.map((edge, k) => (k < 2 ? cx + (edge - cx) * factor : cy + (edge - cy) * factor));
    soon();
  };
  const reset = map => { map.view = look.home[map.place]; soon(); };
  const clear = () => select([]);
  // Counted, so that a second click on a point is heard.
  const click = k => {
    clearTimeout(resting); // the clip is sent already
    if (k >= 0) send("clicked", [k, model.get("clicked")[1] + 1]);
  };
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
    const on = (name, act, options) =>
      canvas.addEventListener(name, event => act(event, event.offsetX, event.offsetY), options);
    const stop = () => { start = outline = null; soon(); };
    on("pointerdown", (event, x, y) => {
      if (event.button !== 0) return;
      start = { x, y, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    on("pointermove", (event, x, y) => {
      if (!start) return hover(nearest(map, x, y), map);
      if (!start.moved && Math.hypot(x - start.x, y - start.y) < STILL) return;
      const { place } = box(map), [fromX, fromY] = place(start.x, start.y), [toX, toY] = place(x, y);
      if (tool === "pan") {
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
      if (start && !start.moved) click(nearest(map, x, y));
      else if (outline) enclose(outline, event);
      stop();
    });
    on("pointercancel", stop);
    on("pointerleave", () => { if (!start) hover(-1, map); });
    on("dblclick", () => { reset(map); clear(); });
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

  const button = (textContent, title, act) => element("button", "medn-tool", bar, {
    type: "button", textContent, title, ariaLabel: title, onclick: event => act(event.currentTarget),
  });
  const choose = made => {
    tool = made.textContent;
    tools.forEach(one => { one.ariaPressed = one === made; });
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

  const toggle = (name, k, { shiftKey, ctrlKey, metaKey }) => {
    if (ctrlKey || metaKey) return select([...styleOf.keys()].filter(row => styleOf[row] === k && shown(row)));
    const off = model.get("hidden"), others = model.get("styles").map(one => one.name).filter(one => one !== name);
    const isAlone = off.length === others.length && !off.includes(name);
    if (shiftKey) send("hidden", isAlone ? [] : others);
    else send("hidden", off.includes(name) ? off.filter(one => one !== name) : [...off, name]);
  };
  const listStyles = () => {
    const styles = model.get("styles"), counts = styles.map(() => 0);
    kept.forEach((one, k) => { counts[styleOf[k]] += one; });
    const focused = [...legend.children].indexOf(document.activeElement);
    legend.replaceChildren();
    element("span", "medn-legend-title", legend, { textContent: model.get("legend_title") });
    styles.forEach((style, k) => {
      if (!counts[k]) return;
      const entry = element("button", "medn-entry", legend, {
        type: "button", title: "Hide or show this category; shift: show it alone; ctrl (and space): select its clips",
        ariaPressed: !hidden.has(k), onclick: event => toggle(style.name, k, event),
      });
      const { canvas } = stamp(style, 10, 2);
      canvas.style.height = "13px";
      entry.append(canvas, `${style.name} ${counts[k]}`);
    });
    legend.children[focused]?.focus(); // the keyboard stays on the entry that it pressed
  };

  const marks = () => {
    selected = array(model, "selected", Int32Array);
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
  const grounds = ["style_of", "styles", "kept", "hidden", "legend_title"].map(name => [name, ground]);
  const events = [["selected", marks], ["rings", soon], ...grounds];
  for (const [name, act] of events) model.on(`change:${name}`, act);
  const watcher = new ResizeObserver(soon);
  watcher.observe(row);
  maps.forEach(listen);
  ground();

  return () => {
    watcher.disconnect();
    clearTimeout(resting);
    cancelAnimationFrame(frame);
    for (const [name, act] of events) model.off(`change:${name}`, act);
    el.replaceChildren();
  };
}

export default { render };
