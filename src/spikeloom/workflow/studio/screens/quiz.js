// Is it real? Ten rasters; who looks says which were generated, and is scored as the classifier is.
const game = {round: null, said: [], rounds: {}, timer: 0};

function quizScreen() {
  return h("div", {}, h("h1", {}, "Is it real?"), h("p", {class: "lead"}, "Each raster is a held-out recorded trial or a generated one. Say which."),
    h("div", {class: "stack"}, h("div", {class: "five", id: "guesses"}),
      h("div", {class: "card"}, h("div", {class: "row"}, h("button", {class: "main", id: "reveal", disabled: true, onclick: reveal}, "Show the answers"), h("button", {id: "another", onclick: () => newRound()}, "Ten others"), h("span", {class: "soft small", id: "left"})),
        h("div", {class: "numbers", id: "quizNumbers"}), quiet("AUC: 0.5 is guessing, 1 is never wrong. The classifier learns on training trials and is judged on others."))));
}
function played() { return game.rounds[state.run] || (game.rounds[state.run] = []); }
async function newRound() {
  const seed = Math.floor(Math.random() * 1e6);
  say("choosing trials");
  try {
    game.round = await post("quiz", {run: state.run, seed});
    game.said = game.round.rasters.map(() => null);
    game.of = state.run;
    say("");
    if (state.screen === "quiz") showRound();
  } catch (error) { say(error.message, true); }
}
function showRound() {
  $("guesses").replaceChildren(...game.round.rasters.map((raster, i) => {
    const place = h("div"), of = spikes(raster, run().neurons);
    const button = (words, value) => h("button", {"aria-pressed": "false", onclick: event => {
      if (game.shown) return;
      game.said[i] = value;
      for (const each of event.target.parentNode.children) each.setAttribute("aria-pressed", String(each === event.target));
      const left = game.said.filter(x => x === null).length;
      $("left").textContent = left ? `${left} left` : "";
      $("reveal").disabled = left > 0;
    }}, words);
    const node = h("div", {class: "card guess", id: `guess${i}`}, place, h("div", {class: "row"}, button("recorded", false), button("generated", true)));
    requestAnimationFrame(() => mount(place, w => rasterChart(w, {of, trial: 0, color: "--real", height: 150, bare: true, label: `Raster ${i + 1}`})));
    return node;
  }));
  game.shown = false;
  $("reveal").disabled = true;
  $("left").textContent = `${game.said.length} left`;
  showScores();
}
async function reveal() {
  try {
    played().push({seed: game.round.seed, said: game.said});
    const found = await post("answers", {run: state.run, rounds: played()});
    game.shown = true;
    game.score = found;
    found.generated.forEach((fake, i) => {
      const node = $(`guess${i}`), right = fake === game.said[i];
      node.classList.add(right ? "right" : "wrong");
      node.append(h("p", {}, `${right ? "Right" : "No"}: ${fake ? "generated" : "recorded"}`));
    });
    $("reveal").disabled = true;
    showScores();
  } catch (error) { played().pop(); say(error.message, true); }
}
function showScores() {
  const score = played().length ? game.score : null, verdict = verdicts[state.run], shown = [];
  shown.push([score ? two(score.auc) : "–", score ? `your AUC${score.within ? ` (${two(score.within[0])} to ${two(score.within[1])})` : ""}; ${score.right} of ${score.of} right` : "your AUC", "yourAuc"]);
  const ready = verdict && verdict.state === "ready";
  shown.push([ready ? two(verdict.auc) : "…", ready ? `the classifier's AUC${verdict.within ? ` (${two(verdict.within[0])} to ${two(verdict.within[1])})` : ""}, n = ${verdict.n}` : verdict && verdict.state === "failed" ? verdict.reason : "the classifier is learning; this takes a minute or two", "classifierAuc"]);
  $("quizNumbers").replaceChildren(...shown.map(([value, words, id]) => h("div", {}, h("b", {id}, value), h("span", {}, words))));
}
function showQuiz() {
  if (!run().held_out) { say(run().unreadable, true); return; }
  wait(state.run, () => { if (state.screen === "quiz") showScores(); });
  if (!game.round || game.of !== state.run) newRound(); else showRound();
}

// -- verdicts, made in the background ------------------------------------------------------------------------------
const verdicts = {};
async function wait(which, then) {
  const known = verdicts[which];
  if (known && known.state !== "working") { then(); return; }
  try { verdicts[which] = await post("verdict", {run: which}); } catch (error) { verdicts[which] = {state: "failed", reason: error.message}; }
  then();
  if (verdicts[which].state === "working" && SCREENS[state.screen].verdicts) setTimeout(() => wait(which, then), 2000);
}
