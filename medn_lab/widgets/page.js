// Pages without a kernel: maps with the chosen clip and its confusable partner, or a list whose clips play.

const at = id => document.getElementById(id);

/** A model with the methods that the components use. */
function plainModel(state) {
  const acts = {};
  return {
    get: name => state[name],
    set(name, value) {
      state[name] = value;
      (acts[`change:${name}`] ?? []).forEach(act => act());
    },
    on(event, act) { (acts[event] ??= []).push(act); },
    off() {},
    save_changes() {},
  };
}

/** Set several traits. */
const give = (model, traits) => Object.entries(traits).forEach(one => model.set(...one));

/** Show the cards of none, one or two clips and play them in step, on one scale. */
function playClips(view, clips) {
  const faces = clips.map(clip => clip.face).filter(Boolean), [{ moments = [], interval = 20 } = {}] = clips;
  const gain = Math.min(...faces.map(face => face.gain)), largest = Math.max(...faces.map(face => face.largest));
  ["a", "b"].forEach((side, k) => { at(`card-${side}`).innerHTML = clips[k]?.card ?? ""; });
  give(view, {
    moments, interval, frame: 0, faces: faces.map(face => ({ ...face, gain, largest })),
    notes: clips.filter(clip => !clip.face).map(clip => `The pictures of ${clip.id} are not in this file.`),
  });
}

const fill = (list, options) => list.replaceChildren(...options.map(([text, value]) => new Option(text, value)));

/** Values and how many there are of each, the most frequent first. */
const counts = values => [...values.reduce((all, value) => all.set(value, (all.get(value) ?? 0) + 1), new Map())]
  .sort((a, b) => b[1] - a[1]);

/** The explorer: maps, the chosen clip and its confusable partner. */
function showMaps(page, view) {
  const maps = plainModel(page.maps), { clips } = page;
  let chosen = -1, partner = -1;
  const selected = () => [...new Int32Array(maps.get("selected").buffer)];

  const describe = () => {
    const own = selected().map(row => clips[row]), subjects = counts(own.map(clip => clip.subject)).length;
    const list = (key, most) => counts(own.map(clip => clip[key])).slice(0, most).map(one => one.join(" ")).join(", ");
    at("selection").textContent = own.length === 0
      ? "No clip is selected. Draw a lasso in a map to select clips; click a point to play a clip."
      : `${own.length} of ${clips.length} clips are selected, of ${subjects} subjects. `
        + `Emotions: ${list("label", 8)}. AU sets: ${list("aus", 6)}.`;
  };
  const choose = row => {
    const paired = at("partner").checked, other = paired && row >= 0 ? page.partners[row] : -1;
    if (row === chosen && other === partner) return; // a click on the clip that a hover has shown
    [chosen, partner] = [row, other];
    const rows = [row, other].filter(one => one >= 0);
    const none = paired && row >= 0 ? "No other clip has the same known AUs and another emotion." : "";
    at("message").textContent = other < 0 ? none
      : `${clips[other].id} has the same AU set as ${clips[row].id} and another emotion. `
        + `Of all such clips it is the nearest on the ${page.space}.`;
    playClips(view, rows.map(one => clips[one]));
    maps.set("rings", rows.map((one, k) => [one, page.rings[k]]));
  };

  const passes = (clip, id) => !at(id).value || clip[id] === at(id).value;
  const filter = () => {
    const kept = Uint8Array.from(clips, clip => passes(clip, "aus") && passes(clip, "subject"));
    maps.set("kept", new DataView(kept.buffer));
    maps.set("selected", new DataView(Int32Array.from(selected().filter(row => kept[row])).buffer));
    if (chosen >= 0 && !kept[chosen]) choose(-1);
  };
  fill(at("colour"), Object.entries(page.colourings).map(([key, look]) => [look.legend_title, key]));
  for (const id of ["aus", "subject"]) {
    fill(at(id), [["all", ""], ...counts(clips.map(clip => clip[id])).map(([value, n]) => [`${value} (${n})`, value])]);
    at(id).addEventListener("change", filter);
  }
  at("colour").value = page.colour_by;
  at("colour").addEventListener("change", () => give(maps, { hidden: [], ...page.colourings[at("colour").value] }));
  at("partner").addEventListener("change", () => choose(chosen));
  maps.on("change:clicked", () => choose(maps.get("clicked")[0]));
  maps.on("change:hovered", () => { if (maps.get("hovered") >= 0) choose(maps.get("hovered")); });
  maps.on("change:selected", describe);
  BranchMaps.render({ model: maps, el: at("maps") });
  describe();
}

/** A list of clips or pairs: the entry that is chosen plays. */
function showList(page, view) {
  const clips = Object.fromEntries(page.clips.map(clip => [clip.id, clip]));
  const show = ([text, ...ids]) => {
    at("message").textContent = text;
    playClips(view, ids.map(id => clips[id]));
  };
  const list = () => {
    const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const left = page.items.map(([text], place) => [text, place])
      .filter(([text]) => words.every(word => text.toLowerCase().includes(word)));
    fill(at("items"), left.slice(0, 2000));
    at("count").textContent = `${left.length} of ${page.items.length}`;
    if (!left.length) return;
    at("items").selectedIndex = 0;
    show(page.items[left[0][1]]);
  };
  at("search").addEventListener("input", list);
  at("items").addEventListener("change", () => show(page.items[+at("items").value]));
  list();
}

const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));

/** Bytes that were written as {"b64": text} become DataViews again. */
const revive = (_, value) => (value?.b64 === undefined ? value : new DataView(bytes(value.b64).buffer));

const packed = new Blob([bytes(at("data").textContent.trim())]).stream().pipeThrough(new DecompressionStream("gzip"));
new Response(packed).text().then(text => {
  const page = JSON.parse(text, revive), view = plainModel(page.view);
  ClipView.render({ model: view, el: at("view") });
  (page.maps ? showMaps : showList)(page, view);
});
