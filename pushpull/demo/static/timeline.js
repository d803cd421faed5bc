// Scores, sound and noise over one time axis, drawn as SVG; click or drag seeks, hovering reads the values.

import { probability, svg } from "./view.js";

const LEFT = 44;
const RIGHT = 10;
const SCORE = 150;
const STRIP = 12;
const SOUND = 56;
const GAP = 18;

const LINES = [
  ["clean", "clean"],
  ["adversarial", "adversarial"],
  ["stored", "adversarial, as stored in the file"],
  ["file", "read again out of the file"],
];

export class Timeline {
  constructor(view, folder, seek) {
    this.view = view;
    this.folder = folder;
    this.seek = seek;
    this.hidden = new Set();
    this.unit = "probability";
    this.seconds = view.frames / view.fps;
    this.root = document.createElement("section");
    this.root.className = "pp-timeline";
    this.legend = document.createElement("div");
    this.legend.className = "pp-legend";
    this.plot = document.createElement("div");
    this.plot.className = "pp-plot";
    this.tip = document.createElement("div");
    this.tip.className = "pp-tip";
    this.tip.hidden = true;
    this.root.append(this.legend, this.plot);
    this.buildLegend();
  }

  open() {
    this.observer = new ResizeObserver(() => this.render());
    this.observer.observe(this.plot);
  }

  close() {
    this.observer?.disconnect();
  }

  buildLegend() {
    for (const [id, text] of LINES.filter(([id]) => this.view.scores[id])) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = `pp-line-${id}`;
      button.textContent = text;
      button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => {
        this.hidden.has(id) ? this.hidden.delete(id) : this.hidden.add(id);
        button.setAttribute("aria-pressed", String(!this.hidden.has(id)));
        this.render(true);
      });
      this.legend.append(button);
    }
    const unit = document.createElement("button");
    unit.type = "button";
    unit.className = "pp-unit";
    unit.textContent = "show log-odds";
    unit.addEventListener("click", () => {
      this.unit = this.unit === "probability" ? "log-odds" : "probability";
      unit.textContent = this.unit === "probability" ? "show log-odds" : "show probability";
      this.render(true);
    });
    this.legend.append(unit);
  }

  x(time) {
    return LEFT + (time / this.seconds) * (this.width - LEFT - RIGHT);
  }

  scale() {
    if (this.unit === "probability") return { low: 0, high: 1, ticks: [0, 0.5, 1], value: probability, middle: 0.5 };
    const shown = Object.values(this.view.scores).flat();
    const reach = Math.max(1, Math.ceil(Math.max(...shown.map(Math.abs))));
    return { low: -reach, high: reach, ticks: [-reach, 0, reach], value: (score) => score, middle: 0 };
  }

  render(force = false) {
    const width = Math.max(260, this.plot.clientWidth);
    if (width === this.width && !force) return;
    this.width = width;
    const { view } = this;
    const scale = this.scale();
    const y = (value) => 8 + (SCORE - 16) * (1 - (value - scale.low) / (scale.high - scale.low));
    const content = [];
    let top = SCORE;
    content.push(...this.flips(), ...this.axis(scale, y), ...this.scoreLines(scale, y));
    for (const strip of view.strips) {
      content.push(...this.strip(strip, top));
      top += STRIP + 6;
    }
    top += GAP - 6;
    if (view.sound) {
      content.push(...this.sound(view.sound, top));
      top += SOUND + GAP;
    }
    if (view.spectrogram) {
      const image = { x: LEFT, y: top, width: width - LEFT - RIGHT, height: SOUND, preserveAspectRatio: "none" };
      const title = view.spectrogram.title.split(", "); // the last part, its range of colours, only where there is room
      content.push(this.caption(title.slice(0, width < 480 ? 2 : 3).join(", "), top));
      content.push(svg("image", { ...image, href: this.folder + view.spectrogram.file }));
      top += SOUND + 8;
    }
    const bottom = top + 18;
    content.push(...this.seconds_axis(top));
    this.needle = svg("line", { class: "pp-needle", y1: 0, y2: top });
    content.push(this.needle);
    this.canvas = svg("svg", { width, height: bottom, viewBox: `0 0 ${width} ${bottom}`, role: "img" }, ...content);
    this.canvas.setAttribute("aria-label", view.description);
    this.plot.replaceChildren(this.canvas, this.tip);
    this.pointer();
    this.head(this.now ?? 0);
  }

  flips() {
    const { clean, adversarial } = this.view.scores;
    if (!adversarial) return [];
    const bars = [];
    for (let start = 0; start < clean.length; start++) {
      if (clean[start] > 0 === adversarial[start] > 0) continue;
      let stop = start;
      while (stop < clean.length && clean[stop] > 0 !== adversarial[stop] > 0) stop++;
      const left = this.x(start / this.view.fps);
      const width = this.x(stop / this.view.fps) - left;
      bars.push(svg("rect", { class: "pp-flip", x: left, y: 0, width, height: SCORE }));
      start = stop;
    }
    return bars;
  }

  axis(scale, y) {
    const nodes = [];
    for (const tick of scale.ticks) {
      const at = y(tick);
      nodes.push(svg("line", { class: tick === scale.middle ? "pp-mid" : "pp-grid", x1: LEFT, x2: this.width - RIGHT, y1: at, y2: at }));
      const label = svg("text", { x: LEFT - 8, y: at + 4, "text-anchor": "end" });
      label.textContent = tick;
      nodes.push(label);
    }
    return nodes;
  }

  scoreLines(scale, y) {
    const nodes = [];
    for (const [id] of [...LINES].reverse()) {
      const scores = this.view.scores[id];
      if (!scores || this.hidden.has(id)) continue;
      const at = (score, i) => `${this.x((i + 0.5) / this.view.fps).toFixed(1)},${y(scale.value(score)).toFixed(1)}`;
      let points = [];
      const draw = () => points.length && nodes.push(svg("polyline", { class: `pp-line pp-line-${id}`, points: points.join(" ") }));
      // Where no face was found in the file there is no score: the line has a gap.
      scores.forEach((score, i) => (score === null ? (draw(), (points = [])) : points.push(at(score, i))));
      draw();
    }
    return nodes;
  }

  strip({ title, classes }, top) {
    const nodes = [svg("rect", { class: "pp-strip", x: LEFT, y: top, width: this.width - LEFT - RIGHT, height: STRIP })];
    for (let start = 0; start < classes.length; ) {
      let stop = start;
      while (stop < classes.length && classes[stop] === classes[start]) stop++;
      if (classes[start] >= 0) {
        const left = this.x(start / this.view.fps);
        const bar = { x: left, y: top, width: this.x(stop / this.view.fps) - left, height: STRIP };
        nodes.push(svg("rect", { class: classes[start] ? "pp-on" : "pp-off", ...bar }));
      }
      start = stop;
    }
    const label = svg("text", { x: LEFT - 8, y: top + STRIP - 2, "text-anchor": "end" });
    label.textContent = title;
    return [...nodes, label];
  }

  caption(text, top) {
    const node = svg("text", { x: LEFT, y: top - 4, class: "pp-caption" });
    node.textContent = text;
    return node;
  }

  sound({ title, clean, noise }, top) {
    const middle = top + SOUND / 2;
    const span = this.width - LEFT - RIGHT;
    const band = (pairs, name) => {
      const at = (i) => (LEFT + ((i + 0.5) / pairs.length) * span).toFixed(1);
      const edge = (value) => (middle - (value * SOUND) / 2).toFixed(1);
      const upper = pairs.map(([, high], i) => `${at(i)},${edge(high)}`);
      const lower = pairs.map(([low], i) => `${at(i)},${edge(low)}`).reverse();
      return svg("polygon", { class: name, points: [...upper, ...lower].join(" ") });
    };
    const nodes = [this.caption(title, top), band(clean, "pp-wave-clean")];
    if (noise) nodes.push(band(noise, "pp-wave-noise"));
    return nodes;
  }

  seconds_axis(top) {
    const nodes = [];
    const step = this.seconds > 12 ? 2 : this.seconds > 2 ? 1 : 0.5;
    for (let time = 0; time <= this.seconds + 1e-6; time += step) {
      const label = svg("text", { x: this.x(time), y: top + 13, "text-anchor": "middle" });
      label.textContent = `${time} s`;
      nodes.push(svg("line", { class: "pp-grid", x1: this.x(time), x2: this.x(time), y1: 0, y2: top }), label);
    }
    return nodes;
  }

  pointer() {
    const time = (event) => {
      const share = (event.clientX - this.canvas.getBoundingClientRect().left - LEFT) / (this.width - LEFT - RIGHT);
      return Math.min(1, Math.max(0, share)) * (this.seconds - 1e-3);
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.seek(time(event));
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) this.seek(time(event));
      this.explain(Math.floor(time(event) * this.view.fps), event);
    });
    this.canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
  }

  explain(frame, event) {
    const lines = LINES.filter(([id]) => this.view.scores[id] && !this.hidden.has(id)).map(([id]) => {
      const score = this.view.scores[id][frame];
      if (score === null) return `${id}: no face found`;
      return `${id} ${probability(score).toFixed(3)} (${score > 0 ? "+" : "−"}${Math.abs(score).toFixed(2)})`;
    });
    this.tip.textContent = [`frame ${frame}, ${(frame / this.view.fps).toFixed(2)} s`, ...lines].join("\n");
    this.tip.hidden = false;
    const bounds = this.plot.getBoundingClientRect();
    const left = event.clientX - bounds.left;
    this.tip.style.left = `${Math.min(left + 12, bounds.width - this.tip.offsetWidth - 4)}px`;
    this.tip.style.top = "6px";
  }

  head(time) {
    this.now = time;
    if (!this.needle) return;
    const at = this.x(time);
    this.needle.setAttribute("x1", at);
    this.needle.setAttribute("x2", at);
  }
}
