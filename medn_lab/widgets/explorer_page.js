// The explorer as a page without a kernel: maps, the chosen clip and its confusable partner.

function start(page) {
  const at = id => document.getElementById(id);
  const maps = plainModel(page.maps), view = plainModel(page.view);
  let chosen = -1, partner = -1;
  const ids = page.clips.map(clip => clip.id);

  const count = values => [...values.reduce((all, value) => all.set(value, (all.get(value) ?? 0) + 1), new Map())]
    .sort((a, b) => b[1] - a[1]);
  const rows = name => {
    const data = maps.get(name);
    return new (name === "lit" ? Int32Array : Uint8Array)(
      data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
  };

  const describe = () => {
    const lit = [...rows("lit")], subjects = new Set(lit.map(row => page.clips[row].subject));
    const list = (title, values, most) => `${title}: ` + count(values).slice(0, most).map(([v, n]) => `${v} ${n}`).join(", ");
    at("selection").textContent = lit.length === 0
      ? "Nothing is selected. Draw a lasso in a map; hover or click a point to see the clip."
      : [`${lit.length} of ${ids.length} clips, ${subjects.size} subjects`,
        list("emotions", lit.map(row => page.clips[row].label), 8),
        list("AU sets", lit.map(row => page.clips[row].aus), 6)].join(". ") + ".";
  };

  const show = () => {
    const shown = [chosen, partner].filter(row => row >= 0);
    at("card-a").innerHTML = chosen < 0 ? "" : page.clips[chosen].card;
    at("card-b").innerHTML = partner < 0 ? "" : page.clips[partner].card;
    at("message").textContent = chosen < 0 ? "" : partner < 0
      ? (at("partner").checked ? "No confusable partner: no clip with the same known AUs has another emotion." : "")
      : `${ids[partner]} has the same AU set as ${ids[chosen]} and another emotion; of those it is the nearest.`;
    playClips(view, shown.map(row => page.clips[row]));
    maps.set("rings", shown.map((row, k) => [row, page.rings[k]]));
  };
  const choose = row => {
    const other = at("partner").checked ? page.clips[row].partner : -1;
    if (row === chosen && other === partner) return; // a click on the clip that a hover has shown
    [chosen, partner] = [row, other];
    show();
  };

  const colour = () => {
    const own = page.colourings[at("colour").value];
    maps.set("hidden", []);
    maps.set("styles", own.styles);
    maps.set("legend_title", own.title);
    maps.set("style_of", own.style_of);
  };
  const filter = () => {
    const kept = Uint8Array.from(page.clips, clip => (
      (!at("aus").value || clip.aus === at("aus").value) && (!at("subject").value || clip.subject === at("subject").value)));
    maps.set("kept", new DataView(kept.buffer));
    maps.set("lit", new DataView(Int32Array.from([...rows("lit")].filter(row => kept[row])).buffer));
    if (chosen >= 0 && !kept[chosen]) { chosen = partner = -1; show(); }
  };
  const fill = (id, options) => at(id).replaceChildren(...options.map(([text, value]) => new Option(text, value)));
  fill("colour", Object.entries(page.colourings).map(([key, { title }]) => [title, key]));
  for (const id of ["aus", "subject"]) {
    fill(id, [["all", ""], ...count(page.clips.map(clip => clip[id])).map(([value, n]) => [`${value} (${n})`, value])]);
    at(id).addEventListener("change", filter);
  }
  at("colour").value = page.colour_by;
  at("colour").addEventListener("change", colour);
  at("partner").addEventListener("change", () => { if (chosen >= 0) choose(chosen); });
  let resting = 0;
  maps.on("change:clicked", () => {
    clearTimeout(resting); // the hover before the click would load the same clip again
    choose(maps.get("clicked")[0]);
  });
  maps.on("change:hovered", () => {
    clearTimeout(resting);
    const row = maps.get("hovered");
    if (row >= 0 && row !== chosen) resting = setTimeout(() => choose(row), 160);
  });
  maps.on("change:lit", describe);
  BranchMaps.render({ model: maps, el: at("maps") });
  ClipView.render({ model: view, el: at("view") });
  describe();
}
