// What the page's own elements share: nodes in a line, and an element that shows the JSON file its `src` names.

const NS = "http://www.w3.org/2000/svg";

// An HTML element; `text` is its text, and attributes that are null, undefined or false are left out.
export const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") node.textContent = value;
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter(Boolean));
  return node;
};

export const svg = (tag, attributes = {}, ...children) => {
  const node = document.createElementNS(NS, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};

export const probability = (score) => 1 / (1 + Math.exp(-score));
export const clock = (seconds) => `${seconds.toFixed(2).padStart(5, "0")} s`;

// Reads the file of its `src` into `view` whenever that changes, and then calls `build(folder)`, folder being where the
// file lies. Whoever extends it stops what runs in `stop()`, and says in `gone` what to do when the file is not there.
export class ViewElement extends HTMLElement {
  static observedAttributes = ["src"];

  connectedCallback() {
    this.load();
  }

  attributeChangedCallback(_name, before, after) {
    if (before !== null && before !== after && this.isConnected) this.load();
  }

  disconnectedCallback() {
    this.stop();
  }

  async load() {
    this.stop();
    const src = this.getAttribute("src");
    if (!src) return;
    this.replaceChildren(el("p", { class: "pp-quiet", text: "Loading …" }));
    let view;
    try {
      const reply = await fetch(src);
      if (!reply.ok) throw new Error(reply.status);
      view = await reply.json();
    } catch {
      view = null;
    }
    if (this.getAttribute("src") !== src) return; // another one was asked for meanwhile
    if (!view) return this.replaceChildren(el("p", { class: "pp-quiet", text: this.gone }));
    this.view = view;
    // The room that the pictures will take, before they are there.
    this.style.setProperty("--pp-aspect", view.size ? `auto ${view.size[0]} / ${view.size[1]}` : "auto");
    if (view.size) this.style.setProperty("--pp-wide", view.size[0] / view.size[1]);
    this.build(src.slice(0, src.lastIndexOf("/") + 1));
  }
}
