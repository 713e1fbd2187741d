// Take away: what was asked for as a command and as Python, what was drawn as files, and the page as an address.
function takeScreen() {
  return h("div", {}, h("h1", {}, "Take away"), h("p", {class: "lead"}, "The trials of the first screen, again, elsewhere."),
    h("div", {class: "columns halves"},
      h("div", {class: "stack"}, h("div", {class: "card"}, h("h2", {}, "The command"), h("pre", {id: "command"}), copier("command")), h("div", {class: "card"}, h("h2", {}, "Python"), h("pre", {id: "python"}), copier("python"))),
      h("div", {class: "stack"}, h("div", {class: "card"}, h("h2", {}, "Trials"), h("p", {class: "soft small", id: "what"}), h("div", {class: "row", id: "files"}, [["csv", "spikes as CSV"], ["npz", "NPZ"], ["nwb", "NWB"], ["request", "the request (request.csv)"]].map(([kind, words]) => h("button", {id: `file-${kind}`, onclick: () => fetchFile(kind)}, words)))),
        h("div", {class: "card"}, h("h2", {}, "Picture of the first screen"), h("div", {class: "row"}, h("button", {id: "svg", onclick: () => picture("svg")}, "SVG"), h("button", {id: "png", onclick: () => picture("png")}, "PNG"))),
        h("div", {class: "card"}, h("h2", {}, "This page"), quiet("The address holds the request, the run, the neuron and the screen; it opens as long as the program runs."), h("button", {onclick: () => copy(location.href)}, "Copy the address")))));
}
const copier = id => h("button", {onclick: () => copy($(id).textContent)}, "Copy");
async function copy(text) { try { await navigator.clipboard.writeText(text); say("copied"); } catch { say("the browser does not allow copying; mark the text instead", true); } }
async function fetchFile(kind) {
  try {
    say("writing");
    const content = await post("file", {run: state.run, ...state.request, kind});
    download(new Blob([content]), kind === "request" ? "request.csv" : `generated.${kind}`, "application/octet-stream");
    say("");
  } catch (error) { say(error.message, true); }
}
async function showTake() {
  if (!drawing.found) { newest("sample", {run: state.run, ...state.request}, found => { show(found); if (state.screen === "take") showTake(); }); return; }
  const found = drawing.found;
  $("command").textContent = found.command;
  $("python").textContent = found.python;
  $("what").textContent = `${found.n} generated trials of ${run().name}, seed ${found.seed}.`;
  $("file-request").hidden = !found.command.includes("request.csv");
}
// The charts of the first screen in one picture, as they stand there.
function picture(kind) {
  const back = state.screen;
  go("draw");
  setTimeout(async () => {
    const whole = $("screens").getBoundingClientRect(), charts = [...document.querySelectorAll("#screens svg.chart")].filter(svg => svg.getBoundingClientRect().width > 0);
    const parts = charts.map(svg => { const box = svg.getBoundingClientRect(); return standalone(svg).replace("<svg", `<svg x="${(box.left - whole.left).toFixed(1)}" y="${(box.top - whole.top).toFixed(1)}"`).replace(/ width="[\d.]+" height="[\d.]+"/, ` width="${box.width.toFixed(1)}" height="${box.height.toFixed(1)}"`); });
    const width = Math.ceil(whole.width), height = Math.ceil(whole.height), text = `<svg xmlns="${SVG}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${parts.join("")}</svg>`;
    go(back);
    try { download(kind === "svg" ? new Blob([text], {type: "image/svg+xml"}) : await toPNG(text, width, height), `studio.${kind}`); } catch (error) { say(error.message, true); }
  }, 120);
}
