// Where the frames lie in embedding space: clean dots, adversarial diamonds, a line for each move, the current frame in front.

import { svg } from "./view.js";

const SIDE = 300;
const EDGE = 16;

const html = (tag, name, text) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text) node.textContent = text;
  return node;
};
const diamond = (x, y, r) => `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`;

// An arrow from the mean of a class's clean frames to that of the same frames attacked; none where it hardly moved.
const drift = ([x, y], [toX, toY]) => {
  const length = Math.hypot(toX - x, toY - y);
  if (length < 10) return [];
  const [ux, uy] = [(toX - x) / length, (toY - y) / length];
  const [bx, by] = [toX - 8 * ux, toY - 8 * uy];
  return [
    svg("path", { class: "pp-drift", d: `M${x} ${y}L${bx} ${by}` }),
    svg("path", { class: "pp-drift-head", d: `M${toX} ${toY}L${bx - 5 * uy} ${by + 5 * ux}L${bx + 5 * uy} ${by - 5 * ux}Z` }),
  ];
};

export class Clusters {
  constructor(view, title = "Embedding clusters") {
    this.view = view;
    this.root = html("section", "pp-clusters");
    const head = html("div", "pp-clusters-head");
    head.append(html("h3", "", title));
    this.switch = html("div", "pp-segments");
    head.append(this.switch);
    this.plots = html("div", "pp-clusters-plots");
    if (!view.embeddings.layers.length) {
      this.marks = [];
      this.switch.hidden = true;
      this.root.append(head, html("p", "pp-empty", view.embeddings.note));
      return;
    }
    this.root.append(head, this.plots, this.legend(), html("small", "pp-quiet pp-cluster-note", view.embeddings.note));
    for (const layer of view.embeddings.layers) {
      const button = html("button", "", layer.title);
      button.type = "button";
      button.addEventListener("click", () => this.show(layer));
      button.dataset.id = layer.id;
      this.switch.append(button);
    }
    this.show(view.embeddings.layers[0]);
  }

  legend() {
    const legend = html("p", "pp-cluster-legend");
    const entry = (name, text) => {
      const item = html("span", `pp-swatch ${name}`);
      const together = html("span", ""); // a symbol and its words, which stay in one line
      together.append(item, document.createTextNode(text));
      legend.append(together);
    };
    entry("pp-on", "speaking");
    entry("pp-off", "not speaking");
    entry("pp-dot", "clean frame");
    if (this.view.scores.adversarial) entry("pp-diamond", "the same frame, attacked");
    if (this.view.embeddings.layers[0].plots[0].reference) entry("pp-known", "reference frame");
    entry("pp-plus", "class centre");
    if (this.view.scores.adversarial) entry("pp-arrow", "where the clip's frames of a class went, on average");
    return legend;
  }

  show(layer) {
    for (const button of this.switch.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.id === layer.id));
    }
    this.marks = [];
    this.plots.replaceChildren(...layer.plots.map((plot) => this.plot(plot)));
    this.highlight(this.frame ?? 0);
  }

  plot({ title, clean, adversarial, centres, drifts, reference, ecr }) {
    const all = [...clean, ...(adversarial ?? []), ...(reference?.at ?? [])];
    const low = [0, 1].map((axis) => Math.min(...all.map((point) => point[axis])));
    const high = [0, 1].map((axis) => Math.max(...all.map((point) => point[axis])));
    const span = Math.max(high[0] - low[0], high[1] - low[1]) || 1;
    const place = (point) =>
      [0, 1].map((axis) => {
        const share = (point[axis] - (low[axis] + high[axis]) / 2) / span + 0.5;
        const inside = EDGE + (axis ? 1 - share : share) * (SIDE - 2 * EDGE);
        return Number(inside.toFixed(1));
      });
    const classes = this.view.strips[0].classes.map((label) => (label > 0 ? "pp-on" : "pp-off"));
    const dots = clean.map(place);
    const moved = adversarial?.map(place);
    const layers = [svg("rect", { class: "pp-field", width: SIDE, height: SIDE, rx: 8 })];
    for (const [i, point] of (reference?.at ?? []).entries()) {
      const [x, y] = place(point);
      layers.push(svg("circle", { class: `pp-known ${reference.classes[i] ? "pp-on" : "pp-off"}`, cx: x, cy: y, r: 2.6 }));
    }
    if (moved) {
      layers.push(svg("path", { class: "pp-moves", d: dots.map((dot, i) => `M${dot}L${moved[i]}`).join("") }));
      layers.push(...moved.map(([x, y], i) => svg("path", { class: `pp-diamond ${classes[i]}`, d: diamond(x, y, 3.6) })));
    }
    layers.push(...dots.map(([x, y], i) => svg("circle", { class: `pp-dot ${classes[i]}`, cx: x, cy: y, r: 2.8 })));
    for (const centre of centres) {
      const [x, y] = place(centre.at);
      const cross = `M${x - 7} ${y}H${x + 7}M${x} ${y - 7}V${y + 7}`;
      layers.push(svg("path", { class: "pp-centre-edge", d: cross }), svg("path", { class: `pp-centre ${centre.speaking ? "pp-on" : "pp-off"}`, d: cross }));
    }
    for (const { from, to } of drifts ?? []) layers.push(...drift(place(from), place(to)));
    const arrow = svg("path", { class: "pp-now-move" });
    const from = svg("circle", { class: "pp-now pp-now-clean", r: 6 });
    const to = svg("path", { class: "pp-now pp-now-adversarial" });
    layers.push(arrow, from, ...(moved ? [to] : []));
    this.marks.push({ dots, moved, arrow, from, to });
    const figure = html("figure", "");
    const canvas = svg("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", "aria-label": title }, ...layers);
    const caption = html("figcaption", "", title);
    if (ecr) caption.append(html("small", "pp-quiet", ` ${ecr}`));
    figure.append(canvas, caption);
    return figure;
  }

  highlight(frame) {
    this.frame = frame;
    for (const { dots, moved, arrow, from, to } of this.marks) {
      const [x, y] = dots[frame];
      from.setAttribute("cx", x);
      from.setAttribute("cy", y);
      if (!moved) continue;
      arrow.setAttribute("d", `M${x} ${y}L${moved[frame]}`);
      to.setAttribute("d", diamond(...moved[frame], 7));
    }
  }
}
