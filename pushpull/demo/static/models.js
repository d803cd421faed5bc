// <pp-models>: the cards that the server wrote, searched, filtered by group and sorted here.

class Models extends HTMLElement {
  connectedCallback() {
    this.list = this.querySelector(".pp-models-list");
    if (!this.list || this.cards) return;
    this.cards = [...this.list.children];
    this.search = this.querySelector("input[type=search]");
    this.order = this.querySelector("select");
    this.groups = [...this.querySelectorAll(".pp-segments [data-group]")];
    this.count = this.querySelector("output");
    this.search.addEventListener("input", () => this.arrange());
    this.order.addEventListener("change", () => this.arrange());
    for (const button of this.groups) {
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
        this.arrange();
      });
    }
  }

  arrange() {
    // Words are looked for where words begin: "d3" is a row's name, not a piece of somebody's hash.
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = words.map((word) => new RegExp(`(?<![a-z0-9])${word.replace(/[^a-z0-9]/g, "\\$&")}`));
    const chosen = this.groups.filter((button) => button.getAttribute("aria-pressed") === "true").map((button) => button.dataset.group);
    let shown = 0;
    for (const card of this.cards) {
      const text = wordsOf(card);
      card.hidden = !wanted.every((pattern) => pattern.test(text)) || (chosen.length > 0 && !chosen.includes(card.dataset.group));
      shown += card.hidden ? 0 : 1;
    }
    const key = this.order.value;
    const ranked = [...this.cards];
    if (key === "name") ranked.sort((a, b) => a.dataset.name.localeCompare(b.dataset.name));
    else if (key) ranked.sort((a, b) => (key === "size" ? 1 : -1) * (Number(a.dataset[key]) - Number(b.dataset[key])));
    this.list.append(...ranked);
    this.count.textContent = shown === 1 ? "1 detector" : `${shown} detectors`;
  }
}

// A card's text, with a space where one element ends and the next begins.
function wordsOf(card) {
  const parts = [];
  const walker = document.createTreeWalker(card, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) parts.push(walker.currentNode.data);
  return parts.join(" ").toLowerCase();
}

customElements.define("pp-models", Models);
