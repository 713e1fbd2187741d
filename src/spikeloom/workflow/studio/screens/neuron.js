// A neuron: everything about one, found by its number, name, area or quality.
const portraits = {};
function neuronScreen() {
  return h("div", {}, h("h1", {}, "A neuron"), h("p", {class: "lead"}, "The same neuron in held-out trials, in generated ones of the same conditions, and in other recorded trials: the noise floor."),
    h("div", {class: "columns list-first"},
      h("div", {class: "card"}, h("input", {type: "search", id: "find", placeholder: "number, id, area, quality", "aria-label": "Find a neuron", style: "width:100%", oninput: listNeurons}), h("div", {class: "list", id: "list"})),
      h("div", {class: "stack"}, h("div", {class: "card"}, h("div", {class: "row", style: "justify-content:space-between"}, h("h2", {id: "who"}), h("div", {class: "row"}, h("button", {"aria-label": "the neuron before", onclick: () => step(-1)}, "‹"), h("button", {"aria-label": "the next neuron", onclick: () => step(1)}, "›"))),
        h("p", {class: "key small"}, h("span", {}, h("i", {class: "of-real"}), "held-out real"), h("span", {}, h("i", {class: "of-generated"}), "generated"), h("span", {}, h("i", {class: "of-floor"}), "other real")), h("div", {class: "numbers", id: "neuronNumbers"})),
        h("div", {class: "two", id: "portrait"}))));
}
function step(by) { choose((state.neuron + by + run().neurons) % run().neurons); }
const wordsOf = neuron => Object.entries(run().table[neuron] || {}).filter(([, value]) => value !== "nan").map(([key, value]) => `${key} ${value}`).join(", ");
function listNeurons() {
  const wanted = $("find").value.trim().toLowerCase(), all = Array.from({length: run().neurons}, (_, i) => i);
  const found = all.filter(i => !wanted || String(i + 1) === wanted || wordsOf(i).toLowerCase().includes(wanted)).slice(0, 300);
  $("list").replaceChildren(...found.map(i => h("button", {"aria-current": String(i === state.neuron), onclick: () => choose(i)}, h("span", {}, String(i + 1)), h("span", {class: "soft"}, wordsOf(i)), h("span", {}, number(run().mean_hz[i])))));
  if (!found.length) $("list").append(quiet("no neuron of that name"));
}
function showNeuron() {
  if (!run().held_out) { say(run().unreadable, true); return; }
  listNeurons();
  $("who").textContent = name(state.neuron) + (wordsOf(state.neuron) ? `: ${wordsOf(state.neuron)}` : "");
  newest("neuron", {run: state.run, neuron: state.neuron}, found => {
    if (state.screen !== "neuron") return;
    $("neuronNumbers").replaceChildren(...found.sets.map((set, i) => h("div", {}, h("b", {id: `rate${i}`}, number(found.rate_hz[i])), h("span", {}, `${run().rate_unit}, ${set}`))));
    $("portrait").replaceChildren(...portraitCharts(found, found, {time: run().time_unit, rate: run().rate_unit}).map(([title, draw]) => {
      const place = h("div");
      requestAnimationFrame(() => mount(place, draw));
      return card(title, place);
    }));
  });
}
