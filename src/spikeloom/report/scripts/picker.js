// The neuron picker, and figures saved from the page.
function startPicker(found) {
  const node = id => document.getElementById(id), list = node("neuron-list"), find = node("neuron-find");
  let chosen = 0;
  const words = each => Object.entries(each.row).map(([key, value]) => `${key} ${value}`).join(", ");
  function fill() {
    const wanted = find.value.trim().toLowerCase();
    list.replaceChildren();
    found.neurons.forEach((each, i) => {
      if (wanted && String(each.neuron + 1) !== wanted && !words(each).toLowerCase().includes(wanted)) return;
      const option = document.createElement("option");
      option.value = i;
      option.textContent = `neuron ${each.neuron + 1}` + (words(each) ? `: ${words(each)}` : "") + ` (${each.rate_hz[0]} ${found.units.rate})`;
      list.append(option);
    });
    if (list.options.length && ![...list.options].some(option => Number(option.value) === chosen)) show(Number(list.options[0].value));
    list.value = chosen;
    node("neuron-none").hidden = list.options.length > 0;
  }
  function show(i) {
    chosen = i;
    const each = found.neurons[i];
    list.value = i;
    node("neuron-rates").textContent = found.axes.sets.map((name, k) => `${name} ${each.rate_hz[k]} ${found.units.rate}`).join(", ");
    node("neuron-charts").replaceChildren(...portraitCharts(found.axes, each, found.units).map(([title, draw]) => {
      const place = document.createElement("div"), part = document.createElement("div"), head = document.createElement("h4");
      head.textContent = title;
      part.append(head, place);
      requestAnimationFrame(() => mount(place, draw));
      return part;
    }));
    history.replaceState(null, "", `#neuron-${each.neuron + 1}`);
  }
  const step = by => show((chosen + by + found.neurons.length) % found.neurons.length);
  list.addEventListener("change", () => show(Number(list.value)));
  find.addEventListener("input", fill);
  node("neuron-before").addEventListener("click", () => step(-1));
  node("neuron-next").addEventListener("click", () => step(1));
  const asked = /^#neuron-(\d+)$/.exec(location.hash), here = asked ? found.neurons.findIndex(each => each.neuron + 1 === Number(asked[1])) : -1;
  const address = location.hash;
  show(here < 0 ? found.neurons.reduce((best, each, i) => each.rate_hz[0] > found.neurons[best].rate_hz[0] ? i : best, 0) : here);
  if (here < 0) history.replaceState(null, "", address || location.pathname);
  fill();
}
for (const button of document.querySelectorAll("button[data-save]")) button.addEventListener("click", async () => {
  const figure = button.closest("figure"), image = figure.querySelector("img"), kind = button.dataset.save, name = `${figure.id}.${kind}`;
  const [head, content] = image.src.split(","), own = head.includes("svg") ? "svg" : "png";
  if (kind === own) { download(Uint8Array.from(atob(content), letter => letter.charCodeAt(0)), name, `image/${kind}`); return; }
  const canvas = document.createElement("canvas"), scale = 2;
  canvas.width = image.naturalWidth * scale; canvas.height = image.naturalHeight * scale;
  const g = canvas.getContext("2d");
  g.fillStyle = "#fff"; g.fillRect(0, 0, canvas.width, canvas.height);
  g.drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob(blob => download(blob, name, "image/png"), "image/png");
});
