// The portrait of a neuron: trial averages, intervals, autocorrelation and tuning; real, generated, and the floor.
const SET_COLOURS = ["var(--real)", "var(--generated)", "var(--floor)"];
// `axes`: what all neurons share; `of`: the numbers of one; `units`: {time, rate}. Returns [title, draw(width)] pairs.
function portraitCharts(axes, of, units) {
  const order = [2, 0, 1].filter(i => i < axes.sets.length);   // the floor behind, generated in front
  const curves = (x, values) => order.map(i => ({x, y: values[i], color: SET_COLOURS[i], width: i === 2 ? 3 : 2}));
  const charts = [];
  axes.conditions.forEach((condition, c) => {
    const bins = of.average_hz[0][c].length, x = Array.from({length: bins}, (_, t) => (t + .5) * axes.bin_s * (axes.step || 1));
    const highest = Math.max(1e-9, ...finite(of.average_hz.flat(2))) * 1.06;
    charts.push([condition === "" ? "Trial average" : `Trial average, condition ${condition}`, width => lineChart(width, {
      label: "Trial-averaged rate", series: curves(x, of.average_hz.map(set => set[c])), x: [0, bins * axes.bin_s * (axes.step || 1)], y: [0, highest],
      xlabel: `time (${units.time})`, ylabel: units.rate})]);
  });
  if (axes.tuning) {
    const n = axes.tuning.points.length, at = axes.tuning.points.map((_, i) => i), unit = axes.tuning.unit === "deg" ? "°" : axes.tuning.unit ? " " + axes.tuning.unit : "";
    charts.push([`Tuning to ${axes.tuning.variable}`, width => lineChart(width, {
      label: `Mean rate against ${axes.tuning.variable}`, series: curves(at, of.tuning_hz).map(each => ({...each, dots: true})), x: [-.3, n - .7],
      ticks: axes.tuning.points.map((p, i) => [i, p + (unit === "°" ? unit : "")]), xlabel: axes.tuning.variable + (unit && unit !== "°" ? ` (${unit.trim()})` : ""), ylabel: units.rate})]);
  }
  const short = units.time === "s" ? "ms" : units.time, scale = units.time === "s" ? 1000 : 1;   // intervals and lags
  const edges = axes.edges_s.map(x => x * scale), lags = axes.lags_s.map(x => x * scale), steps = values => edges.flatMap((e, i) => i === 0 || i === edges.length - 1 ? [e] : [e, e]);
  const heights = values => values.flatMap(v => [v, v]);
  charts.push(["Intervals between spikes", width => lineChart(width, {
    label: "Distribution of intervals between spikes", series: order.map(i => ({x: steps(), y: heights(of.intervals[i]), color: SET_COLOURS[i], width: i === 2 ? 3 : 2})),
    xlog: true, x: [edges[0], edges[edges.length - 1]], xlabel: `interval (${short}, log scale)`, ylabel: "share"})]);
  charts.push(["Autocorrelation", width => lineChart(width, {
    label: "Autocorrelation of the counts", series: curves(lags, of.autocorrelation), x: [0, lags[lags.length - 1]],
    xlabel: `lag (${short})`, ylabel: "correlation"})]);
  return charts;
}
