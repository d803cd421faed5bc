// The screens of the test to try before and after its trials.

import { button, h } from "./element.js";
import { heading, how, once } from "./screens.js";

const TILES = ["X", "A", "B"];

export function welcome(app) {
  const counted = h("input", { type: "checkbox", id: "counted", "aria-describedby": "counted-help" });
  return {
    title: "Can you tell?",
    nodes: [
      h(
        "div",
        { class: "opening" },
        h("div", { class: "tiles", "aria-hidden": "true" }, ...TILES.map((name) => h("span", { "data-role": name }, h("b", { text: name })))),
        h(
          "div",
          { class: "opening-words" },
          heading("Can you tell?"),
          h("p", { class: "lead", text: "A little noise makes a detector see a silent face speak, or a speaking face be silent. Would you notice it?" }),
          h("p", { text: "One practice trial, then six. About three minutes, with sound." }),
        ),
      ),
      how(),
      h(
        "label",
        { class: "tick", for: "counted" },
        counted,
        h("span", {}, "Add my result to the count", h("span", { class: "quiet small block", id: "counted-help", text: "Only how many of the six were right, a number from 0 to 6. Without the tick nothing at all is stored." })),
      ),
      button("Begin", once(() => app.begin(counted.checked)), { class: "button main" }),
      h(
        "aside",
        { class: "aside", "aria-label": "For experimenters" },
        h("p", {}, h("b", { text: "Run a study of your own. " }), "Clips, attacks and a budget; a link for each volunteer; exact statistics."),
        h("a", { class: "button", href: "xab/lab", text: "Sign in" }),
      ),
    ],
  };
}

/** The first visitor after an installation waits for the clips; `ask` tells how far they are. */
export function making(state, ask, onReady, every) {
  const bar = h("progress", { max: state.of, value: state.made, "aria-label": "Clips made" });
  const count = h("p", { class: "quiet num", role: "status" });
  const tell = ({ made, of }) => {
    bar.max = of;
    bar.value = made;
    count.textContent = made ? `${made} of ${of} pairs` : "reading the faces";
  };
  tell(state);
  let closed = false;
  const poll = async () => {
    if (closed) return;
    const next = await ask();
    if (closed) return;
    if (next.step !== "making") return onReady(next);
    tell(next);
    setTimeout(poll, every);
  };
  setTimeout(poll, every);
  return {
    title: "Making the clips",
    nodes: [
      heading("The clips are being made"),
      h("p", { text: "You are the first to try the test on this server, so faces are being attacked just now. This takes about a minute, once." }),
      h("div", { class: "making" }, bar, count),
    ],
    close: () => (closed = true),
  };
}

export function failed(app) {
  return {
    title: "No clips",
    nodes: [
      heading("The clips could not be made"),
      h("p", { text: "Something is missing on this server. Whoever runs it finds the reason in worker.log, in the folder of the test's data." }),
      button("Begin again", () => app.welcome(), { class: "button main" }),
    ],
  };
}

export function result(found, app) {
  const marks = found.right.map((right, index) =>
    h("li", { "data-right": right || null }, h("span", { class: "hidden", text: `Trial ${index + 1}: ${right ? "right" : "wrong"}` }), h("span", { "aria-hidden": "true", text: right ? "✓" : "✗" })),
  );
  const stored = found.counted ? "Your result was added to the count; nothing else was stored." : "Nothing was stored.";
  return {
    title: "Your result",
    nodes: [
      heading(found.headline),
      h("ol", { class: "marks", "aria-label": "Your answers" }, ...marks),
      guessers(found),
      h("p", {}, h("b", { text: found.chance }), ` (Exact binomial test, two-sided: p = ${found.p.toFixed(2)}.)`),
      h("p", { text: found.meaning }),
      h("p", { class: "quiet", text: "It takes a study to show that people cannot tell: many answers of many people, and a margin that is set before." }),
      found.clips && h("div", { class: "saw" }, h("h2", { text: "What you were shown" }), h("p", { text: found.clips }), app.browser && h("p", { class: "quiet", text: app.browser.changes ? "Your browser changed pixels or samples on the way." : "Your browser passed every pixel and sample on unchanged." })),
      h("p", { class: "quiet" }, stored, found.tally ? ` ${found.tally}` : ""),
      h("div", { class: "row" }, button("Try again", () => app.welcome(), { class: "button main" }), h("a", { class: "button", href: "xab/lab", text: "Run a study: sign in" })),
    ],
  };
}

/** How many of 64 people who only guess get each number right: all there is to the binomial distribution. */
function guessers({ ways, guessers: people, correct }) {
  const most = Math.max(...ways);
  const bars = ways.map((count, right) => {
    const fill = h("span", { class: "fill" });
    fill.style.height = `${(100 * count) / most}%`;
    return h("div", { "data-you": right === correct || null }, h("span", { class: "num", text: String(count) }), h("span", { class: "space" }, fill), h("span", { class: "num right", text: String(right) }));
  });
  return h(
    "figure",
    { class: "guessers" },
    h("figcaption", { text: `Of ${people} people who only guess, so many get 0 to ${ways.length - 1} right` }),
    h("div", { class: "bars", role: "img", "aria-label": `${ways.map((count, right) => `${right} right: ${count}`).join("; ")}. You: ${correct} right.` }, ...bars),
  );
}
