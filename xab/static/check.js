// The page that runs the browser's self-check by itself and explains what it found.

import { button, h } from "./element.js";
import { explain, selfCheck } from "./selfcheck.js";

export function check(state, app) {
  const title = h("h1", { tabindex: -1, text: "Checking your browser" });
  const lead = h("p", { text: "The test only makes sense if every pixel and every sample reaches you unchanged. This takes a second." });
  const rows = [
    ["picture", "Picture"],
    ["sound", "Sound"],
  ].map(([id, name]) => {
    const value = h("span", { class: "found", text: "checking …" });
    return { id, value, node: h("li", { "data-now": "busy" }, h("b", { text: name }), value) };
  });
  const outcome = h("div", { class: "outcome" });
  let closed = false;

  const mark = (id, right, text) => {
    const row = rows.find((one) => one.id === id);
    row.node.dataset.now = right ? "right" : "wrong";
    row.value.textContent = text;
  };

  const start = () => run().catch((error) => app.refused(error));

  async function run() {
    outcome.replaceChildren();
    for (const row of rows) {
      row.node.dataset.now = "busy";
      row.value.textContent = "checking …";
    }
    const report = await selfCheck(await app.api.blob("selfcheck.mp4"));
    const reply = await app.api.post("check", { report });
    if (closed) return;
    mark("picture", report.wrong_pixels === 0, said(report.wrong_pixels, "pixels"));
    mark("sound", report.wrong_samples === 0, said(report.wrong_samples, "samples"));
    if (reply.passed) pass(reply.state);
    else fail(report, reply.state);
  }

  function pass(next) {
    title.textContent = "Your browser is fine";
    lead.textContent = "It shows every pixel and plays every sample exactly as stored.";
    finish(next);
  }

  function fail(report, next) {
    const { what, todo } = explain(report);
    const stops = next.step === "check";
    title.textContent = stops ? "This browser will not do" : "Your browser changes the clips";
    lead.textContent = stops
      ? "What you would see or hear is not what the study means to show, so it cannot go on here. Nothing is lost: the same link works in another browser."
      : "You may go on; the experimenter will see that this check failed. Another browser would be better.";
    outcome.replaceChildren(
      h("div", { class: "advice" }, h("p", { text: what }), h("ul", {}, ...todo.map((text) => h("li", { text })))),
      button("Check again", start, { class: stops ? "button main" : "button" }),
    );
    if (stops) {
      title.focus();
      app.say(`${title.textContent}. ${what}`);
    } else finish(next);
  }

  function finish(next) {
    const go = button("Continue", () => app.show(next), { class: "button main" });
    outcome.append(go);
    go.focus();
    app.say(`${title.textContent}. ${lead.textContent}`);
  }

  start();
  return {
    title: "Browser check",
    nodes: [title, lead, h("ul", { class: "checks" }, ...rows.map((row) => row.node)), outcome],
    close: () => (closed = true),
  };
}

function said(wrong, what) {
  if (wrong === null) return "cannot be decoded";
  return wrong === 0 ? `all ${what} unchanged` : `${wrong} ${what} changed`;
}
