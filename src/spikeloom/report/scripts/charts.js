// Charts as SVG. Colours are those of the page's style, so that they follow light and dark.
const SVG = document.createRange().createContextualFragment("<svg></svg>").firstChild.namespaceURI;   // without an address in the page
function s(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(name, value);
  node.append(...children.flat().filter(child => child !== null && child !== undefined));
  return node;
}
function frame(width, height, label) {
  return s("svg", {class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label || null});
}
// Draw into a node at its own width, and again when that changes.
const drawings = new WeakMap();
const watcher = new ResizeObserver(entries => { for (const entry of entries) redraw(entry.target); });
function redraw(node) {
  const drawing = drawings.get(node), width = Math.round(node.clientWidth);
  if (!drawing || !width || (drawing.width === width && drawing.done)) return;
  drawing.width = width; drawing.done = true;
  node.replaceChildren(drawing.draw(Math.max(width, 120)));
}
function mount(node, draw) {
  if (!drawings.has(node)) watcher.observe(node);
  drawings.set(node, {draw, width: 0, done: false});
  redraw(node);
  return node;
}
function niceTicks(low, high, count = 4) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const raw = span / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(x => x * power).find(x => x >= raw * .999);
  const found = [];
  for (let x = Math.ceil(low / step - 1e-9) * step; x <= high + step * 1e-9; x += step) found.push(Math.abs(x) < step * 1e-9 ? 0 : x);
  return found;
}
function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const m of high / low < 200 ? [1, 2, 5] : [1]) { const x = m * 10 ** power; if (x >= low * .999 && x <= high * 1.001) found.push(x); }
  return found;
}
const plainNumber = x => String(parseFloat(x.toPrecision(4)));
const finite = values => values.filter(v => v !== null && Number.isFinite(v));

// {label, series: [{x, y, color, width, dots, opacity}], xlabel, ylabel, xlog, height, x: [lo, hi], y: [lo, hi], ticks: [[x, text], ...]}
function lineChart(width, o) {
  const height = o.height || 170, left = 50, right = 8, top = 8, bottom = o.xlabel ? 36 : 22;
  const svg = frame(width, height, o.label);
  const xs = finite(o.series.flatMap(each => each.x)), ys = finite(o.series.flatMap(each => each.y));
  const [x0, x1] = o.x || [Math.min(...xs), Math.max(...xs)];
  let [y0, y1] = o.y || [Math.min(0, ...ys), Math.max(...ys, 1e-9)];
  if (!o.y) y1 += .06 * (y1 - y0);
  const fx = x => left + (width - left - right) * (o.xlog ? Math.log(x / x0) / Math.log(x1 / x0) : (x - x0) / (x1 - x0 || 1));
  const fy = y => height - bottom - (height - top - bottom) * (y - y0) / (y1 - y0 || 1);
  for (const y of niceTicks(y0, y1, 3)) svg.append(
    s("line", {x1: left, x2: width - right, y1: fy(y), y2: fy(y), stroke: "var(--line)"}),
    s("text", {x: left - 6, y: fy(y) + 4, "text-anchor": "end"}, plainNumber(y)));
  const room = Math.max(2, Math.floor((width - left) / 70));
  const ticks = o.ticks || (o.xlog ? logTicks(x0, x1) : niceTicks(x0, x1, room)).map(x => [x, plainNumber(x)]);
  const every = Math.ceil(ticks.length / (o.ticks ? Math.max(2, Math.floor((width - left) / 34)) : ticks.length));
  ticks.forEach(([x, text], i) => { if (i % every === 0) svg.append(s("text", {x: fx(x), y: height - bottom + 15, "text-anchor": "middle"}, text)); });
  if (o.xlabel) svg.append(s("text", {x: (left + width - right) / 2, y: height - 3, "text-anchor": "middle"}, o.xlabel));
  if (o.ylabel) svg.append(s("text", {x: 12, y: (top + height - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + height - bottom) / 2})`}, o.ylabel));
  for (const each of o.series) {
    let path = "", open = false;
    each.x.forEach((x, i) => {
      const y = each.y[i];
      if (y === null || !Number.isFinite(y)) { open = false; return; }
      path += `${open ? "L" : "M"}${fx(x).toFixed(1)} ${fy(Math.min(Math.max(y, y0), y1)).toFixed(1)}`;
      open = true;
    });
    svg.append(s("path", {d: path, fill: "none", stroke: each.color, "stroke-width": each.width || 2, "stroke-linejoin": "round", "stroke-linecap": "round", opacity: each.opacity || null}));
    if (each.dots) each.x.forEach((x, i) => { if (each.y[i] !== null) svg.append(s("circle", {cx: fx(x), cy: fy(each.y[i]), r: 3, fill: each.color})); });
  }
  return svg;
}
// {label, x: [...], sets: [{y, color, r, opacity, pick}], xlabel, ylabel}: dots around the line of equality
function scatterChart(width, o) {
  const size = Math.min(width, o.size || 260), left = 44, bottom = 36, top = 8, right = 8;
  const svg = frame(width, size, o.label);
  const all = finite([...o.x, ...o.sets.flatMap(each => each.y)]), high = Math.max(...all, 1e-9) * 1.05, low = Math.min(0, ...all);
  const fx = x => left + (width - left - right) * (x - low) / (high - low), fy = y => size - bottom - (size - top - bottom) * (y - low) / (high - low);
  for (const t of niceTicks(low, high, 4)) svg.append(
    s("text", {x: left - 6, y: fy(t) + 4, "text-anchor": "end"}, plainNumber(t)), s("text", {x: fx(t), y: size - bottom + 15, "text-anchor": "middle"}, plainNumber(t)));
  svg.append(s("line", {x1: fx(low), y1: fy(low), x2: fx(high), y2: fy(high), stroke: "var(--floor)"}),
    s("text", {x: (left + width) / 2, y: size - 3, "text-anchor": "middle"}, o.xlabel || ""),
    s("text", {x: 12, y: (top + size - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + size - bottom) / 2})`}, o.ylabel || ""));
  for (const each of o.sets) each.y.forEach((y, i) => {
    if (y === null || o.x[i] === null) return;
    const dot = s("circle", {cx: fx(o.x[i]), cy: fy(y), r: i === each.chosen ? 6 : 3.5, fill: each.color, opacity: i === each.chosen ? 1 : .65, stroke: i === each.chosen ? "var(--ink)" : null});
    if (each.pick) { dot.setAttribute("class", "pickable"); dot.addEventListener("click", () => each.pick(i)); dot.append(s("title", {}, o.names ? o.names(i) : String(i + 1))); }
    svg.append(dot);
  });
  return svg;
}
// A picture of its own: a copy with the colours of the page written out, so that it opens anywhere.
function standalone(svg) {
  const copy = svg.cloneNode(true), style = getComputedStyle(document.documentElement);
  copy.setAttribute("xmlns", SVG);
  const box = svg.viewBox.baseVal;
  copy.setAttribute("width", box.width); copy.setAttribute("height", box.height);
  copy.prepend(s("style", {}, `text{font:11.5px system-ui,sans-serif;fill:${style.getPropertyValue("--soft").trim()}}text.strong{font-weight:600}`));
  const text = new XMLSerializer().serializeToString(copy);
  return text.replace(/var\((--[a-z-]+)\)/g, (_, of) => style.getPropertyValue(of).trim());
}
function toPNG(text, width, height) {
  return new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas"), scale = 2;
      canvas.width = width * scale; canvas.height = height * scale;
      const g = canvas.getContext("2d");
      g.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--paper").trim() || "#fff";
      g.fillRect(0, 0, canvas.width, canvas.height);
      g.drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(done, "image/png");
    };
    image.onerror = () => failed(new Error("the picture could not be drawn"));
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
  });
}
function download(content, filename, type) {
  const address = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type}));
  const link = document.createElement("a");
  link.href = address; link.download = filename; link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
