// Screens, and how the page begins.
const SCREENS = {
  draw: {title: "Draw", make: drawScreen, update: () => { if (drawing.found) showDraw(); else { if (run().space) mount($("pad"), drawPad); ask(); } }},
  quiz: {title: "Is it real?", make: quizScreen, update: showQuiz, verdicts: true},
  neuron: {title: "A neuron", make: neuronScreen, update: showNeuron},
  sides: {title: "Side by side", make: sidesScreen, update: showSides, verdicts: true},
  dials: {title: "Dials", make: dialsScreen, update: () => { if (run().held_out) askDials(); else say(run().unreadable, true); }},
  take: {title: "Take away", make: takeScreen, update: showTake},
};
function render() {
  for (const tab of $("tabs").children) tab.setAttribute("aria-selected", String(tab.dataset.screen === state.screen));
  $("screens").replaceChildren(SCREENS[state.screen].make());
  SCREENS[state.screen].update();
  remember();
}
function go(screen) { state.screen = screen; render(); window.scrollTo(0, 0); }
async function start() {
  try { about = await post("about", {}); } catch (error) { say(error.message, true); return; }
  recall();
  if (!SCREENS[state.screen]) state.screen = "draw";
  $("tabs").replaceChildren(...Object.entries(SCREENS).map(([key, screen]) => h("button", {role: "tab", "data-screen": key, "aria-selected": "false", onclick: () => go(key)}, screen.title)));
  $("runs").replaceChildren(about.runs.length > 1
    ? h("select", {"aria-label": "Run", onchange: event => { state.run = Number(event.target.value); drawing.found = null; state.neurons = null; state.request = {n: state.request.n, seed: state.request.seed, stretched: false}; render(); }}, about.runs.map((each, i) => h("option", {value: i, selected: i === state.run}, each.name)))
    : h("span", {class: "soft small"}, `${run().name} (${run().model})`));
  if (!location.hash && run().draws) towardsFirst();
  render();
  if (run().unreadable) say(run().unreadable, true);
}
function towardsFirst() {   // something to see before anything was drawn
  const {radius, centre, usual_s: seconds} = run().space;
  state.request.path = Array.from({length: 41}, (_, i) => { const u = i / 40, x = u * u * u * (10 - 15 * u + 6 * u * u); return [u * seconds, centre[0] + radius * .5 * x, centre[1] + radius * .35 * x]; });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => about && render());
start();
