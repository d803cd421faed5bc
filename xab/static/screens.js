// The pages before and after the trials. Each takes the state and the app and returns {title, nodes, close?}.

import { button, h } from "./element.js";

const paragraphs = (text) => text.split(/\n\s*\n/).map((part) => h("p", { text: part.trim() }));
export const heading = (text) => h("h1", { tabindex: -1, text });
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

/** Presses count once: the button rests until the page changes or the attempt fails. */
export function once(work) {
  return async ({ currentTarget }) => {
    if (currentTarget.getAttribute("aria-busy") === "true") return;
    currentTarget.setAttribute("aria-busy", "true");
    try {
      await work();
    } finally {
      currentTarget.removeAttribute("aria-busy");
    }
  };
}

export function open(_state, app) {
  return {
    title: "Welcome",
    nodes: [
      heading("Welcome"),
      h("p", { text: "You are invited to a short perception test. Begin, and you get a link of your own." }),
      h("p", { class: "quiet", text: "Keep that link: with it you can pause and come back. Nothing is stored before you agree." }),
      button("Begin", once(() => app.join()), { class: "button main" }),
    ],
  };
}

export function consent(state, app) {
  const agree = h("input", { type: "checkbox", id: "agree" });
  const hint = h("p", { class: "todo", role: "status" });
  const go = once(async () => {
    if (!agree.checked) {
      hint.textContent = "Tick the box first if you agree.";
      agree.focus();
      return;
    }
    await app.step("consent", { version: state.version, agree: true });
  });
  return {
    title: "Your consent",
    nodes: [
      heading("Before you start"),
      h("div", { class: "letter", role: "region", "aria-label": "Consent" }, ...paragraphs(state.text)),
      h("label", { class: "tick", for: "agree" }, agree, h("span", { text: "I have read this and take part voluntarily." })),
      hint,
      button("Agree and continue", go, { class: "button main" }),
      h("p", { class: "quiet small", text: `Consent text, version ${state.version}. If you do not agree, simply close this page.` }),
    ],
  };
}

/** What a trial asks for, in three sentences. */
export const how = () =>
  h(
    "ol",
    { class: "how" },
    h("li", {}, h("b", { text: "Play X." }), " A face, with sound. X is the one to remember."),
    h("li", {}, h("b", { text: "Play A and B." }), " One is exactly the same as X. The other was altered: sometimes clearly, often so little that nobody can tell."),
    h("li", {}, h("b", { text: "Say which one is the same as X." }), " The difference may be in the picture, in the sound, or in both. Replay as often as you like."),
  );

export function instructions(state, app) {
  const practice = state.training
    ? `First ${plural(state.training, "practice trial")} with answers shown, then ${plural(state.trials, "trial")}.`
    : `There are ${plural(state.trials, "trial")}.`;
  const key = (name) => h("kbd", { text: name });
  return {
    title: "What you do",
    nodes: [
      heading("What you do"),
      how(),
      h("p", {}, `${practice} It takes about ${state.minutes} minutes, and you may pause at any time.`),
      h("p", { text: "If you cannot tell, guess: a guess is an honest answer here, and there is no way to fail." }),
      h("p", { class: "keys-line" }, "Keys, if you like: ", key("X"), " ", key("A"), " ", key("B"), " play, ", key("1"), " ", key("2"), " answer, ", key("Space"), " pauses, ", key("?"), " shows help."),
      h("p", { class: "quiet", text: "Headphones and a quiet room are best. Keep one screen and one brightness throughout." }),
      button("Continue", once(() => app.step("step", { step: "instructions" })), { class: "button main" }),
    ],
  };
}

export function closed() {
  return {
    title: "Closed",
    nodes: [
      heading("This study is closed"),
      h("p", { text: "The experimenter has ended it. Thank you for your interest. What you answered so far stays stored, unless you withdraw." }),
    ],
  };
}

export function done(state) {
  const { result } = state;
  return {
    title: "Thank you",
    nodes: [
      heading("Thank you"),
      h("p", { text: state.preview ? "The preview ends here. Nothing of it counts." : "All your answers are stored. You can close this page." }),
      result &&
        h(
          "div",
          { class: "score" },
          h("p", { class: "num big", text: `${result.correct} / ${result.trials}` }),
          h("p", { text: `You found the clip that equals X in ${result.correct} of ${result.trials} trials. Pure guessing finds about ${Math.round(result.trials / 2)}: the alterations are meant to be hard to notice.` }),
        ),
      h("p", { class: "quiet", text: "If you change your mind, open your link again and withdraw at the foot of this page: your answers are then deleted." }),
    ],
  };
}

export function withdrawn() {
  return {
    title: "Withdrawn",
    nodes: [
      heading("You have withdrawn"),
      h("p", { text: "Everything that was stored about you and your answers has been deleted. Your link no longer works. Thank you for the time you gave." }),
    ],
  };
}

export function invalid() {
  return {
    title: "Link not valid",
    nodes: [
      heading("This link is not valid"),
      h("p", { text: "Perhaps a part of it is missing: copy the whole address from the message you got. A link also stops working after you have withdrawn, or when the study's data has been erased." }),
      h("p", { class: "quiet", text: "If it should work, please tell the person who sent it to you." }),
    ],
  };
}

/** Another tab of this browser runs the test. */
export function elsewhere(freed, app) {
  return {
    title: freed ? "Continue here?" : "Open in another tab",
    nodes: [
      heading(freed ? "The other tab was closed" : "The test is open in another tab"),
      h("p", {
        text: freed
          ? "You can go on here. Everything you answered is stored."
          : "That tab is the active one; this one rests, so that nothing gets mixed up. Go back to it, or go on here instead. Nothing is lost either way.",
      }),
      button("Continue here", once(() => app.takeOver()), { class: "button main" }),
    ],
  };
}

export function linkBox() {
  const field = h("input", { type: "text", readonly: true, "aria-label": "Your link", value: location.href, class: "link" });
  const copied = h("span", { role: "status", class: "quiet" });
  const copy = button("Copy", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      copied.textContent = "Copied.";
    } catch {
      copied.textContent = "Selected: copy it with your keyboard.";
    }
  });
  return h("div", { class: "link-row" }, field, copy, copied);
}

export { check } from "./check.js";
export { sound } from "./sound.js";
