// What every written page shares: plain models, packed data. `start(page)` is the page's own.

/** A model with the methods that the components use. */
function plainModel(state) {
  const acts = {};
  return {
    get: name => state[name],
    set(name, value) {
      state[name] = value;
      (acts[`change:${name}`] ?? []).forEach(act => act());
    },
    save_changes() {},
    on(event, act) { (acts[event] ??= []).push(act); },
    off() {},
  };
}

/** Play one or two clips in step, on one scale. */
function playClips(view, clips) {
  const faces = clips.map(clip => clip.face).filter(Boolean);
  const scale = {
    gain: Math.min(...faces.map(face => face.gain)), largest: Math.max(...faces.map(face => face.largest)),
  };
  view.set("moments", clips[0]?.moments ?? []);
  view.set("interval", clips[0]?.interval ?? 20);
  view.set("notes", clips.filter(clip => !clip.face).map(clip => `The pictures of ${clip.id} are not in this file.`));
  view.set("frame", 0);
  view.set("faces", faces.map(face => ({ ...face, ...scale })));
}

/** Bytes that were written as {"b64": text} become DataViews again. */
const revive = (_, value) => (value && value.b64 !== undefined
  ? new DataView(Uint8Array.from(atob(value.b64), letter => letter.charCodeAt(0)).buffer) : value);

const packed = Uint8Array.from(atob(document.getElementById("data").textContent.trim()), letter => letter.charCodeAt(0));
new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text()
  .then(text => start(JSON.parse(text, revive)));
