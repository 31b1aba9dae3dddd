"use strict";

// What only works with this script is shown by it.
for (const element of document.querySelectorAll(".scripted")) element.hidden = false;

// Figures enlarge.
const dialog = document.querySelector("dialog");
for (const figure of document.querySelectorAll(".figure")) {
  figure.addEventListener("click", () => {
    const image = figure.querySelector("img");
    dialog.querySelector("img").src = image.src;
    dialog.querySelector("img").alt = image.alt;
    dialog.querySelector("p").textContent = figure.parentElement.querySelector("figcaption")?.textContent || image.alt;
    dialog.showModal();
  });
}
dialog.querySelector("img").addEventListener("click", () => dialog.close());

// Tables sort by the number that a cell begins with, or by its text.
function key(cell) {
  const text = cell ? cell.textContent.trim() : "";
  const number = parseFloat(text.replace(/^[^\d+\-.]*/, ""));
  if (text === "" || text === "-") return [2, text];
  return /^[<+\-]?\s*[\d.]/.test(text) && !Number.isNaN(number) ? [0, number] : [1, text];
}
function compare(a, b) {
  if (a[0] !== b[0]) return a[0] - b[0];
  return a[0] === 0 ? a[1] - b[1] : a[1].localeCompare(b[1]);
}
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.querySelectorAll("thead th")];
  for (const heading of headings) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const body = table.tBodies[0];
      const column = heading.cellIndex;
      const rows = [...body.rows].map((row) => [key(row.cells[column]), row]);
      // Cells without a value stay last.
      const empty = ([[kind]]) => Number(kind === 2);
      rows.sort((a, b) => empty(a) - empty(b) || (ascending ? compare(a[0], b[0]) : compare(b[0], a[0])));
      body.append(...rows.map(([, row]) => row));
    });
  }
}

// What is folded is printed too.
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:not([open])")) fold.dataset.folded = fold.open = true;
});
addEventListener("afterprint", () => {
  for (const fold of document.querySelectorAll("details[data-folded]")) {
    fold.open = false;
    delete fold.dataset.folded;
  }
});

// A sample is flagged when its score lies strictly above the threshold.
const explorable = JSON.parse(document.getElementById("explorable").textContent);
const WIDTH = 640, HEIGHT = 130, STRIP = 200, MARGIN = 6, BINS = 64;

function decode(text, form) {
  return new form(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}
function decide(scores, labels, threshold) {
  const counts = { tn: 0, fp: 0, fn: 0, tp: 0 };
  scores.forEach((score, i) => {
    const flagged = score > threshold;
    counts[labels[i] ? (flagged ? "tp" : "fn") : (flagged ? "fp" : "tn")] += 1;
  });
  const { fp, fn, tp } = counts;
  const precision = tp + fp ? tp / (tp + fp) : null;
  const recall = tp + fn ? tp / (tp + fn) : null;
  return { ...counts, precision, recall, f1: 2 * tp + fp + fn ? (2 * tp) / (2 * tp + fp + fn) : null };
}
function shown(value) {
  if (value === null) return "undefined";
  return Number.isInteger(value) ? String(value) : value.toPrecision(4);
}
function drawing(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  return element;
}
function written(name, text, attributes = {}) {
  const element = Object.assign(document.createElement(name), { textContent: text });
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  return element;
}

// One sample, drawn as what it is. The values are bytes, of which 0 and 255 stand for the limits.
function image(values, [height, width], label) {
  const canvas = written("canvas", "", { width, height, role: "img", "aria-label": label });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  values.forEach((value, i) => pixels.data.set([value, value, value, 255], 4 * i));
  context.putImageData(pixels, 0, 0);
  return canvas;
}
function curves(lines, label) {
  const svg = drawing("svg", { viewBox: "0 0 300 120", class: "drawn", role: "img", "aria-label": label });
  for (const [name, values] of Object.entries(lines)) {
    const points = [...values].map((value, i) => `${(300 * i) / (values.length - 1)},${118 - (116 * value) / 255}`);
    svg.append(drawing("polyline", { class: name, points: points.join(" ") }));
  }
  return svg;
}
function titled(view, text) {
  const box = document.createElement("figure");
  box.append(view, written("figcaption", text));
  return box;
}
function difference(a, b) { return a.map((value, i) => Math.abs(value - b[i])); }
function views({ kind, shape }, input, output) {
  if (kind === "image") {
    return [["input", input], ["reconstruction", output], ["difference", difference(input, output)]].map(
      ([name, values]) => titled(image(values, shape, name), name));
  }
  return [
    titled(curves({ input, reconstruction: output }, "input and reconstruction"), "input and reconstruction"),
    titled(curves({ difference: difference(input, output) }, "difference"), "difference"),
  ];
}
function featureTable(names, input, output) {
  const table = document.createElement("table");
  const squares = [...input].map((value, i) => (value - output[i]) ** 2);
  const rows = [["feature", "input", "reconstruction", "squared error"]];
  names.forEach((name, i) => rows.push([name, shown(input[i]), shown(output[i]), shown(squares[i])]));
  rows.forEach((cells, i) => {
    const row = table.insertRow();
    row.append(...cells.map((cell) => written(i ? "td" : "th", cell, i ? {} : { scope: "col" })));
  });
  return titled(table, "the features that make most of its score, in units of the model's inputs");
}

class Explorer {
  constructor(root) {
    this.root = root;
    this.protocols = explorable[root.dataset.experiment];
    this.find = (selector) => root.querySelector(selector);
    for (const option of [...this.find(".protocol").options]) {
      if (!Object.keys(this.protocols[option.value]?.runs || {}).length) option.remove();
    }
    this.find(".protocol").addEventListener("change", () => this.pickProtocol());
    this.find(".seed").addEventListener("change", () => this.pickSeed());
    this.find(".threshold input").addEventListener("input", (event) => this.set(this.valueAt(event.target.value / 1000)));
    this.find(".histogram").addEventListener("click", (event) => this.pickAt(event, ({ x }) => [x, 0]));
    this.find(".strip").addEventListener("click", (event) => this.pickAt(event, ({ index, y }) => [index, y]));
    this.find(".previous").addEventListener("click", () => this.step(-1));
    this.find(".next").addEventListener("click", () => this.step(1));
    this.find(".wrong").addEventListener("click", () => this.step(1, (i) => this.isWrong(i)));
    this.find(".epochs").addEventListener("input", () => this.drawEpoch());
    this.pickProtocol();
    root.hidden = false;
  }
  pickProtocol() {
    this.explored = this.protocols[this.find(".protocol").value];
    const seeds = Object.keys(this.explored.runs);
    this.find(".seed").replaceChildren(...seeds.map((seed) => new Option(seed, seed)));
    this.pickSeed();
    this.drawLearning();
  }
  pickSeed() {
    const seed = this.find(".seed").value, run = this.explored.runs[seed];
    this.scores = decode(run.scores, Float64Array);
    this.labels = [...run.labels].map(Number);
    const sorted = this.scores.slice().sort();
    // A threshold may lie beyond all scores.
    const limits = run.decisions.map(({ threshold }) => threshold).filter(Number.isFinite);
    const [first, last] = [Math.min(sorted[0], ...limits), Math.max(sorted[sorted.length - 1], ...limits)];
    // Errors that span orders of magnitude are told apart on a logarithmic scale.
    this.logarithmic = first > 0 && last / first > 20;
    this.ends = [this.scaled(first), this.scaled(last)];
    this.find(".rules").replaceChildren(...run.decisions.map((decision) => {
      const button = written("button", `${decision.rule}: ${shown(decision.threshold)}`, { type: "button" });
      button.addEventListener("click", () => this.set(decision.threshold));
      return button;
    }));
    if (!run.decisions.length) {
      this.find(".rules").append("The source sets no threshold on these scores. This one has 5 % of the normal samples above it.");
    }
    const samples = this.explored.samples;
    this.samples = samples && String(samples.seed) === seed ? samples : null;
    this.find(".sample").hidden = !samples;
    this.find(".stored").hidden = !this.samples;
    this.find(".elsewhere").hidden = Boolean(this.samples);
    this.find(".elsewhere").textContent = samples ? `Samples are kept of seed ${samples.seed} only; choose it to look at them.` : "";
    if (this.samples) {
      const form = samples.kind === "features" ? Float32Array : Uint8Array;
      this.inputs = decode(samples.inputs, form);
      this.outputs = decode(samples.reconstructions, form);
    }
    this.draw();
    const normal = this.scores.filter((_, i) => this.labels[i] === 0).sort();
    this.set(run.decisions.length ? run.decisions[0].threshold : normal[Math.ceil(normal.length * 0.95) - 1]);
    if (!this.samples) return;
    if (this.shown !== this.samples) this.picked = Math.max(0, this.samples.indices.findIndex((_, i) => this.isWrong(i)));
    this.shown = this.samples;
    this.pick(this.picked);
  }
  scaled(value) { return this.logarithmic ? Math.log(value) : value; }
  place(value) {
    const [low, high] = this.ends;
    return Math.min(1, Math.max(0, (this.scaled(value) - low) / ((high - low) || 1)));
  }
  valueAt(place) {
    const value = this.ends[0] + place * (this.ends[1] - this.ends[0]);
    return this.logarithmic ? Math.exp(value) : value;
  }
  at(index) {
    const place = this.place(this.scores[index]);
    return {
      x: place * WIDTH,
      index: MARGIN + (index * (WIDTH - 2 * MARGIN)) / Math.max(1, this.scores.length - 1),
      y: STRIP - MARGIN - place * (STRIP - 2 * MARGIN),
    };
  }
  draw() {
    const bins = [new Array(BINS).fill(0), new Array(BINS).fill(0)];
    this.scores.forEach((score, i) => {
      bins[this.labels[i]][Math.min(BINS - 1, Math.floor(this.place(score) * BINS))] += 1;
    });
    // Each class by its own size: anomalies are often few.
    const totals = bins.map((counts) => counts.reduce((a, b) => a + b, 0) || 1);
    const highest = Math.max(...bins.flatMap((counts, label) => counts.map((count) => count / totals[label])));
    this.lines = [
      drawing("line", { class: "at", y1: 0, y2: HEIGHT }), drawing("line", { class: "at", x1: 0, x2: WIDTH }),
    ];
    this.find(".histogram").replaceChildren(...bins.flatMap((counts, label) => counts.map((count, i) => {
      const height = (HEIGHT * count) / totals[label] / highest;
      return drawing("rect", {
        class: label ? "anomaly" : "normal", x: (i * WIDTH) / BINS, width: WIDTH / BINS - 1, y: HEIGHT - height, height,
      });
    })), this.lines[0]);
    const points = [0, 1].map((label) => this.labels.map((of, i) => {
      const { index, y } = this.at(i);
      return of === label ? `M${index.toFixed(1)} ${y.toFixed(1)}h0` : "";
    }).join(""));
    const stored = (this.samples?.indices || []).map((sample) => {
      const { index, y } = this.at(sample);
      return drawing("circle", { class: this.labels[sample] ? "anomaly" : "normal", cx: index, cy: y, r: 4 });
    });
    this.marker = drawing("circle", { class: "picked", r: 8, cx: -20, cy: -20 });
    this.find(".strip").replaceChildren(
      drawing("path", { class: "normal", d: points[0] }), drawing("path", { class: "anomaly", d: points[1] }),
      ...stored, this.lines[1], this.marker);
    this.find(".low").textContent = shown(this.valueAt(0));
    this.find(".high").textContent = shown(this.valueAt(1));
    this.find(".kind").textContent = this.logarithmic ? "score, logarithmic" : "score";
  }
  set(threshold) {
    this.threshold = threshold;
    const slider = this.find(".threshold input"), place = this.place(threshold);
    slider.value = Math.round(place * 1000);
    slider.setAttribute("aria-valuetext", shown(threshold));
    for (const end of ["x1", "x2"]) this.lines[0].setAttribute(end, place * WIDTH);
    for (const end of ["y1", "y2"]) this.lines[1].setAttribute(end, STRIP - MARGIN - place * (STRIP - 2 * MARGIN));
    this.find(".value").textContent = shown(threshold);
    const decided = decide(this.scores, this.labels, threshold);
    for (const [name, value] of Object.entries(decided)) this.find(`.${name}`).textContent = shown(value);
    if (this.samples && this.shown === this.samples) this.say();
  }
  isWrong(i) {
    const sample = this.samples.indices[i];
    return (this.scores[sample] > this.threshold) !== (this.labels[sample] === 1);
  }
  pickAt(event, position) {
    if (!this.samples) return;
    const box = event.currentTarget.getBoundingClientRect();
    const [, , width, height] = event.currentTarget.getAttribute("viewBox").split(" ");
    const x = ((event.clientX - box.left) * width) / box.width, y = ((event.clientY - box.top) * height) / box.height;
    const distances = this.samples.indices.map((sample) => {
      const [a, b] = position(this.at(sample));
      return Math.hypot(a - x, b && b - y);
    });
    this.pick(distances.indexOf(Math.min(...distances)));
  }
  step(by, wanted = () => true) {
    const count = this.samples.indices.length;
    for (let steps = 1; steps <= count; steps += 1) {
      const i = (this.picked + by * steps + count * count) % count;
      if (wanted(i)) { this.pick(i); return; }
    }
    this.find(".said").textContent = "No wrong decision among the stored samples at this threshold.";
  }
  pick(i) {
    this.picked = i;
    const { samples } = this, sample = samples.indices[i], size = samples.shape.reduce((a, b) => a * b, 1);
    const [input, output] = [this.inputs, this.outputs].map((values) => values.slice(i * size, (i + 1) * size));
    this.find(".views").replaceChildren(...(samples.kind === "features"
      ? [featureTable(samples.features[i], input, output)] : views(samples, input, output)));
    const { index, y } = this.at(sample);
    this.marker.setAttribute("cx", index);
    this.marker.setAttribute("cy", y);
    const count = samples.indices.length;
    this.find(".about").textContent = count < this.scores.length
      ? `${count} of ${this.scores.length} test samples can be looked at, the larger dots: wrong decisions of the run's threshold, at most 100, and a spread of the others.`
      : `All ${count} test samples can be looked at.`;
    this.say();
  }
  say() {
    const sample = this.samples.indices[this.picked], score = this.scores[sample];
    const flagged = score > this.threshold, wrong = this.isWrong(this.picked);
    this.find(".said").replaceChildren(
      `Sample ${sample}, ${this.labels[sample] ? "an anomaly" : "normal"}. Score ${shown(score)} of the ${this.explored.method}, `,
      written("strong", `${flagged ? "flagged" : "not flagged"}, ${wrong ? "wrongly" : "rightly"}`, { class: wrong ? "bad" : "good" }), ".");
  }
  drawLearning() {
    const learning = this.explored.learning;
    this.find(".learning").hidden = !learning;
    if (!learning) return;
    const size = learning.shape.reduce((a, b) => a * b, 1), inputs = decode(learning.inputs, Uint8Array);
    this.pairs = learning.indices.map((_, i) => inputs.slice(i * size, (i + 1) * size));
    this.outputs_by_epoch = decode(learning.reconstructions, Uint8Array);
    const slider = this.find(".epochs");
    slider.max = learning.epochs.length - 1;
    slider.value = slider.max;
    this.drawEpoch();
  }
  drawEpoch() {
    const { learning } = this.explored, step = Number(this.find(".epochs").value), epoch = learning.epochs[step];
    const size = learning.shape.reduce((a, b) => a * b, 1), count = learning.indices.length;
    this.find(".of").textContent = learning.seed;
    this.find(".how").textContent = `Each sample ${learning.kind === "image" ? "above" : "and, over it,"} its reconstruction; first normal ones, then anomalies`;
    this.find(".epoch").textContent = `${epoch} of ${learning.losses.length || epoch}${learning.losses.length ? `, loss ${shown(learning.losses[epoch - 1] ?? null)}` : ""}`;
    this.find(".epochs").setAttribute("aria-valuetext", `epoch ${epoch}`);
    this.find(".pairs").classList.toggle("wide", learning.shape.length > 1 && learning.shape[1] > 40 || learning.kind === "curve");
    this.find(".pairs").replaceChildren(...this.pairs.map((input, i) => {
      const start = (step * count + i) * size, output = this.outputs_by_epoch.slice(start, start + size);
      const pair = document.createElement("div");
      if (learning.kind === "image") {
        pair.append(image(input, learning.shape, `sample ${i + 1}`), image(output, learning.shape, `its reconstruction after epoch ${epoch}`));
      } else {
        pair.append(curves({ input, reconstruction: output }, `sample ${i + 1} and its reconstruction after epoch ${epoch}`));
      }
      return pair;
    }));
    const logs = learning.losses.map((loss) => Math.log(Math.max(loss, 1e-12)));
    const [low, high] = [Math.min(...logs), Math.max(...logs)];
    const at = (i) => [MARGIN + (i * (WIDTH - 2 * MARGIN)) / Math.max(1, logs.length - 1), 74 - (68 * (logs[i] - low)) / ((high - low) || 1)];
    const line = drawing("polyline", { class: "input", points: logs.map((_, i) => at(i).join(",")).join(" ") });
    const [x, y] = logs.length ? at(Math.min(epoch, logs.length) - 1) : [-20, -20];
    this.find(".loss").replaceChildren(line, drawing("circle", { class: "picked", cx: x, cy: y, r: 5 }));
  }
}
for (const root of document.querySelectorAll(".explore")) new Explorer(root);
