// What a volunteer's page and the test to try share: a screen in place of the last, progress, the line about the
// connection, and words for screen readers.

import { Api } from "./api.js";

export const find = (id) => document.getElementById(id);

export class Page {
  /** `steps`: names of the steps whose titles the page lists in #steps. */
  constructor(token, steps) {
    this.token = token;
    this.steps = steps;
    this.api = new Api(token, (wait) => this.line(wait));
    this.now = null;
    this.submitting = null;
    this.taken = "Your answer is stored."; // said, not shown, after each
    this.unsent = " Your answer is stored on this device and will be sent by itself.";
    find("again").onclick = () => this.api.nudge();
  }

  present(screen, { foot = true, note = "" } = {}) {
    this.now?.close?.();
    this.now = screen;
    const main = find("main");
    main.replaceChildren(...screen.nodes.filter(Boolean));
    main.classList.toggle("wide", Boolean(screen.trial));
    if (!screen.trial) find("count").hidden = find("meter").hidden = true; // also of a trial that was left
    find("foot").hidden = !foot;
    if (!foot) find("steps").hidden = true;
    document.title = `${screen.title} · ${find("study").textContent}`;
    scrollTo(0, 0);
    main.querySelector("h1")?.focus({ preventScroll: true });
    find("note").textContent = note && note !== this.taken ? note : "";
    find("note").hidden = !find("note").textContent;
    this.say([note, find("count").hidden ? "" : find("count").textContent].filter(Boolean).join(" "));
  }

  progress(state) {
    const index = this.steps.indexOf(state.step);
    const trial = state.step === "trials";
    find("steps").hidden = index < 0 || trial;
    this.steps.forEach((step, position) => {
      const item = find("steps").children[position];
      item.dataset.now = position < index ? "past" : position === index ? "here" : "ahead";
      if (position === index) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    });
    find("count").hidden = find("meter").hidden = !trial;
    if (!trial) return;
    const total = state.phase === "training" ? state.training : state.trials;
    find("count").textContent = `${state.phase === "training" ? "Practice" : "Trial"} ${state.number} of ${total}`;
    find("meter").max = total;
    find("meter").value = state.number - 1;
  }

  /** The line about the connection: shown while something waits, gone when all is through. */
  line(wait) {
    const away = wait !== null;
    find("line").hidden = !away;
    if (!away) return;
    const cause = navigator.onLine ? "The server does not answer right now." : "You are offline.";
    const safe = this.submitting ? this.unsent : "";
    const text = `${cause}${safe} Trying again …`;
    if (find("line-text").textContent !== text) find("line-text").textContent = text;
  }

  /** For screen readers; the same words twice are still two announcements. */
  say(text) {
    const place = find("say");
    place.textContent = "";
    setTimeout(() => (place.textContent = text), 60);
  }
}
