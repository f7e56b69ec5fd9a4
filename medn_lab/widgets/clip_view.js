// Clips that play in step: frames, motion magnified by warping along the flow, and overlays, all drawn in the page.

/**
 * @typedef {{data: DataView, width: number, height: number, scale: number}} Field  int8 values times `scale`
 * @typedef {{width: number, height: number, count: number, frames: DataView|null, course: number[],
 *   flow: Field|null, push: Field|null, arrows: number[][], gain: number, largest: number,
 *   texts: Object<string, string>,
 *   kept: {rate: number, grid: number, mask: DataView, text: string}[], heat: Object<string, Field & {text: string}>,
 * }} Face  `arrows` are x, y, dx, dy of the mean motion of a cell, in pixels of the flow
 */

const SPEEDS = new Map([[1, "real time"], ...[2, 4, 8, 16, 32].map(part => [1 / part, `1/${part}`])]);
const PARTS = { frames: "each frame", flow: "the flow" };
const CHOICES = { // what can be chosen of an overlay: the trait of the options, that of the choice, and their titles
  kept: { list: "keep_rates", trait: "keep_rate", title: rate => `keep rate ${rate}` },
  attribution: { list: "parts", trait: "attributed", title: part => PARTS[part] ?? part },
};
const SHORTEST = 25; // milliseconds a frame
const TELL = 150; // milliseconds between two messages to the kernel while a clip plays
const FOR = [196, 40, 28], AGAINST = [28, 84, 196];

/** A new element with these properties (`ariaLabel` and the like are attributes too), inside of `parent`. */
function element(tag, className, parent, properties = {}) {
  const made = Object.assign(document.createElement(tag), { className }, properties);
  parent?.append(made);
  return made;
}

const signed = ({ data }) => new Int8Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
const unsigned = data => new Uint8Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));

/** Two interleaved channels of a flow in pixels, as floats. */
function field(packed) {
  if (!packed) return null;
  const values = Float32Array.from(signed(packed), value => value * packed.scale);
  return { values, width: packed.width, height: packed.height };
}

/** Bilinear value of one channel at (x, y); the border is repeated. */
function sample(values, width, height, channels, channel, x, y) {
  x = Math.min(Math.max(x, 0), width - 1);
  y = Math.min(Math.max(y, 0), height - 1);
  const left = Math.min(x | 0, width - 2), top = Math.min(y | 0, height - 2), fx = x - left, fy = y - top;
  const place = (top * width + left) * channels + channel, below = place + width * channels;
  return (values[place] * (1 - fx) + values[place + channels] * fx) * (1 - fy)
    + (values[below] * (1 - fx) + values[below + channels] * fx) * fy;
}

/** Where each point of a field came from when all are moved by `step` times the field: d(p) = step f(p - d(p)). */
function backwards({ values, width, height }, step) {
  let back = Float32Array.from(values, value => step * value);
  for (let turn = 0; turn < 8; turn++) {
    const next = new Float32Array(back.length);
    for (let y = 0, k = 0; y < height; y++) {
      for (let x = 0; x < width; x++, k += 2) {
        for (const channel of [0, 1]) {
          const moved = sample(values, width, height, 2, channel, x - back[k], y - back[k + 1]);
          next[k + channel] = 0.5 * back[k + channel] + 0.5 * step * moved; // half steps keep large factors calm
        }
      }
    }
    back = next;
  }
  return { values: back, width, height };
}

/** A frame with every point moved back along `back`, enlarged to `out`. */
function warp(frame, back, out) {
  const { width: w, height: h, data } = frame, across = w / out.width, down = h / out.height;
  const toX = back.width / w, toY = back.height / h;
  for (let y = 0, k = 0; y < out.height; y++) {
    const sy = (y + 0.5) * down - 0.5;
    for (let x = 0; x < out.width; x++, k += 4) {
      const sx = (x + 0.5) * across - 0.5, gx = (sx + 0.5) * toX - 0.5, gy = (sy + 0.5) * toY - 0.5;
      const fromX = sx - sample(back.values, back.width, back.height, 2, 0, gx, gy) / toX;
      const fromY = sy - sample(back.values, back.width, back.height, 2, 1, gx, gy) / toY;
      for (let channel = 0; channel < 3; channel++) {
        out.data[k + channel] = sample(data, w, h, 4, channel, fromX, fromY);
      }
      out.data[k + 3] = 255;
    }
  }
}

/** @param {{model: object, el: HTMLElement}} place */
function render({ model, el }) {
  el.classList.add("medn-clip-view");
  const row = element("div", "medn-faces-row", el);
  const slider = element("input", "medn-frames", el, { type: "range", min: 0, ariaLabel: "Frame" });
  const axis = element("div", "medn-axis-names", el);
  const tools = element("div", "medn-tools", el), overlays = element("div", "medn-tools medn-overlays", el);
  const course = element("div", "medn-courses", el), reading = element("div", "medn-reading", el);
  let faces = [], frame = 0, timer = 0, due = 0, sent = 0;

  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };

  // Controls -----------------------------------------------------------------------------------------------------------

  const play = element("button", "medn-tool medn-play", tools, { type: "button" });
  const now = element("span", "medn-now", tools);
  const labelled = (textContent, tag, className, properties) =>
    element(tag, className, element("label", "medn-control", tools, { textContent }), properties);
  const range = { type: "range", min: 1, max: model.get("most"), step: 0.5 };
  const magnify = labelled("magnify ×", "input", "medn-magnify", range);
  const factor = element("span", "medn-factor", magnify.parentElement);
  const speed = labelled("speed", "select", "medn-speed");
  const loop = labelled("loop", "input", "medn-loop", { type: "checkbox" });
  const which = element("select", "medn-which", null);

  const count = () => Math.max(1, ...faces.map(face => face.count));
  const interval = () => Math.max(SHORTEST, model.get("interval") / model.get("speed"));

  const stop = () => {
    clearTimeout(timer);
    timer = 0;
    if (model.get("playing")) set("playing", false);
    show(frame, true);
  };
  const step = () => {
    if (frame + 1 >= count() && !model.get("loop")) return stop();
    show((frame + 1) % count(), performance.now() - sent > TELL);
    timer = setTimeout(step, interval() * (frame + 1 >= count() ? 3 : 1)); // a pause shows where the loop begins
  };
  const start = () => {
    if (timer || count() < 2) return;
    if (frame + 1 >= count()) show(0, false);
    timer = setTimeout(step, interval());
  };

  /** Show a frame; the kernel hears of it where `tell` is true. */
  const show = (place, tell) => {
    frame = Math.min(Math.max(place, 0), count() - 1);
    if (tell && model.get("frame") !== frame) {
      sent = performance.now();
      set("frame", frame);
    }
    soon();
  };

  const fillControls = () => {
    const choices = model.get("overlays");
    overlays.replaceChildren(...choices.map(([key, textContent, title]) => element("button", "medn-tool", null, {
      type: "button", textContent, title, ariaPressed: key === model.get("overlay"), onclick: () => set("overlay", key),
    })));
    overlays.hidden = choices.length < 2;
    const { list, trait, title } = CHOICES[model.get("overlay")] ?? {}, options = list ? model.get(list) : [];
    which.replaceChildren(...options.map(value => new Option(title(value), value)));
    which.value = String(model.get(trait ?? "attributed"));
    if (options.length > 1) overlays.append(which);
    const own = model.get("speed"), speeds = new Map(SPEEDS).set(own, SPEEDS.get(own) ?? String(own));
    speed.replaceChildren(...[...speeds].map(([value, name]) => new Option(name, value)));
    speed.value = String(own);
    loop.checked = model.get("loop");
    magnify.value = model.get("magnify");
    factor.textContent = Number(model.get("magnify")).toFixed(1);
    fillCourse();
    const still = !faces.some(face => face.strip);
    for (const one of [slider, axis, tools]) one.hidden = still;
    soon();
  };

  play.addEventListener("click", () => set("playing", !model.get("playing")));
  slider.addEventListener("input", () => { if (timer) stop(); show(+slider.value, true); });
  magnify.addEventListener("input", () => set("magnify", +magnify.value));
  speed.addEventListener("change", () => set("speed", +speed.value));
  loop.addEventListener("change", () => set("loop", loop.checked));
  which.addEventListener("change", () => {
    const { list, trait } = CHOICES[model.get("overlay")];
    set(trait, model.get(list)[which.selectedIndex]);
  });
  el.addEventListener("keydown", event => event.stopPropagation()); // not Lab's keys

  // Drawing ------------------------------------------------------------------------------------------------------------

  const base = (face, place) => {
    const { out } = face, course = face.course[place] ?? 0, factor = model.get("magnify"), still = face.still(place);
    const move = (factor - 1) * course;
    if (!still) return out.data.fill(205);
    if (face.push && Math.abs(move) > 1e-3) return warp(still, face.back(move), out);
    const pen = face.canvas.getContext("2d", { willReadFrequently: true });
    pen.imageSmoothingQuality = "high";
    pen.drawImage(face.strip, 0, place * face.height, face.width, face.height, 0, 0, out.width, out.height);
    out.data.set(pen.getImageData(0, 0, out.width, out.height).data);
    if (factor > 1 && !face.push) { // without flow, differences from the onset are amplified
      pen.drawImage(face.strip, 0, 0, face.width, face.height, 0, 0, out.width, out.height);
      const onset = pen.getImageData(0, 0, out.width, out.height).data;
      for (let k = 0; k < onset.length; k++) {
        if (k % 4 < 3) out.data[k] = onset[k] + factor * (out.data[k] - onset[k]);
      }
    }
  };

  const eachPixel = (out, act) => {
    for (let y = 0, k = 0; y < out.height; y++) for (let x = 0; x < out.width; x++, k += 4) act(x, y, k);
  };
  const grey = (data, k) => (data[k] + data[k + 1] + data[k + 2]) / 3;
  const mix = (data, k, ground, colour, cover) => {
    for (let c = 0; c < 3; c++) data[k + c] = ground * (1 - cover) + colour[c] * cover;
  };

  const paint = {
    magnitude(face) {
      const { out, flow } = face, stops = model.get("scale");
      if (!flow) return;
      eachPixel(out, (x, y, k) => {
        const gx = (x + 0.5) * flow.width / out.width - 0.5, gy = (y + 0.5) * flow.height / out.height - 0.5;
        const [dx, dy] = [0, 1].map(c => sample(flow.values, flow.width, flow.height, 2, c, gx, gy));
        const share = Math.min(Math.hypot(dx, dy) / Math.max(face.largest, 1e-6), 1);
        const upper = Math.max(stops.findIndex(([stop]) => stop >= share), 1);
        const [[low, from], [high, to]] = stops.slice(upper - 1), part = (share - low) / (high - low);
        const colour = from.map((value, c) => value + (to[c] - value) * part);
        mix(out.data, k, 0.75 * grey(out.data, k), colour, 0.8 * Math.sqrt(share));
      });
    },
    kept(face) {
      const scale = face.kept.find(one => one.rate === model.get("keep_rate"));
      if (!scale) return;
      const mask = unsigned(scale.mask), { out } = face;
      eachPixel(out, (x, y, k) => {
        const cell = (y * scale.grid / out.height | 0) * scale.grid + (x * scale.grid / out.width | 0);
        if (!mask[cell]) out.data.fill(14 + 0.32 * grey(out.data, k), k, k + 3);
      });
    },
    attribution(face, place) {
      const heat = face.heat[model.get("attributed")];
      if (!heat) return;
      const values = signed(heat), { out } = face, size = heat.width * heat.height;
      const first = values.length > size ? place * size : 0;
      eachPixel(out, (x, y, k) => {
        const cell = (y * heat.height / out.height | 0) * heat.width + (x * heat.width / out.width | 0);
        const share = values[first + cell] / 127;
        mix(out.data, k, 60 + 0.72 * grey(out.data, k), share >= 0 ? FOR : AGAINST, 0.9 * Math.abs(share) ** 0.7);
      });
    },
  };

  const drawArrows = ({ flow, out, canvas, gain, arrows }) => {
    if (!flow) return;
    const pen = canvas.getContext("2d"), scale = out.width / flow.width, unit = Math.max(out.width, out.height) / 320;
    const path = new Path2D();
    for (const [x, y, dx, dy] of arrows) {
      const [x0, y0, x1, y1] = [x, y, x + gain * dx, y + gain * dy].map(value => value * scale);
      const head = Math.min(0.4 * Math.hypot(x1 - x0, y1 - y0), 6 * unit), angle = Math.atan2(y1 - y0, x1 - x0);
      path.moveTo(x0, y0);
      path.lineTo(x1, y1);
      for (const turn of [2.6, -2.6]) {
        path.moveTo(x1, y1);
        path.lineTo(x1 + head * Math.cos(angle + turn), y1 + head * Math.sin(angle + turn));
      }
    }
    for (const [strokeStyle, width] of [["rgb(20,16,32)", 3.3], ["rgb(255,226,64)", 1.5]]) {
      Object.assign(pen, { strokeStyle, lineWidth: width * unit, lineCap: "round", lineJoin: "round" });
      pen.stroke(path);
    }
  };

  /** The sum of the map over each frame, a bar a frame in a row a clip; a press shows the frame. */
  const fillCourse = () => {
    course.replaceChildren();
    if (model.get("overlay") !== "attribution") return;
    const maps = faces.map(face => face.heat.frames).filter(map => map?.course.length > 1);
    const largest = Math.max(1e-30, ...maps.flatMap(map => map.course).map(Math.abs));
    for (const { course: own, signed: withSign } of maps) {
      const title = withSign ? "Attribution per frame" : "Attribution per frame, absolute values";
      element("div", "medn-note", course, { textContent: `${title}; the largest bar is ${largest.toPrecision(2)}` });
      const bars = element("div", "medn-course", course);
      own.forEach((value, place) => {
        const title = `${model.get("moments")[place]?.text ?? place + 1}: ${value.toPrecision(3)}`;
        const onclick = () => { if (timer) stop(); show(place, true); };
        const bar = element("button", "medn-bar", bars, { type: "button", title, ariaLabel: title, onclick });
        const kind = value < 0 ? "medn-below" : withSign ? "medn-above" : "medn-above medn-unsigned";
        element("span", kind, bar).style.height = `${50 * Math.abs(value) / largest}%`;
      });
    }
  };

  const text = ({ kept, heat, texts }) => {
    const overlay = model.get("overlay");
    if (overlay === "attribution") return heat[model.get("attributed")]?.text ?? texts.attribution;
    return (overlay === "kept" && kept.find(one => one.rate === model.get("keep_rate"))?.text) || texts[overlay];
  };

  const draw = () => {
    due = 0;
    const overlay = model.get("overlay");
    for (const face of faces) {
      const place = Math.min(frame, face.count - 1);
      base(face, place);
      paint[overlay]?.(face, place);
      face.canvas.getContext("2d").putImageData(face.out, 0, 0);
      if (overlay === "arrows") drawArrows(face);
      Object.assign(face.canvas.dataset, { frame: place, magnify: model.get("magnify"), overlay });
    }
    slider.max = count() - 1;
    slider.value = frame;
    now.textContent = model.get("moments")[frame]?.text ?? "";
    slider.ariaValueText = now.textContent;
    [play.textContent, play.ariaLabel] = model.get("playing") ? ["❚❚", "Pause"] : ["▶", "Play"];
    const sentences = new Set([...faces.map(text), ...model.get("notes")].filter(Boolean));
    reading.replaceChildren(...[...sentences].map(textContent => element("div", "medn-note", null, { textContent })));
    for (const bars of course.querySelectorAll(".medn-course")) {
      [...bars.children].forEach((bar, place) => bar.classList.toggle("medn-now-bar", place === frame));
    }
    el.dataset.frame = frame;
  };
  const soon = () => { due ||= requestAnimationFrame(draw); };

  // Clips --------------------------------------------------------------------------------------------------------------

  /** Decode a clip's strip of frames and unpack its fields. */
  const open = async packed => {
    const box = element("figure", "medn-face", null);
    const ratio = model.get("size") / Math.max(packed.width, packed.height);
    const [width, height] = [packed.width, packed.height].map(side => Math.round(side * ratio));
    const canvas = element("canvas", "medn-face-canvas", box, { width, height, role: "img", ariaLabel: "clip" });
    canvas.style.width = `${width}px`;
    const strip = packed.frames && await createImageBitmap(new Blob([unsigned(packed.frames)], { type: "image/webp" }));
    const stills = new Map(), moved = new Map(), push = field(packed.push);
    return {
      ...packed, box, canvas, strip, push, flow: field(packed.flow), out: new ImageData(width, height),
      still(place) {
        if (strip && !stills.has(place)) {
          const one = new OffscreenCanvas(packed.width, packed.height).getContext("2d");
          one.drawImage(strip, 0, -place * packed.height);
          stills.set(place, one.getImageData(0, 0, packed.width, packed.height));
        }
        return stills.get(place) ?? null;
      },
      back(move) {
        if (moved.size > 64) moved.clear();
        if (!moved.has(move)) moved.set(move, backwards(push, move));
        return moved.get(move);
      },
    };
  };

  let loads = 0;
  const load = async () => {
    const turn = ++loads, opened = await Promise.all(model.get("faces").map(open));
    if (turn !== loads) return; // other clips came meanwhile
    faces = opened;
    row.replaceChildren(...faces.map(face => face.box));
    axis.replaceChildren(...model.get("moments").flatMap(({ name }, place) => {
      if (!name) return [];
      const mark = element("span", "medn-mark", null, { textContent: name });
      mark.style.left = `${100 * place / Math.max(count() - 1, 1)}%`;
      return [mark];
    }));
    frame = Math.min(model.get("frame"), count() - 1);
    fillControls();
    if (model.get("playing")) start();
  };

  const follow = () => { if (model.get("frame") !== frame && !timer) show(model.get("frame"), false); };
  const run = () => { (model.get("playing") ? start : stop)(); soon(); };
  const controls = ["magnify", "overlay", "keep_rate", "attributed", "speed", "loop"].map(name => [name, fillControls]);
  const events = [["faces", load], ["frame", follow], ["playing", run], ["notes", soon], ...controls];
  for (const [name, act] of events) model.on(`change:${name}`, act);
  load();

  return () => {
    clearTimeout(timer);
    cancelAnimationFrame(due);
    loads += 1;
    for (const [name, act] of events) model.off(`change:${name}`, act);
    el.replaceChildren();
  };
}

export default { render };
