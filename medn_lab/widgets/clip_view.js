// Clips that play in step: frames, motion magnified by warping along the flow, and overlays, all drawn in the page.

/**
 * @typedef {{data: DataView, width: number, height: number, scale: number}} Field  int8 values times `scale`
 * @typedef {{data: ArrayLike<number>, width: number, height: number, channels: number}} Raster  of interleaved channels
 * @typedef {{width: number, height: number, count: number, frames: DataView|null, course: number[],
 *   flow: Field|null, push: Field|null, arrows: number[][], gain: number, largest: number,
 *   texts: Object<string, string>,
 *   kept: {rate: number, grid: number, mask: DataView, text: string}[], heat: Object<string, Field & {text: string}>,
 * }} Face  `arrows` are x, y, dx, dy of the mean motion of a cell, in pixels of the flow
 */

const SHORTEST = 25; // milliseconds a frame
const TELL = 150; // milliseconds between two messages to the kernel while a clip plays
const MOST_KEPT = 64; // fields by which frames were pushed
const FOR = [196, 40, 28], AGAINST = [28, 84, 196];

/** A new element with these properties (`ariaLabel` and the like are attributes too), inside of `parent`. */
function element(tag, className, parent, properties = {}) {
  const made = Object.assign(document.createElement(tag), { className }, properties);
  parent?.append(made);
  return made;
}

/** A copy of bytes as numbers: what comes over the wire need not begin where numbers may. */
const typed = (kind, { buffer, byteOffset, byteLength }) => new kind(buffer.slice(byteOffset, byteOffset + byteLength));

/** A flow in pixels. */
const field = packed => packed
  && { ...packed, channels: 2, data: Float32Array.from(typed(Int8Array, packed.data), value => value * packed.scale) };

/** Bilinear value of one channel of a raster at (x, y); the border is repeated. */
function sample({ data, width, height, channels }, channel, x, y) {
  x = Math.min(Math.max(x, 0), width - 1);
  y = Math.min(Math.max(y, 0), height - 1);
  const left = Math.min(x | 0, width - 2), top = Math.min(y | 0, height - 2), fx = x - left, fy = y - top;
  const place = (top * width + left) * channels + channel, below = place + width * channels;
  return (data[place] * (1 - fx) + data[place + channels] * fx) * (1 - fy)
    + (data[below] * (1 - fx) + data[below + channels] * fx) * fy;
}

/** Where each point of a field came from when all are moved by `step` times the field: d(p) = step f(p - d(p)). */
function backwards(field, step) {
  let back = field.data.map(value => step * value);
  for (let turn = 0; turn < 8; turn++) {
    back = back.map((value, k) => {
      const here = k & ~1, x = here / 2 % field.width, y = here / 2 / field.width | 0;
      const moved = sample(field, k & 1, x - back[here], y - back[here + 1]);
      return 0.5 * value + 0.5 * step * moved; // half steps keep large factors calm
    });
  }
  return { ...field, data: back };
}

/** Call `act(x, y, k)` for each pixel of a picture of four channels, k being the place of its first value. */
function eachPixel({ width, height }, act) {
  for (let y = 0, k = 0; y < height; y++) for (let x = 0; x < width; x++, k += 4) act(x, y, k);
}

/** A frame with every point moved back along `back`, enlarged to `out`. */
function warp(frame, back, { data, width, height }) {
  const across = frame.width / width, down = frame.height / height;
  const toX = back.width / frame.width, toY = back.height / frame.height;
  for (let y = 0, k = 0; y < height; y++) { // no function a pixel: this runs at the screen's rate
    for (let x = 0; x < width; x++, k += 4) {
      const fx = (x + 0.5) * across, fy = (y + 0.5) * down, gx = fx * toX - 0.5, gy = fy * toY - 0.5;
      const fromX = fx - 0.5 - sample(back, 0, gx, gy) / toX, fromY = fy - 0.5 - sample(back, 1, gx, gy) / toY;
      for (let channel = 0; channel < 3; channel++) data[k + channel] = sample(frame, channel, fromX, fromY);
      data[k + 3] = 255;
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

  const play = element("button", "medn-tool medn-play", tools, {
    type: "button", onclick: () => set("playing", !model.get("playing")),
  });
  const now = element("span", "medn-now", tools);
  const labelled = (textContent, tag, name, properties) =>
    element(tag, `medn-${name}`, element("label", "medn-control", tools, { textContent }), properties);
  const magnify = labelled("magnify ×", "input", "magnify", {
    type: "range", min: 1, max: model.get("most"), step: 0.5, oninput: () => set("magnify", +magnify.value),
  });
  const factor = element("span", "medn-factor", magnify.parentElement);
  const speed = labelled("speed", "select", "speed", { onchange: () => set("speed", +speed.value) });
  speed.append(...[1, 2, 4, 8, 16, 32].map(part => new Option(part === 1 ? "real time" : `1/${part}`, 1 / part)));
  const loop = labelled("loop", "input", "loop", { type: "checkbox", onchange: () => set("loop", loop.checked) });
  const pick = place => { if (timer) set("playing", false); show(place, true); };
  slider.oninput = () => pick(+slider.value);
  el.addEventListener("keydown", event => event.stopPropagation()); // not Lab's keys

  const count = () => Math.max(1, ...faces.map(face => face.count));
  const interval = () => Math.max(SHORTEST, model.get("interval") / model.get("speed"));

  const step = () => {
    if (frame + 1 >= count() && !model.get("loop")) return set("playing", false);
    show((frame + 1) % count(), performance.now() - sent > TELL);
    timer = setTimeout(step, interval() * (frame + 1 >= count() ? 3 : 1)); // a pause shows where the loop begins
  };
  const run = () => {
    clearTimeout(timer);
    timer = 0;
    if (!model.get("playing")) return show(frame, true);
    if (frame + 1 >= count()) show(0, false);
    if (count() > 1) timer = setTimeout(step, interval());
    soon();
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
    overlays.replaceChildren(...choices.map(([traits, textContent, title]) => element("button", "medn-tool", null, {
      type: "button", textContent, title, onclick: () => Object.entries(traits).forEach(one => set(...one)),
      ariaPressed: Object.entries(traits).every(([name, value]) => model.get(name) === value),
    })));
    overlays.hidden = choices.length < 2 || !faces.length;
    speed.value = model.get("speed");
    loop.checked = model.get("loop");
    magnify.value = model.get("magnify");
    factor.textContent = Number(model.get("magnify")).toFixed(1);
    fillCourse();
    for (const one of [slider, axis, tools]) one.hidden = !faces.some(face => face.strip);
    soon();
  };

  // Drawing ------------------------------------------------------------------------------------------------------------

  const base = (face, place) => {
    const { out } = face, factor = model.get("magnify"), move = (factor - 1) * (face.course[place] ?? 0);
    if (!face.strip) return out.data.fill(205);
    if (face.push && Math.abs(move) > 1e-3) return warp(face.still(place), face.back(move), out);
    const pen = face.canvas.getContext("2d", { willReadFrequently: true });
    pen.imageSmoothingQuality = "high";
    const enlarged = from => {
      pen.drawImage(face.strip, 0, from * face.height, face.width, face.height, 0, 0, out.width, out.height);
      return pen.getImageData(0, 0, out.width, out.height).data;
    };
    out.data.set(enlarged(place));
    if (factor === 1 || face.push) return;
    const onset = enlarged(0); // without flow, differences from the onset are amplified
    out.data.set(out.data.map((value, k) => onset[k] + factor * (value - onset[k])));
  };

  /** The cell of a grid over the face in which a pixel lies. */
  const cellAt = (x, y, out, width, height) => (y * height / out.height | 0) * width + (x * width / out.width | 0);
  const grey = (data, k) => (data[k] + data[k + 1] + data[k + 2]) / 3;
  const mix = (data, k, ground, colour, cover) => {
    for (let c = 0; c < 3; c++) data[k + c] = ground * (1 - cover) + colour[c] * cover;
  };

  const paint = {
    magnitude({ out, flow, largest }) {
      if (!flow) return;
      const scale = model.get("scale"), across = flow.width / out.width, down = flow.height / out.height;
      eachPixel(out, (x, y, k) => {
        const [dx, dy] = [0, 1].map(c => sample(flow, c, (x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5));
        const share = Math.min(Math.hypot(dx, dy) / Math.max(largest, 1e-6), 1);
        const colour = scale[Math.round(share * (scale.length - 1))];
        mix(out.data, k, 0.75 * grey(out.data, k), colour, 0.8 * Math.sqrt(share));
      });
    },
    kept({ out }, { grid, mask }) {
      const kept = typed(Uint8Array, mask);
      eachPixel(out, (x, y, k) => {
        if (!kept[cellAt(x, y, out, grid, grid)]) out.data.fill(14 + 0.32 * grey(out.data, k), k, k + 3);
      });
    },
    attribution({ out }, { data, width, height }, place) {
      const values = typed(Int8Array, data), first = values.length > width * height ? place * width * height : 0;
      eachPixel(out, (x, y, k) => {
        const share = values[first + cellAt(x, y, out, width, height)] / 127;
        mix(out.data, k, 60 + 0.72 * grey(out.data, k), share >= 0 ? FOR : AGAINST, 0.9 * Math.abs(share) ** 0.7);
      });
    },
  };
  /** The map of a face that the overlay draws: the kept tokens at the keep rate, the attribution to the input. */
  const drawnMap = ({ kept, heat }) => ({
    kept: kept.find(one => one.rate === model.get("keep_rate")), attribution: heat[model.get("attributed")],
  })[model.get("overlay")];

  const drawArrows = ({ flow, out, canvas, gain, arrows }) => {
    if (!flow) return;
    const pen = canvas.getContext("2d"), scale = out.width / flow.width, unit = Math.max(out.width, out.height) / 320;
    const path = new Path2D(arrows.map(([x, y, dx, dy]) => {
      const [x0, y0, x1, y1] = [x, y, x + gain * dx, y + gain * dy].map(value => value * scale);
      const head = Math.min(0.4 * Math.hypot(x1 - x0, y1 - y0), 6 * unit), angle = Math.atan2(y1 - y0, x1 - x0);
      const barb = turn => [x1 + head * Math.cos(angle + turn), y1 + head * Math.sin(angle + turn)];
      return `M${[x0, y0]}L${[x1, y1]}L${barb(2.6)}M${[x1, y1]}L${barb(-2.6)}`;
    }).join(""));
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
      element("div", "medn-note", course, { textContent: `${title}; the largest bar is ${+largest.toPrecision(2)}` });
      const bars = element("div", "medn-course", course);
      own.forEach((value, place) => {
        const title = `${model.get("moments")[place]?.text ?? place + 1}: ${value.toPrecision(3)}`;
        const press = { type: "button", value: place, onclick: () => pick(place) };
        const bar = element("button", "medn-bar", bars, { ...press, title, ariaLabel: title });
        const kind = value < 0 ? "medn-below" : withSign ? "medn-above" : "medn-above medn-unsigned";
        element("span", kind, bar).style.height = `${50 * Math.abs(value) / largest}%`;
      });
    }
  };

  const draw = () => {
    due = 0;
    const overlay = model.get("overlay");
    for (const face of faces) {
      const place = Math.min(frame, face.count - 1);
      base(face, place);
      const map = drawnMap(face);
      if (overlay === "magnitude" || map) paint[overlay](face, map, place);
      face.canvas.getContext("2d").putImageData(face.out, 0, 0);
      if (overlay === "arrows") drawArrows(face);
      Object.assign(face.canvas.dataset, { frame: place, magnify: model.get("magnify"), overlay });
    }
    slider.max = count() - 1;
    slider.value = frame;
    now.textContent = model.get("moments")[frame]?.text ?? "";
    slider.ariaValueText = now.textContent;
    [play.textContent, play.ariaLabel] = model.get("playing") ? ["❚❚", "Pause"] : ["▶", "Play"];
    const texts = faces.map(face => (drawnMap(face)?.text ?? face.texts[overlay])
      ?.replace("{gain}", face.gain).replace("{largest}", face.largest.toFixed(2)));
    const sentences = new Set([...texts, ...model.get("notes")].filter(Boolean));
    reading.replaceChildren(...[...sentences].map(textContent => element("div", "medn-note", null, { textContent })));
    course.querySelectorAll(".medn-bar").forEach(bar => bar.classList.toggle("medn-now-bar", +bar.value === frame));
    el.dataset.frame = frame;
  };
  const soon = () => { due ||= requestAnimationFrame(draw); };

  // Clips --------------------------------------------------------------------------------------------------------------

  /** Decode a clip's strip of frames and unpack its fields. */
  const open = async packed => {
    const { width: w, height: h } = packed, ratio = model.get("size") / Math.max(w, h);
    const [width, height] = [w, h].map(side => Math.round(side * ratio));
    const canvas = element("canvas", "medn-face-canvas", null, { width, height, role: "img", ariaLabel: "clip" });
    const file = packed.frames && new Blob([typed(Uint8Array, packed.frames)], { type: "image/webp" });
    const strip = file && await createImageBitmap(file), push = field(packed.push), moved = new Map();
    const pen = new OffscreenCanvas(w, h * packed.count).getContext("2d");
    if (strip) pen.drawImage(strip, 0, 0);
    const { data } = pen.getImageData(0, 0, w, h * packed.count);
    return {
      ...packed, canvas, strip, push, flow: field(packed.flow), out: new ImageData(width, height),
      still: place => ({ data: data.subarray(4 * w * h * place), width: w, height: h, channels: 4 }),
      back(move) {
        if (moved.size > MOST_KEPT) moved.clear();
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
    row.replaceChildren(...faces.map(face => face.canvas));
    axis.replaceChildren(...model.get("moments").flatMap(({ name }, place) => {
      const style = `left: ${100 * place / Math.max(count() - 1, 1)}%`;
      return name ? [element("span", "medn-mark", null, { textContent: name, style })] : [];
    }));
    frame = Math.min(model.get("frame"), count() - 1);
    fillControls();
    if (model.get("playing")) run();
  };

  const follow = () => { if (model.get("frame") !== frame && !timer) show(model.get("frame"), false); };
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
