// Rasters: the spikes of a trial, or the mean counts of all of them, a row for each neuron.
const colourOf = variable => {
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
  probe.fillRect(0, 0, 1, 1);
  return probe.getImageData(0, 0, 1, 1).data;
};
// {of: spikes, trial: -1 for the mean, color: "--generated", height, picked, pick(neuron), bare, label}
function rasterChart(width, o) {
  const {of} = o, neurons = of.neurons, bins = of.bins, bare = o.bare;
  const left = bare ? 0 : 34, bottom = bare ? 0 : 34, top = bare ? 0 : 18, height = o.height || 260, right = bare ? 0 : 8;
  const svg = frame(width, height, o.label), w = width - left - right, t = height - top - bottom;
  const one = o.trial >= 0 && o.trial < of.n, length = one ? of.lengths[o.trial] : Math.max(...of.lengths);
  const at = (k, time, n) => of.counts[(k * bins + time) * neurons + n];
  const value = new Float32Array(bins * neurons);
  let highest = 0;
  for (let time = 0; time < bins; time++) for (let n = 0; n < neurons; n++) {
    let sum = 0, trials = 0;
    if (one) { sum = at(o.trial, time, n); trials = 1; }
    else for (let k = 0; k < of.n; k++) if (time < of.lengths[k]) { sum += at(k, time, n); trials++; }
    const v = trials ? sum / trials : 0;
    value[time * neurons + n] = v;
    if (v > highest) highest = v;
  }
  const sorted = Float32Array.from(value).sort(), scale = one ? Math.min(Math.max(highest, 1), 4) : Math.max(sorted[Math.floor(.995 * (sorted.length - 1))], 1e-6);
  const cells = !one || w / bins > 7;   // bins wider than a spike is drawn: cells with a scale of counts
  if (cells) {
    const canvas = document.createElement("canvas");
    canvas.width = bins; canvas.height = neurons;
    const g = canvas.getContext("2d"), image = g.createImageData(bins, neurons), [red, green, blue] = colourOf(o.color);
    for (let time = 0; time < bins; time++) for (let n = 0; n < neurons; n++) {
      const p = 4 * (n * bins + time);
      image.data[p] = red; image.data[p + 1] = green; image.data[p + 2] = blue;
      image.data[p + 3] = 255 * Math.min(value[time * neurons + n] / scale, 1);
    }
    g.putImageData(image, 0, 0);
    svg.append(s("image", {href: canvas.toDataURL(), x: left, y: top, width: w, height: t, preserveAspectRatio: "none", style: "image-rendering:pixelated"}));
  } else {
    let path = "";
    const rows = t / neurons, tall = Math.max(rows * .8, 1);
    for (let time = 0; time < length; time++) for (let n = 0; n < neurons; n++)
      if (value[time * neurons + n]) path += `M${(left + w * (time + .5) / bins).toFixed(1)} ${(top + n * rows).toFixed(1)}v${tall.toFixed(1)}`;
    svg.append(s("path", {d: path, stroke: `var(${o.color})`, "stroke-width": 1, fill: "none"}));
  }
  if (one && length < bins) svg.append(s("rect", {x: left + w * length / bins, y: top, width: w * (1 - length / bins), height: t, fill: "var(--line)"}));
  if (bare) return svg;
  svg.append(s("rect", {x: left, y: top, width: w, height: t, fill: "none", stroke: "var(--line)"}));
  svg.append(s("text", {x: left - 6, y: top + 9, "text-anchor": "end"}, "1"), s("text", {x: left - 6, y: top + t, "text-anchor": "end"}, String(neurons)),
    s("text", {x: 10, y: top + t / 2, "text-anchor": "middle", transform: `rotate(-90 10 ${top + t / 2})`}, "neuron"));
  const end = bins * run().bin_s;
  for (const x of niceTicks(0, end, Math.max(2, Math.floor(w / 80)))) svg.append(s("text", {x: left + w * x / end, y: top + t + 15, "text-anchor": "middle"}, plainNumber(x)));
  svg.append(s("text", {x: left + w / 2, y: height - 3, "text-anchor": "middle"}, timeLabel()));
  if (cells) {
    const words = one ? "spikes in a bin" : "mean spikes in a bin", steps = 5, box = 11, x0 = width - right - steps * box - 24;
    svg.append(s("text", {x: x0 - 6, y: 11, "text-anchor": "end"}, words + "  0"));
    for (let i = 0; i < steps; i++) svg.append(s("rect", {x: x0 + i * box, y: 2, width: box, height: 10, fill: `var(${o.color})`, opacity: Math.max(i / (steps - 1), .03)}));
    svg.append(s("text", {x: x0 + steps * box + 4, y: 11}, (one && highest > scale ? "≥" : "") + number(scale, 2)));
  }
  if (o.picked !== undefined) svg.append(s("rect", {x: left, y: top + t * o.picked / neurons, width: w, height: Math.max(t / neurons, 2), fill: "none", stroke: "var(--yours)", "stroke-width": 1.5}));
  if (o.pick) {
    const cover = s("rect", {x: left, y: top, width: w, height: t, fill: "transparent", class: "pickable"}, s("title", {}, "choose a neuron"));
    cover.addEventListener("click", event => {
      const box = cover.getBoundingClientRect();
      o.pick(Math.min(neurons - 1, Math.max(0, Math.floor(neurons * (event.clientY - box.top) / box.height))));
    });
    svg.append(cover);
  }
  return svg;
}
