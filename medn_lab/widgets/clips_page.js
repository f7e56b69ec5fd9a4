// A list of clips or pairs as a page without a kernel: what is chosen in the list plays, with its cards.

function start(page) {
  const at = id => document.getElementById(id);
  const view = plainModel(page.view);
  const show = place => {
    const { rows, text } = page.items[place], clips = rows.map(row => page.clips[row]);
    ["a", "b"].forEach((side, k) => { at(`card-${side}`).innerHTML = clips[k]?.card ?? ""; });
    at("message").textContent = text;
    playClips(view, clips);
  };
  const list = () => {
    const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const left = page.items.map((item, place) => [item.text, place]).filter(
      ([text]) => words.every(word => text.toLowerCase().includes(word)));
    at("items").replaceChildren(...left.slice(0, 2000).map(([text, place]) => new Option(text, place)));
    at("count").textContent = `${left.length} of ${page.items.length}`;
    if (left.length) {
      at("items").selectedIndex = 0;
      show(left[0][1]);
    }
  };
  at("search").addEventListener("input", list);
  at("items").addEventListener("change", () => show(+at("items").value));
  ClipView.render({ model: view, el: at("view") });
  list();
}
