// <pp-compare src="compare.json">: one clip, several models, a score strip for each above the next, one play head over all.
import { Clusters } from "./clusters.js";
import { ViewElement, clock, el, probability, svg } from "./view.js";

const LEFT = 34;
const RIGHT = 8;
const HEIGHT = 96;
const MARKS = 10;
const AXIS = 20;
const LINES = [
  ["clean", "clean"],
  ["adversarial", "adversarial"],
  ["stored", "adversarial, as stored in the file"],
];

const percent = (share) => `${Math.round(100 * share)} %`;

// [start, stop, value] of each stretch of equal neighbours.
const stretches = (values) => {
  const found = [];
  for (let start = 0; start < values.length; ) {
    let stop = start;
    while (stop < values.length && values[stop] === values[start]) stop++;
    found.push([start, stop, values[start]]);
    start = stop;
  }
  return found;
};

class Strip {
  constructor(model, view, last) {
    Object.assign(this, { model, view, last });
    this.verdicts = [["before", "clean"], ["after", "adversarial"]].map(([label, scores]) => {
      return { label, scores, node: el("span", { class: "pp-verdict" }) };
    });
    this.plot = el("div", { class: "pp-plot" });
    const head = el(
      "header",
      {},
      el("h3", { text: model.name }),
      el("small", { class: "pp-quiet", text: model.words }),
      el("span", { class: "pp-verdicts" }, ...this.verdicts.map((verdict) => verdict.node)),
    );
    this.root = el("section", { class: "pp-strip-row", "aria-label": model.name }, head, this.plot);
  }

  x(frame) {
    return LEFT + (frame / this.view.frames) * (this.width - LEFT - RIGHT);
  }

  render(width, hidden, unit) {
    this.width = width;
    const { scores, classes } = this.model;
    const reach = Math.max(1, Math.ceil(Math.max(...Object.values(scores).flat().map(Math.abs))));
    const scale = unit === "probability" ? { low: 0, high: 1, middle: 0.5, value: probability } : { low: -reach, high: reach, middle: 0, value: (s) => s };
    const y = (value) => 7 + (HEIGHT - 14) * (1 - (value - scale.low) / (scale.high - scale.low));
    const bottom = HEIGHT + MARKS + 4;
    const nodes = [];
    for (let second = 0; second <= this.view.frames / this.view.fps + 1e-6; second += this.view.frames > 300 ? 2 : 1) {
      const at = this.x(second * this.view.fps);
      nodes.push(svg("line", { class: "pp-grid", x1: at, x2: at, y1: 0, y2: bottom }));
      if (this.last) nodes.push(this.text(`${second} s`, at, bottom + 14, "middle"));
    }
    const flips = scores.clean.map((score, i) => score > 0 !== scores.adversarial[i] > 0);
    for (const [start, stop, flipped] of stretches(flips)) {
      const bar = { x: this.x(start), y: 0, width: this.x(stop) - this.x(start), height: HEIGHT };
      if (flipped) nodes.push(svg("rect", { class: "pp-flip", ...bar }));
    }
    for (const tick of [scale.low, scale.middle, scale.high]) {
      nodes.push(svg("line", { class: tick === scale.middle ? "pp-mid" : "pp-grid", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }));
      nodes.push(this.text(String(tick), LEFT - 7, y(tick) + 4, "end"));
    }
    for (const [id] of [...LINES].reverse()) {
      if (hidden.has(id)) continue;
      const points = scores[id].map((score, i) => `${this.x(i + 0.5).toFixed(1)},${y(scale.value(score)).toFixed(1)}`);
      nodes.push(svg("polyline", { class: `pp-line pp-line-${id}`, points: points.join(" ") }));
    }
    for (const [start, stop, speaking] of stretches(classes)) {
      const bar = { x: this.x(start), y: HEIGHT + 2, width: this.x(stop) - this.x(start), height: MARKS };
      nodes.push(svg("rect", { class: speaking ? "pp-on" : "pp-off", ...bar }));
    }
    this.needle = svg("line", { class: "pp-needle", y1: 0, y2: bottom });
    const height = bottom + (this.last ? AXIS : 0);
    const label = `Speaking score of ${this.model.name}, frame by frame: ${this.model.words}`;
    this.canvas = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...nodes, this.needle);
    this.plot.replaceChildren(this.canvas);
  }

  text(words, x, y, anchor) {
    const node = svg("text", { x, y, "text-anchor": anchor });
    node.textContent = words;
    return node;
  }

  at(event) {
    const share = (event.clientX - this.canvas.getBoundingClientRect().left - LEFT) / (this.width - LEFT - RIGHT);
    return Math.min(this.view.frames - 1, Math.max(0, Math.floor(share * this.view.frames)));
  }

  show(frame, position) {
    const at = this.x(position);
    this.needle?.setAttribute("x1", at);
    this.needle?.setAttribute("x2", at);
    for (const { label, scores, node } of this.verdicts) {
      const score = this.model.scores[scores][frame];
      node.textContent = `${label} ${probability(score).toFixed(2)}`;
      node.title = score > 0 ? "speaking" : "not speaking";
      node.classList.toggle("pp-says", score > 0);
    }
  }
}

class Compare extends ViewElement {
  gone = "This comparison is no longer on the server. Run it again.";

  stop() {
    cancelAnimationFrame(this.ticking);
    this.observer?.disconnect();
    this.video?.pause();
  }

  build(folder) {
    const { view } = this;
    this.off = new Set();
    this.unit = "probability";
    this.frame = -1;
    this.strips = view.models.map((model, i) => new Strip(model, view, i === view.models.length - 1));
    this.clusters = view.models.map((model) => {
      return new Clusters({ embeddings: model.embeddings, scores: model.scores, strips: [{ classes: model.classes }] }, model.name);
    });
    this.rows = el("div", { class: "pp-strip-rows" }, ...this.strips.map((strip) => strip.root));
    const timeline = el("section", { class: "pp-timeline" }, this.legend(), this.rows);
    timeline.append(el("p", { class: "pp-quiet pp-marks", text: view.marks }));
    const legend = this.clusters.map((clusters) => clusters.root.querySelector(".pp-cluster-legend")).find(Boolean);
    this.replaceChildren(
      el("div", { class: "pp-compare-top" }, this.player(folder), this.bars()),
      this.transport(),
      timeline,
      el("h2", { text: "Embedding clusters, side by side" }),
      el("div", { class: "pp-compare-clusters" }, ...this.clusters.map((clusters) => clusters.root)),
      legend?.cloneNode(true) ?? "",
    );
    this.observer = new ResizeObserver(() => this.render());
    this.observer.observe(this.rows);
    this.pointer();
    this.render(true);
    this.tick();
  }

  player(folder) {
    this.video = el("video", { src: folder + this.view.file, playsinline: true, preload: "auto", "aria-label": "The clean clip" });
    this.video.addEventListener("ended", () => this.button.setAttribute("aria-label", "Play"));
    this.box = el("div", { class: "pp-box" });
    return el("figure", { class: "pp-compare-clip" }, el("div", { class: "pp-frame" }, this.video, this.box));
  }

  bars() {
    const rows = this.view.models.map((model) => {
      const [found, stored] = [model.flipped.adversarial, model.flipped.stored];
      const bar = el("span", { class: "pp-share" }, el("i", { style: `width:${100 * found}%` }), el("b", { style: `left:${100 * stored}%`, title: `stored ${percent(stored)}` }));
      const cells = [el("td", {}, bar), el("td", { class: "n", text: percent(found) }), el("td", { class: "n", text: percent(stored) })];
      return el("tr", {}, el("th", { scope: "row", text: model.name }), ...cells);
    });
    const heads = ["", "frames flipped", "found", "stored"].map((text, i) => (text ? el("th", { scope: "col", class: i > 1 ? "n" : "", text }) : el("td")));
    return el("table", { class: "pp-shares" }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows));
  }

  transport() {
    this.button = el("button", { class: "pp-play", type: "button", "aria-label": "Play" });
    this.button.addEventListener("click", () => this.toggle());
    this.slider = el("input", { type: "range", min: 0, max: this.view.frames - 1, step: 1, value: 0, class: "pp-seek", "aria-label": "Position" });
    this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));
    this.time = el("output", { class: "pp-time", text: clock(0) });
    return el("div", { class: "pp-transport" }, this.button, this.slider, this.time);
  }

  legend() {
    const legend = el("div", { class: "pp-legend" });
    for (const [id, text] of LINES) {
      const button = el("button", { type: "button", class: `pp-line-${id}`, "aria-pressed": "true", text });
      button.addEventListener("click", () => {
        this.off.has(id) ? this.off.delete(id) : this.off.add(id);
        button.setAttribute("aria-pressed", String(!this.off.has(id)));
        this.render(true);
      });
      legend.append(button);
    }
    const unit = el("button", { type: "button", class: "pp-unit", text: "show log-odds" });
    unit.addEventListener("click", () => {
      this.unit = this.unit === "probability" ? "log-odds" : "probability";
      unit.textContent = this.unit === "probability" ? "show log-odds" : "show probability";
      this.render(true);
    });
    legend.append(unit);
    return legend;
  }

  render(force = false) {
    const width = Math.floor(this.strips[0].plot.clientWidth);
    if (width < 120 || (width === this.width && !force)) return;
    this.width = width;
    for (const strip of this.strips) strip.render(width, this.off, this.unit);
    this.draw(Math.max(0, this.frame));
  }

  pointer() {
    for (const strip of this.strips) {
      strip.plot.addEventListener("pointerdown", (event) => {
        strip.plot.setPointerCapture(event.pointerId);
        this.seek(strip.at(event));
      });
      strip.plot.addEventListener("pointermove", (event) => {
        if (event.buttons) this.seek(strip.at(event));
      });
    }
  }

  toggle() {
    const playing = this.button.getAttribute("aria-label") === "Pause";
    this.button.setAttribute("aria-label", playing ? "Play" : "Pause");
    if (playing) return this.video.pause();
    if (this.video.ended || this.frame >= this.view.frames - 1) this.seek(0);
    this.video.play().catch(() => this.button.setAttribute("aria-label", "Play"));
  }

  seek(frame) {
    this.video.currentTime = (frame + 0.5) / this.view.fps;
    this.draw(frame);
  }

  tick() {
    const position = (this.video.currentTime || 0) * this.view.fps;
    const frame = Math.min(this.view.frames - 1, Math.floor(position + 1e-3));
    if (!this.video.seeking && (frame !== this.frame || !this.video.paused)) this.draw(frame, position);
    this.ticking = requestAnimationFrame(() => this.tick());
  }

  draw(frame, position = frame + 0.5) {
    const changed = frame !== this.frame;
    this.frame = frame;
    for (const strip of this.strips) strip.show(frame, position);
    if (!changed) return;
    this.slider.value = frame;
    this.time.textContent = clock(frame / this.view.fps);
    for (const clusters of this.clusters) clusters.highlight(frame);
    const [x1, y1, x2, y2] = this.view.boxes[frame];
    for (const [key, share] of Object.entries({ left: x1, top: y1, width: x2 - x1, height: y2 - y1 })) {
      this.box.style[key] = `${(100 * share).toFixed(2)}%`;
    }
  }
}

customElements.define("pp-compare", Compare);
