// Dials: held-out conditions drawn again with other options; rasters, tuning and a few scores follow.
function dialsScreen() {
  const has = dial => run().dials.includes(dial), request = state.request;
  const slider = (title, key, low, high, step, fallback) => h("label", {class: "dial"}, title, h("input", {type: "range", id: key, min: low, max: high, step, value: request[key] ?? fallback, oninput: event => { request[key] = Number(event.target.value); $(`says-${key}`).textContent = event.target.value; askDials(); }}), h("output", {id: `says-${key}`}, String(request[key] ?? fallback)));
  const controls = [has("guidance") ? slider("guidance", "guidance", 0, 4, .25, 1) : null, has("steps") ? slider("passes", "steps", 1, 32, 1, run().passes || 16) : null,
    has("observation") ? h("label", {class: "dial"}, "spike history", h("input", {type: "checkbox", id: "history", checked: request.observation !== "poisson", onchange: event => { request.observation = event.target.checked ? null : "poisson"; askDials(); }, style: "justify-self:start"})) : null].filter(Boolean);
  return h("div", {}, h("h1", {}, "Dials"), h("p", {class: "lead"}, "Trials for the conditions of held-out ones, drawn with other options. Bars are distances from held-out trials; the line on each is that of other recorded trials, the noise floor."),
    h("div", {class: "columns"}, h("div", {class: "stack"}, h("div", {class: "card"}, controls.length ? controls : quiet("This model has no dials."), h("button", {id: "reset", onclick: () => { for (const key of ["guidance", "steps", "observation"]) delete request[key]; render(); }}, "as learned")), h("div", {class: "card"}, h("h2", {}, "Scores"), h("div", {id: "scores"}), quiet("One draw of up to 60 trials, without errors: what moves, not a verdict."))),
      h("div", {class: "stack"}, h("div", {class: "card"}, h("h2", {}, "A trial"), h("div", {class: "two"}, h("div", {}, h("p", {class: "small text-generated"}, "generated"), h("div", {id: "dialGenerated"})), h("div", {}, h("p", {class: "small"}, "held-out, same condition"), h("div", {id: "dialReal"})))),
        h("div", {class: "two"}, h("div", {class: "card"}, h("h2", {id: "dialWho"}), h("div", {id: "dialTuning"})), h("div", {class: "card"}, h("h2", {}, "Mean rates"), h("div", {id: "dialRates"}))))));
}
function askDials() {
  remember();
  const {seed, guidance, steps, observation} = state.request;
  newest("dials", {run: state.run, seed, guidance, steps, observation}, showDialled);
}
function showDialled(found) {
  if (state.screen !== "dials") return;
  game.dialled = found;
  const neurons = run().neurons, generated = spikes(found.generated, neurons), real = spikes(found.real, neurons), trial = Math.max(state.trial, 0) % generated.n, neuron = Math.min(state.neuron, neurons - 1);
  mount($("dialGenerated"), w => rasterChart(w, {of: generated, trial, color: "--generated", picked: neuron, pick: choose, height: 230, label: "Generated trial"}));
  mount($("dialReal"), w => rasterChart(w, {of: real, trial, color: "--real", picked: neuron, pick: choose, height: 230, label: "Held-out trial"}));
  const tuning = found.tuning;
  $("dialWho").textContent = tuning ? `Tuning of ${name(neuron)}` : `Trial average of ${name(neuron)}`;
  mount($("dialTuning"), w => tuning
    ? lineChart(w, {label: "Tuning", series: [["var(--real)", 0], ["var(--generated)", 1]].map(([color, i]) => ({x: tuning.points.map((_, p) => p), y: tuning.rate_hz[neuron][i], color, dots: true})), x: [-.3, tuning.points.length - .7], ticks: tuning.points.map((p, i) => [i, p + (tuning.unit === "deg" ? "°" : "")]), xlabel: tuning.variable, ylabel: run().rate_unit, height: 220})
    : lineChart(w, {label: "Trial average", series: [[real, "var(--real)"], [generated, "var(--generated)"]].map(([of, color]) => ({x: times(of.bins, run().bin_s), y: averageOf(of, neuron), color})), xlabel: timeLabel(), ylabel: run().rate_unit, height: 220}));
  mount($("dialRates"), w => scatterChart(w, {label: "Mean rates, generated against held-out", x: found.rates_hz[0], sets: [{y: found.rates_hz[1], color: "var(--generated)", pick: choose, chosen: neuron}], xlabel: `held-out (${run().rate_unit})`, ylabel: "generated", names: name}));
  $("scores").replaceChildren(...found.scores.map(each => {
    const most = 2.2 * Math.max(each.floor || 0, 1e-12), share = x => 100 * Math.min((x || 0) / most, 1);
    return h("div", {class: "score"}, h("div", {}, h("span", {}, each.label), h("b", {id: `score-${each.name}`}, `${number(each.value)} ${each.unit}`.trim())), h("div", {class: "bar", title: `real against real: ${number(each.floor)} ${each.unit}`}, h("i", {style: `width:${share(each.value)}%`}), h("u", {style: `left:${share(each.floor)}%`})));
  }));
}
