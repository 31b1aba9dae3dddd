"use strict";

// Figures enlarge.
const dialog = document.querySelector("dialog");
for (const figure of document.querySelectorAll(".figure")) {
  figure.addEventListener("click", () => {
    const image = figure.querySelector("img");
    dialog.querySelector("img").src = image.src;
    dialog.querySelector("img").alt = image.alt;
    dialog.showModal();
  });
}
dialog.querySelector("img").addEventListener("click", () => dialog.close());

// Tables sort by the number that a cell begins with, or by its text.
function key(cell) {
  const text = cell ? cell.textContent.trim() : "";
  const number = parseFloat(text.replace(/^[^\d+\-.]*/, ""));
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
      rows.sort((a, b) => (ascending ? compare(a[0], b[0]) : compare(b[0], a[0])));
      body.append(...rows.map(([, row]) => row));
    });
  }
}

// Thresholds: a sample is flagged when its score lies strictly above.
const explorable = JSON.parse(document.getElementById("scores").textContent);
const HEIGHT = 160, WIDTH = 640, BINS = 64;

function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float64Array(bytes.buffer);
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

class Explorer {
  constructor(root) {
    this.root = root;
    this.runs = explorable[root.dataset.experiment];
    this.find = (selector) => root.querySelector(selector);
    for (const option of [...this.find(".protocol").options]) {
      if (!Object.keys(this.runs[option.value] || {}).length) option.remove();
    }
    this.find(".protocol").addEventListener("change", () => this.pickProtocol());
    this.find(".seed").addEventListener("change", () => this.pickSeed());
    this.find("input").addEventListener("input", () => this.set(this.valueAt(this.find("input").value / 1000)));
    this.pickProtocol();
    root.hidden = false;
  }
  pickProtocol() {
    const seeds = Object.keys(this.runs[this.find(".protocol").value]);
    this.find(".seed").replaceChildren(...seeds.map((seed) => new Option(seed, seed)));
    this.pickSeed();
  }
  pickSeed() {
    const run = this.runs[this.find(".protocol").value][this.find(".seed").value];
    this.scores = decode(run.scores);
    this.labels = [...run.labels].map(Number);
    const sorted = this.scores.slice().sort();
    const [first, last] = [sorted[0], sorted[sorted.length - 1]];
    // Errors that span orders of magnitude are told apart on a logarithmic scale.
    this.logarithmic = first > 0 && last / first > 100;
    this.ends = [this.scaled(first), this.scaled(last)];
    this.find(".rules").replaceChildren(...run.decisions.map((decision) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${decision.rule}: ${shown(decision.threshold)}`;
      button.addEventListener("click", () => this.set(decision.threshold));
      return button;
    }));
    this.draw();
    this.set(run.decisions.length ? run.decisions[0].threshold : sorted[Math.floor(sorted.length * 0.95)]);
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
  draw() {
    const bins = [new Array(BINS).fill(0), new Array(BINS).fill(0)];
    this.scores.forEach((score, i) => {
      bins[this.labels[i]][Math.min(BINS - 1, Math.floor(this.place(score) * BINS))] += 1;
    });
    // Each class by its own size: anomalies are often few.
    const totals = bins.map((counts) => counts.reduce((a, b) => a + b, 0) || 1);
    const highest = Math.max(...bins.flatMap((counts, label) => counts.map((count) => count / totals[label])));
    const histogram = this.find(".histogram");
    histogram.replaceChildren(...bins.flatMap((counts, label) => counts.map((count, i) => {
      const height = (HEIGHT * count) / totals[label] / highest;
      return drawing("rect", {
        class: label ? "anomaly" : "normal", x: (i * WIDTH) / BINS, width: WIDTH / BINS - 1, y: HEIGHT - height, height,
      });
    })));
    this.line = drawing("line", { class: "at", y1: 0, y2: HEIGHT });
    histogram.append(this.line);
    this.find(".low").textContent = shown(this.valueAt(0));
    this.find(".high").textContent = shown(this.valueAt(1));
    this.find(".kind").textContent = this.logarithmic ? "score, logarithmic" : "score";
  }
  set(threshold) {
    const slider = this.find("input");
    slider.value = Math.round(this.place(threshold) * 1000);
    slider.setAttribute("aria-valuetext", shown(threshold));
    const x = this.place(threshold) * WIDTH;
    this.line.setAttribute("x1", x);
    this.line.setAttribute("x2", x);
    this.find(".value").textContent = shown(threshold);
    const decided = decide(this.scores, this.labels, threshold);
    for (const [name, value] of Object.entries(decided)) this.find(`.${name}`).textContent = shown(value);
  }
}
for (const root of document.querySelectorAll(".explore")) new Explorer(root);
