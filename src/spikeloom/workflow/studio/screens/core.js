// State, requests to the program, and small helpers. Everything the page remembers is in the address.
const $ = id => document.getElementById(id);
let about = null;
const state = {screen: "draw", run: 0, request: {n: 20, seed: 0, stretched: false}, neurons: null, neuron: 0, trial: -1};
window.studio = {state, get about() { return about; }, answers: {}, busy: 0};  // for tests, and for the curious

function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined));
  return node;
}
const run = () => about.runs[state.run];
const card = (title, ...children) => h("section", {class: "card"}, title ? h("h2", {}, title) : null, ...children);
const quiet = (...text) => h("p", {class: "soft small"}, ...text);

let hiding = 0;
function say(text, error = false) {
  clearTimeout(hiding);
  $("status").textContent = text;
  $("status").className = error ? "error" : "";
  if (text && !error) hiding = setTimeout(() => say(""), 4000);
}

async function post(name, content) {
  window.studio.busy += 1;
  try {
    const response = await fetch(name + location.search, {method: "POST", body: JSON.stringify(content)});
    const json = (response.headers.get("content-type") || "").includes("json");
    if (!response.ok && !json) throw new Error(await response.text());
    const found = json ? await response.json() : await response.arrayBuffer();
    if (json && found.error) throw new Error(found.error);
    if (json) window.studio.answers[name] = found;
    return found;
  } catch (error) {
    throw error instanceof TypeError ? new Error("the program has ended") : error;
  } finally { window.studio.busy -= 1; }
}

// Only the newest of several requests of a kind is answered: a slider asks faster than a model draws.
const queues = {};
async function newest(name, content, take) {
  const queue = queues[name] || (queues[name] = {running: false, next: null});
  queue.next = [content, take];
  if (queue.running) return;
  queue.running = true;
  while (queue.next) {
    const [wanted, then] = queue.next;
    queue.next = null;
    try {
      const found = await post(name, wanted);
      if (!queue.next) { then(found); if ($("status").className === "error") say(""); }
    } catch (error) { say(error.message, true); }
  }
  queue.running = false;
}

function bytes(text) { const raw = atob(text), found = new Uint8Array(raw.length); for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i); return found; }
const floats = text => new Float32Array(bytes(text).buffer);
function spikes(found, neurons) {   // an answer with its arrays
  const of = {...found, neurons, counts: bytes(found.counts)};
  if (found.average_hz) of.average = floats(found.average_hz);
  return of;
}
const averageOf = (of, neuron) => Array.from({length: of.bins}, (_, t) => of.average[t * of.neurons + neuron]);
const times = (n, width) => Array.from({length: n}, (_, t) => (t + .5) * width);
const number = (x, digits = 3) => x === null || x === undefined ? "–" : String(parseFloat(x.toPrecision(digits)));
const two = x => x === null || x === undefined ? "–" : x.toFixed(2);
const name = neuron => { const row = run().table[neuron] || {}; return "neuron " + (neuron + 1) + (row.id !== undefined ? ` (${row.id})` : ""); };
const timeLabel = () => run().time_unit === "s" ? "time (s)" : "time (bins)";

// -- the address ---------------------------------------------------------------------------------------------------
function remember() {
  const kept = {...state, request: {...state.request}};
  if (kept.request.path) kept.request.path = kept.request.path.map(point => point.map(x => parseFloat(x.toFixed(3))));
  history.replaceState(null, "", location.pathname + location.search + "#" + encodeURIComponent(JSON.stringify(kept)));
}
function recall() {
  if (location.hash.length < 2) return;
  try {
    const kept = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    for (const key of Object.keys(state)) if (key in kept) state[key] = kept[key];
    if (!Number.isInteger(state.run) || !about.runs[state.run]) state.run = 0;
  } catch { say("the address is damaged; it is left out", true); }
}
