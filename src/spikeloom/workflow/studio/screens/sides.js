// Side by side: the same request and seed to several runs, one neuron followed through all of them.
function sidesScreen() {
  const alone = about.runs.length === 1;
  return h("div", {}, h("h1", {}, "Side by side"), h("p", {class: "lead"}, alone ? "One run is open. Give up to four of them to compare: spikeloom studio RUN RUN." : "The request of the first screen, with the same seed, to every run."),
    h("div", {class: about.runs.length > 1 ? "two" : "stack", id: "sides"}, about.runs.map((each, i) => h("section", {class: "card"}, h("h2", {}, each.name), h("p", {class: "soft small"}, `${each.model}, ${each.neurons} neurons, trained on ${each.trained_on} trials`),
      h("div", {id: `sideRaster${i}`}), h("div", {id: `sideAverage${i}`}), h("div", {class: "numbers", id: `sideNumbers${i}`}), h("p", {class: "small", id: `sideVerdict${i}`, style: "margin-top:12px"}, "")))));
}
function showSides() {
  about.runs.forEach((each, i) => {
    post("sample", {...state.request, run: i}).then(found => {
      if (state.screen !== "sides") return;
      const of = spikes(found, each.neurons), neuron = Math.min(state.neuron, each.neurons - 1);
      window.studio.answers[`side${i}`] = found;
      mount($(`sideRaster${i}`), w => rasterChart(w, {of, trial: state.trial, color: "--generated", height: 240, picked: neuron, pick: choose, label: `Raster of ${each.name}`}));
      mount($(`sideAverage${i}`), w => lineChart(w, {label: "Trial average", series: [{x: times(of.bins, each.bin_s), y: averageOf(of, neuron), color: "var(--generated)"}], x: [0, of.bins * each.bin_s], xlabel: timeLabel(), ylabel: each.rate_unit, height: 150}));
      const decoded = found.decoded;
      $(`sideNumbers${i}`).replaceChildren(...[[`${number(averageOf(of, neuron).reduce((a, b) => a + b, 0) / of.bins)}`, `${each.rate_unit}, neuron ${neuron + 1}`], ...(decoded && decoded.generated ? [[two(decoded.generated.r2), `R² of the request (recorded trials ${two(decoded.recorded.r2)})`]] : [])]
        .map(([value, words]) => h("div", {}, h("b", {}, value), h("span", {}, words))));
    }).catch(error => { if ($(`sideNumbers${i}`)) $(`sideNumbers${i}`).replaceChildren(h("p", {class: "small"}, error.message)); });
    wait(i, () => {
      const place = $(`sideVerdict${i}`), verdict = verdicts[i];
      if (place) place.textContent = verdict.state === "ready" ? verdict.headline : verdict.state === "failed" ? verdict.reason : "Comparing with held-out trials; this takes a minute or two.";
    });
  });
}
