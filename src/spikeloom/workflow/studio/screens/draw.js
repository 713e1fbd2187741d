// Draw: a reach, a direction or a label is asked for; what the population does is shown, and the reach read back from it.
const DIRECTIONS = ["→", "↗", "↑", "↖", "←", "↙", "↓", "↘"];
const drawing = {points: [], down: false, found: null};

function ask() {
  remember();
  say("drawing trials");
  newest("sample", {run: state.run, ...state.request}, found => { say(""); show(found); });
}
function show(found) {
  const neurons = run().neurons;
  drawing.found = found;
  drawing.generated = spikes(found, neurons);
  drawing.recorded = found.recorded ? spikes(found.recorded, neurons) : null;
  if (state.trial >= found.n) state.trial = -1;
  if (!state.neurons) { state.neurons = modulated(drawing.recorded || drawing.generated); state.neuron = state.neurons[0]; }
  if (state.screen === "draw") showDraw();
}
function modulated(of) {   // the four neurons whose average changes most
  const change = Array.from({length: of.neurons}, (_, n) => { const a = averageOf(of, n); return [(Math.max(...a) - Math.min(...a)) / Math.sqrt(Math.max(...a, 1)), n]; });
  return change.sort((a, b) => b[0] - a[0]).slice(0, 4).map(each => each[1]);
}
function choose(neuron) {   // linked everywhere
  state.neuron = neuron;
  if (state.neurons && !state.neurons.includes(neuron)) state.neurons = [neuron, ...state.neurons.slice(0, 3)];
  remember();
  SCREENS[state.screen].update();
}

function drawScreen() {
  const angle = run().variables.find(v => v.kind === "deg" || v.kind === "rad"), statics = run().variables.filter(v => v.kind !== "signal");
  const space = run().space, drawable = Boolean(run().draws);
  const what = drawable ? `Draw a reach. ${run().neurons} neurons of ${run().name} answer, and a decoder of recorded trials reads it back.`
    : statics.length ? "Ask for a condition, and see what the population does." : "This model was fitted without conditions: it draws trials like the recorded ones.";
  const pad = h("div", {id: "pad"}), compass = (drawable || angle) && h("div", {class: "compass", role: "group", "aria-label": "Directions"},
    DIRECTIONS.map((arrow, i) => h("button", {title: `${i * 45} degrees`, "aria-label": `towards ${i * 45} degrees`, onclick: () => towards(i * Math.PI / 4)}, arrow)));
  const fields = statics.map(variable => field(variable));
  const usual = space ? space.usual_s : run().length * run().bin_s;
  return h("div", {}, h("h1", {}, "Draw"), h("p", {class: "lead"}, what), h("div", {class: "columns"},
    h("div", {class: "stack"},
      card(null, space ? pad : null, compass || null, fields.length ? h("div", {class: "row"}, fields) : null,
        h("div", {class: "row", style: "margin-top:10px"},
          run().held_out ? h("button", {id: "recorded", onclick: imitate, title: "ask for what a held-out trial was recorded under"}, "a recorded trial") : null,
          h("button", {id: "again", onclick: () => { state.request.seed += 1; ask(); }}, "new seed"),
          h("label", {class: "small"}, "trials", h("select", {id: "n", onchange: event => { state.request.n = Number(event.target.value); ask(); }}, [1, 20, 50, 100].map(n => h("option", {value: n, selected: n === state.request.n}, String(n))))),
          !drawable && !statics.length ? h("label", {class: "small"}, "bins", h("input", {type: "number", id: "length", min: 1, max: 5000, style: "width:6em", value: state.request.length || run().length, onchange: event => { state.request.length = Number(event.target.value) || null; ask(); }})) : null,
          drawable && run().time_unit === "s" ? h("label", {class: "small"}, h("input", {type: "checkbox", id: "stretched", checked: state.request.stretched, onchange: event => { state.request.stretched = event.target.checked; ask(); }}), `stretch to ${number(usual)} s, as recorded`) : null)),
      h("div", {class: "card"}, h("span", {class: "badge", id: "novelty"}, "nothing asked yet"), h("div", {class: "numbers", id: "numbers"}), h("div", {id: "notes", class: "small soft", style: "margin-top:8px"}))),
    h("div", {class: "stack"},
      card(null, h("div", {class: "row", style: "justify-content:space-between"}, h("h2", {}, "Spikes"), h("label", {class: "small soft"}, "show", h("select", {id: "trial", onchange: event => { state.trial = Number(event.target.value); remember(); showDraw(); }}))),
        h("div", {class: "two", id: "rasters"}, h("div", {}, h("p", {class: "small text-generated", id: "saysGenerated"}, "generated"), h("div", {id: "rasterGenerated"})), h("div", {}, h("p", {class: "small", id: "saysRecorded"}), h("div", {id: "rasterRecorded"})))),
      h("div", {class: "card"}, h("h2", {}, "Population rate"), h("div", {id: "population"})),
      h("div", {class: "card"}, h("h2", {}, "Trial averages"), quiet("Click a raster to choose a neuron."), h("div", {class: "four", id: "averages"})))));
}
function field(variable) {
  const set = value => { state.request.condition = {...state.request.condition, [variable.name]: value || null}; state.request.trial = null; ask(); };
  const held = (state.request.condition || {})[variable.name];
  if (variable.labels.length) return h("label", {class: "small"}, variable.name, h("select", {name: variable.name, onchange: event => set(event.target.value)},
    h("option", {value: ""}, "any"), variable.labels.map(label => h("option", {value: label, selected: String(held) === label}, label))));
  return h("label", {class: "small"}, variable.name + (variable.kind === "deg" || variable.kind === "rad" ? ` (${variable.kind})` : ""), h("input", {type: "text", name: variable.name, size: 7, placeholder: "any", value: held ?? "", onchange: event => set(event.target.value.trim())}));
}
function towards(angle) {
  const variable = run().variables.find(v => v.kind === "deg" || v.kind === "rad");
  state.request.trial = null;
  if (run().draws) {   // a smooth reach (minimum jerk) of a usual duration
    const {radius, centre, usual_s: seconds} = run().space, far = radius * .6;
    state.request.path = Array.from({length: 41}, (_, i) => { const u = i / 40, x = u * u * u * (10 - 15 * u + 6 * u * u); return [u * seconds, centre[0] + far * x * Math.cos(angle), centre[1] + far * x * Math.sin(angle)]; });
    forget(variable);
  } else state.request.condition = {...state.request.condition, [variable.name]: variable.kind === "deg" ? angle * 180 / Math.PI : angle};
  const input = variable && document.querySelector(`input[name="${CSS.escape(variable.name)}"]`);
  if (input) input.value = (state.request.condition || {})[variable.name] ?? "";
  ask();
}
function forget(variable) {   // a drawn reach says its own direction
  if (!variable || !state.request.condition) return;
  delete state.request.condition[variable.name];
  const input = document.querySelector(`input[name="${CSS.escape(variable.name)}"]`);
  if (input) input.value = "";
}
function imitate() {
  const next = state.request.trial === undefined || state.request.trial === null ? Math.floor(Math.random() * run().held_out) : (state.request.trial + 1) % run().held_out;
  state.request = {...state.request, trial: next, path: null, condition: {}, length: null};
  for (const input of document.querySelectorAll(".card input[name]")) input.value = "";
  for (const select of document.querySelectorAll(".card select[name]")) select.value = "";
  ask();
}

// -- the pad -------------------------------------------------------------------------------------------------------
function drawPad(width) {
  const {radius, centre, paths, unit, velocity} = run().space, size = Math.min(width, 460), svg = s("svg", {class: "chart pad", viewBox: `0 0 ${size} ${size}`, tabindex: 0, role: "img", "aria-label": run().draws ? "Pad: draw a reach here" : "Movement decoded from generated spikes"});
  const fx = p => size / 2 + (p[0] - centre[0]) / radius * size / 2, fy = p => size / 2 - (p[1] - centre[1]) / radius * size / 2;
  const line = (points, color, thick, opacity) => s("path", {d: points.map((p, i) => `${i ? "L" : "M"}${fx(p).toFixed(1)} ${fy(p).toFixed(1)}`).join(""), fill: "none", stroke: color, "stroke-width": thick, opacity, "stroke-linejoin": "round", "stroke-linecap": "round"});
  const start = points => velocity ? [[0, 0], ...points] : points;
  for (const path of paths) svg.append(line(start(path), "var(--floor)", 1, .3), s("circle", {cx: fx(path[path.length - 1]), cy: fy(path[path.length - 1]), r: 2.5, fill: "var(--floor)", opacity: .8}));
  if (velocity) svg.append(s("circle", {cx: fx([0, 0]), cy: fy([0, 0]), r: 5, fill: "none", stroke: "var(--soft)"}));
  const decoded = drawing.found && drawing.found.decoded;
  if (decoded) {
    const shown = state.trial >= 0 ? [decoded.paths[state.trial]] : decoded.paths;
    for (const path of shown) svg.append(line(start(path), "var(--generated)", 1.2, .35));
    const bins = Math.min(...shown.map(path => path.length));
    const mean = Array.from({length: bins}, (_, t) => [0, 1].map(d => shown.reduce((sum, path) => sum + path[t][d], 0) / shown.length));
    svg.append(line(start(mean), "var(--generated)", 3, 1));
    if (decoded.asked) svg.append(line(start(decoded.asked), "var(--yours)", 3, 1));
  }
  const bar = [1, 2, 5, 10, 20, 50, 100, 200, 500].map(x => x * 10 ** Math.floor(Math.log10(radius / 5))).find(x => x > radius / 6) || radius / 4, long = bar / radius * size / 2;
  svg.append(s("line", {x1: 14, x2: 14 + long, y1: size - 14, y2: size - 14, stroke: "var(--soft)", "stroke-width": 1.5}), s("text", {x: 14, y: size - 20}, `${plainNumber(bar)} ${unit}`.trim()));
  const fresh = s("path", {fill: "none", stroke: "var(--yours)", "stroke-width": 3, "stroke-linecap": "round", "stroke-linejoin": "round"});
  svg.append(fresh);
  if (!run().draws) { svg.style.cursor = "default"; svg.style.touchAction = "auto"; return svg; }
  const place = event => {
    const box = svg.getBoundingClientRect();
    return [event.timeStamp / 1000, centre[0] + ((event.clientX - box.left) / box.width * 2 - 1) * radius, centre[1] - ((event.clientY - box.top) / box.height * 2 - 1) * radius];
  };
  svg.addEventListener("pointerdown", event => { event.preventDefault(); svg.setPointerCapture(event.pointerId); drawing.points = [place(event)]; drawing.down = true; });
  svg.addEventListener("pointermove", event => {
    if (!drawing.down) return;
    drawing.points.push(place(event));
    fresh.setAttribute("d", drawing.points.map((p, i) => `${i ? "L" : "M"}${fx([p[1]])} ${fy([0, p[2]])}`).join(""));
  });
  svg.addEventListener("pointerup", event => {
    if (!drawing.down) return;
    drawing.down = false;
    drawing.points.push(place(event));
    const first = drawing.points[0][0];
    if (drawing.points.length < 4) { say("hold the button down and draw a reach"); return; }
    state.request.path = drawing.points.map(([t, x, y]) => [t - first, x, y]);
    state.request.trial = null;
    forget(run().variables.find(v => v.kind === "deg" || v.kind === "rad"));
    ask();
  });
  return svg;
}

// -- what came -----------------------------------------------------------------------------------------------------
function showDraw() {
  const {found, generated, recorded} = drawing;
  if (run().space) mount($("pad"), drawPad);
  if (!found) return;
  const trials = $("trial");
  trials.replaceChildren(h("option", {value: -1}, `mean of ${found.n} trials`), ...Array.from({length: found.n}, (_, i) => h("option", {value: i}, `trial ${i + 1}`)));
  trials.value = state.trial;
  const common = {trial: state.trial, picked: state.neuron, pick: choose, height: 280};
  $("rasters").className = recorded ? "two" : "";
  $("saysGenerated").textContent = `generated (${found.n} ${found.n === 1 ? "trial" : "trials"} of ${number(found.bins * run().bin_s)} ${run().time_unit})`;
  mount($("rasterGenerated"), width => rasterChart(width, {...common, of: generated, color: "--generated", label: "Raster of generated trials"}));
  $("saysRecorded").textContent = recorded ? found.recorded.trial !== undefined ? `recorded: held-out trial ${found.recorded.trial + 1}` : `recorded: the ${recorded.n} nearest training ${recorded.n === 1 ? "trial" : "trials"}` : "";
  if (recorded) mount($("rasterRecorded"), width => rasterChart(width, {...common, trial: recorded.n === 1 ? 0 : Math.min(state.trial, recorded.n - 1), of: recorded, color: "--real", label: "Raster of recorded trials"}));
  else { drawings.delete($("rasterRecorded")); $("rasterRecorded").replaceChildren(); }
  const width = run().bin_s, lines = (get, wide) => [
    ...(recorded ? [{x: times(recorded.bins, width), y: get(recorded), color: "var(--real)", width: wide}] : []),
    {x: times(generated.bins, width), y: get(generated), color: "var(--generated)", width: wide}];
  const longest = Math.max(generated.bins, recorded ? recorded.bins : 0) * width;
  mount($("population"), w => lineChart(w, {label: "Rate of the whole population", series: lines(of => of.population_hz, 2), x: [0, longest], xlabel: timeLabel(), ylabel: run().time_unit === "s" ? "spikes / s" : "spikes / bin", height: 150}));
  $("averages").replaceChildren(...state.neurons.map(neuron => {
    const place = h("div");
    const node = h("div", {}, h("button", {class: "small", title: "show everything about this neuron", onclick: () => { choose(neuron); go("neuron"); }}, name(neuron)), place);
    requestAnimationFrame(() => mount(place, w => lineChart(w, {label: `Trial average of ${name(neuron)}`, series: lines(of => averageOf(of, neuron), 2), x: [0, longest], xlabel: timeLabel(), ylabel: run().rate_unit, height: 150})));
    return node;
  }));
  const novelty = found.novelty;
  $("novelty").textContent = novelty ? novelty.words : "no condition was asked for";
  $("novelty").className = "badge" + (novelty && novelty.novel ? " amber" : "");
  const decoded = found.decoded, shown = [];
  for (const [score, words, id] of decoded ? [[decoded.generated, "of the request, from generated spikes", "r2"], [decoded.recorded, "in held-out recorded trials", "recordedR2"]] : [])
    if (score) shown.push([two(score.r2), `R² ${words}; off by ${number(score.error)} ${decoded.unit}`.trim(), id]);
  shown.push([number(found.population_hz.reduce((a, b) => a + b, 0) / found.bins / run().neurons), `mean rate (${run().rate_unit}), generated`, "meanRate"]);
  $("numbers").replaceChildren(...shown.map(([value, words, id]) => h("div", {}, h("b", {id}, value), h("span", {}, words))));
  $("notes").replaceChildren(...(decoded ? [h("p", {class: "key"}, h("span", {}, h("i", {class: "of-yours"}), "asked for"), h("span", {}, h("i", {class: "of-generated"}), "decoded"), h("span", {}, h("i", {class: "of-floor"}), "recorded"))] : []), ...found.notes.map(note => h("p", {}, note)));
}
