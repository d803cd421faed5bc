// The volume page: hear a quiet voice, count its murmurs, set the volume. Counting shows that the sound is really on.

import { button, h } from "./element.js";
import { Murmurs } from "./murmur.js";

const COUNTS = [1, 2, 3, 4];
const DEVICES = ["headphones", "loudspeakers"]; // as the server knows them

/** `state.alone`: nobody runs this test, so nobody is told anything. */
export function sound(state, app) {
  if (state.needs_sound) return needed(state, app);
  const murmurs = new Murmurs();
  let count = null;
  const hint = h("p", { class: "todo", role: "status", text: "Turn your volume down, then play the sound." });
  const choices = COUNTS.map((number) =>
    h("button", { type: "button", class: "count", "aria-disabled": "true", onclick: () => choose(number) }, String(number)),
  );
  const devices = DEVICES.map((name) => h("input", { type: "radio", name: "listens", value: name }));
  const leave = () => app.step("step", { step: "sound", listens: devices.find((device) => device.checked)?.value ?? null });
  const go = button("Continue", () => leave().catch((error) => app.refused(error)), { class: "button main", hidden: true });

  const play = button("Play the sound", async () => {
    // Never the same number twice, so that a second try is one.
    const others = COUNTS.filter((number) => number !== count && number > 1);
    count = others[Math.floor(Math.random() * others.length)];
    hint.textContent = "Listen …";
    play.setAttribute("aria-busy", "true");
    try {
      await murmurs.play(count);
      hint.textContent = "Turn it up or down until it is as loud as somebody speaking to you. How many did you hear?";
      for (const choice of choices) choice.setAttribute("aria-disabled", "false");
    } catch {
      hint.textContent = "The browser could not play the sound. Check that a loudspeaker or headphones are connected.";
    } finally {
      play.removeAttribute("aria-busy");
      play.textContent = "Play again";
      play.classList.remove("main");
    }
  }, { class: "button main" });

  function choose(number) {
    if (count === null || play.hasAttribute("aria-busy")) return;
    for (const choice of choices) choice.toggleAttribute("data-chosen", choice.textContent === String(number));
    const right = number === count;
    hint.textContent = right ? "That is right: your sound works. Leave the volume as it is now." : "Not quite. Play it again, a little louder.";
    go.hidden = !right;
    if (right) go.focus();
  }

  return {
    title: "Sound",
    nodes: [
      h("h1", { tabindex: -1, text: "Set your volume" }),
      h("p", { text: "Put your headphones on if you have some. You will hear a few short murmurs, about as loud as speech in the clips. Some clips contain noise, so do not set it louder than comfortable." }),
      !state.alone &&
        h(
          "fieldset",
          { class: "listens" },
          h("legend", { text: "What do you listen with? If you say, it is stored with your answers." }),
          ...devices.map((device) => h("label", { class: "tick" }, device, h("span", { text: device.value }))),
        ),
      play,
      hint,
      h("div", { class: "counts", role: "group", "aria-label": "How many murmurs did you hear?" }, ...choices),
      go,
      h(
        "details",
        {},
        h("summary", { text: "I hear nothing" }),
        h(
          "ul",
          {},
          h("li", { text: "Is the sound of this tab muted? Right-click the tab to see." }),
          h("li", { text: "Is the computer's volume up, and is the right output chosen (headphones or loudspeaker)?" }),
          h("li", { text: "On a phone, the silent switch at the side also silences web pages." }),
          !state.alone && h("li", { text: "No sound today? Close the page; your link keeps your place." }),
        ),
      ),
      h(
        "details",
        {},
        h("summary", { text: "I cannot hear the sound" }),
        h("p", {
          text: state.alone
            ? "You can go on with the picture alone."
            : "If you are deaf or hard of hearing, say so here. The experimenter will see that your answers rest on the picture alone; nothing else about you is asked.",
        }),
        button("I cannot hear the sound", () => app.step("step", { step: "sound", hears: false })),
      ),
    ],
    close: () => murmurs.close(),
  };
}

/** For who said that they cannot hear, in a study that does not take such answers. */
function needed(state, app) {
  return {
    title: "Sound",
    nodes: [
      h("h1", { tabindex: -1, text: "This study needs sound" }),
      h("p", { text: "Thank you for saying so. In this study the clips differ in their sound, so it can only take answers of people who hear it. Nothing more is asked of you: you may close the page, or withdraw below, which deletes what was stored." }),
      button("I can hear after all", () => app.show({ ...state, needs_sound: false })),
    ],
  };
}
