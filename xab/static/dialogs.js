// What opens above a page: help, pause, and the question before everything is deleted.

import { Refusal } from "./api.js";
import { button, h } from "./element.js";
import { remember } from "./remember.js";
import { setShortcuts, shortcutsOn } from "./keys.js";
import { linkBox, withdrawn } from "./screens.js";

function dialog(title, nodes, actions) {
  const box = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h("h2", { id: "dialog-title", text: title }),
    ...nodes,
    h("div", { class: "actions" }, ...actions(() => box.close())),
  );
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

const KEYS = [
  ["X", "play or pause X"],
  ["A", "play or pause A"],
  ["B", "play or pause B"],
  ["Space", "pause or go on"],
  ["1", "answer: A is the same as X"],
  ["2", "answer: B is the same as X"],
  ["?", "this help"],
];

export function help() {
  if (document.querySelector("dialog[open]")) return;
  const on = h("input", { type: "checkbox", id: "keys-on", onchange: () => setShortcuts(on.checked) });
  on.checked = shortcutsOn();
  dialog(
    "Help",
    [
      h("p", { text: "X is the reference. One of A and B is exactly the same, the other was altered. Play each to its end at least once, then say which one is the same as X. If you cannot tell, guess." }),
      h("dl", { class: "keys" }, ...KEYS.map(([key, text]) => h("div", {}, h("dt", {}, h("kbd", { text: key })), h("dd", { text })))),
      h("label", { class: "tick", for: "keys-on" }, on, h("span", { text: "Use these keys" })),
    ],
    (close) => [button("Close", close, { class: "button main", autofocus: true })],
  );
}

export function pause(app) {
  app.now?.pause?.();
  dialog(
    "Pause",
    [h("p", { text: "Close this page whenever you like. Every answer is stored the moment you give it. Open the same link later, on this or another device, and you go on where you were:" }), linkBox()],
    (close) => [button("Go on now", close, { class: "button main", autofocus: true })],
  );
}

export function withdraw(app) {
  app.now?.pause?.();
  dialog(
    "Withdraw and delete everything?",
    [h("p", { text: "All your answers and everything stored about you are deleted at once, for good. Your link stops working. This cannot be undone." })],
    (close) => [
      button("No, keep my answers", close, { autofocus: true }),
      button(
        "Withdraw and delete",
        async (event) => {
          event.currentTarget.setAttribute("aria-busy", "true");
          try {
            await app.api.post("withdraw");
          } catch (error) {
            // Not found: an earlier try got through and only its reply was lost.
            if (!(error instanceof Refusal && error.status === 404)) throw error;
          }
          remember(`answer-${app.token}`, null);
          close();
          app.present(withdrawn(), { foot: false });
        },
        { class: "button danger" },
      ),
    ],
  );
}
