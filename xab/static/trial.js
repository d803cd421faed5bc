// One trial: play all three, say which is the same as X, and know that it is stored.

import { button, h, list, randomName } from "./element.js";
import { Refusal } from "./api.js";
import { Player, ROLES } from "./player.js";
import { shortcuts } from "./keys.js";

const NUMBER = { A: 1, B: 2 };
const REST = 10; // after so many trials a rest is offered, unless fewer than REST / 2 are left

/** What stands below the title. */
export function advice({ phase, number, trials }) {
  if (phase === "training") return "Practice: you are told afterwards whether you were right. This does not count.";
  const done = number - 1;
  if (done > 0 && done % REST === 0 && trials - done >= REST / 2) {
    return `${done} of ${trials} are done. Rest your eyes and ears now if you like, before you play X.`;
  }
  return "Play each clip to its end, as often as you like. If you cannot tell, guess.";
}

export class Trial {
  /** `app` has api, journal, say(text), next(note), token. */
  constructor(state, app) {
    Object.assign(this, { state, app });
    this.sent = null;
    this.ready = null;
    this.answerable = null; // when an answer was first possible: response times count from here
    this.player = new Player({
      seconds: state.seconds,
      played: state.played,
      onEvent: (kind, role, time) => {
        app.journal.add(kind, state.handle, role, Math.max(0, time));
        // At once, so that a reload or another tab does not ask for the clip again.
        if (kind === "ended") app.journal.flush();
      },
      onChange: (whole, moving) => this.show(whole, moving),
      onFail: (role, why) => this.fail(role, why),
    });
    this.build();
    this.player.settle();
    this.show();
    this.release = shortcuts((key) => this.key(key));
    this.load();
  }

  build() {
    const training = this.state.phase === "training";
    this.title = h("h1", { tabindex: -1, text: "Which one is the same as X?" });
    this.caption = h("p", { class: "caption num", "aria-hidden": "true" });
    this.bar = h("input", {
      type: "range",
      min: 0,
      max: this.state.seconds,
      step: 0.04,
      value: 0,
      "aria-label": "Position in the clip",
      oninput: () => this.player.seek(Number(this.bar.value), false),
      onchange: () => this.player.seek(Number(this.bar.value), true),
    });
    this.clips = ROLES.map((role) => {
      const status = h("span", { class: "clip-state" });
      const progress = h("span", { class: "clip-bar" });
      const node = h(
        "button",
        { type: "button", class: "clip", "data-role": role, onclick: () => this.player.press(role) },
        h("b", { text: role }),
        " ", // between the words of its name; a grid shows none
        status,
        progress,
      );
      return { role, node, status, progress };
    });
    this.todo = h("p", { class: "todo", id: "todo" });
    this.answers = ["A", "B"].map((side) =>
      h(
        "button",
        {
          type: "button",
          class: "answer",
          "data-side": side,
          "aria-describedby": "todo",
          "aria-keyshortcuts": NUMBER[side],
          onclick: () => this.answer(side),
        },
        h("span", {}, h("b", { text: side }), " is the same as\u00a0X"),
        h("kbd", { "aria-hidden": "true", text: NUMBER[side] }),
      ),
    );
    this.after = h("div", { class: "after" });
    this.node = h(
      "section",
      { class: `trial ${training ? "training" : ""}` },
      h(
        "div",
        { class: "trial-head" },
        this.title,
        h("p", { class: "quiet", text: advice(this.state) }),
      ),
      h("div", { class: "screen" }, h("div", { class: "stage-box" }, this.player.node), this.caption, this.bar),
      h(
        "div",
        { class: "panel" },
        h("div", { class: "clips", role: "group", "aria-label": "Clips" }, ...this.clips.map((clip) => clip.node)),
        this.todo,
        h("div", { class: "answers", role: "group", "aria-label": "Your answer" }, ...this.answers),
        this.after,
      ),
    );
  }

  async load() {
    this.player.cover.textContent = "Loading the three clips …";
    try {
      const { api } = this.app;
      // Always all three, always together, in an order that is the same for everybody.
      const blobs = await Promise.all(ROLES.map((role) => api.blob(`media/${this.state.media[role]}`)));
      if (this.closed) return;
      await this.player.load(Object.fromEntries(ROLES.map((role, index) => [role, blobs[index]])));
    } catch (error) {
      if (!this.closed) this.app.next(error instanceof Refusal ? error.message : undefined);
      return;
    }
    this.ready = performance.now();
    this.app.journal.add("ready", this.state.handle);
    this.player.cover.textContent = "Press X, A and B to play them.";
    this.node.dataset.ready = "";
    this.show();
  }

  key(key) {
    const role = key.toUpperCase();
    if (ROLES.includes(role)) this.player.press(role);
    else if (key === " ") this.player.toggle();
    else if (key === "1") this.answer("A");
    else if (key === "2") this.answer("B");
    else return false;
    return true;
  }

  /** `whole`: a clip has just been played to its end; `moving`: only the time has changed. */
  show(whole = false, moving = false) {
    const { player } = this;
    const time = player.time();
    for (const { role, progress } of this.clips) {
      const share = role === player.active ? Math.min(1, time / this.state.seconds) : 0;
      progress.style.transform = `scaleX(${share})`;
    }
    if (document.activeElement !== this.bar || player.playing) this.bar.value = time;
    this.caption.textContent = player.active
      ? `${player.active} · ${time.toFixed(2)} / ${this.state.seconds.toFixed(2)} s`
      : "X · A · B";
    if (moving) return;
    this.bar.disabled = !player.active || this.ready === null;
    for (const { role, node, status } of this.clips) {
      const now = role === player.active && player.playing ? "playing" : player.played.has(role) ? "played" : "to play";
      status.textContent = { playing: "playing", played: "✓ played", "to play": "to play" }[now];
      node.disabled = this.ready === null;
      node.dataset.now = now === "to play" ? "waiting" : now;
      node.toggleAttribute("data-active", role === player.active);
      node.setAttribute("aria-label", `Clip ${role}: ${now}`);
      node.setAttribute("aria-keyshortcuts", role);
    }
    const { missing } = player;
    const open = this.ready !== null && missing.length === 0 && this.sent === null;
    if (open) this.answerable ??= performance.now();
    for (const answer of this.answers) answer.setAttribute("aria-disabled", String(!open));
    if (this.sent === null) this.todo.textContent = this.instruction(missing);
    if (whole && this.sent === null) {
      this.app.say(missing.length ? `Still to play: ${list(missing)}.` : "All played. You can answer now.");
    }
  }

  instruction(missing) {
    if (this.ready === null) return "The clips are being loaded.";
    const skipped = missing.filter((role) => this.player.skipped.has(role));
    if (skipped.length) return `A part of ${list(skipped)} was skipped: play it through once.`;
    if (missing.length) return `Still to play to the end: ${list(missing)}.`;
    return "All three played. Answer when you are ready.";
  }

  fail(role, why) {
    if (why === "blocked") {
      this.todo.textContent = `The browser held the sound back. Press ${role} once more.`;
    } else {
      this.app.journal.add("error", this.state.handle, role, 0);
      this.todo.textContent =
        "This browser cannot play the clip. Reload the page; if that does not help, open your link in a current Chrome, Edge or Firefox.";
    }
    this.app.say(this.todo.textContent);
  }

  async answer(side) {
    if (this.sent !== null || this.ready === null) return;
    if (this.player.missing.length) {
      this.app.say(this.instruction(this.player.missing));
      this.todo.classList.remove("nudge");
      void this.todo.offsetWidth; // restarts the animation
      this.todo.classList.add("nudge");
      return;
    }
    this.player.pause();
    const { journal } = this.app;
    journal.add("answer", this.state.handle, side, this.player.time());
    this.sent = {
      handle: this.state.handle,
      choice: side,
      nonce: randomName(),
      response_ms: Math.round(performance.now() - this.answerable),
      viewport: {
        width: Math.round(innerWidth),
        height: Math.round(innerHeight),
        pixel_ratio: devicePixelRatio,
        clip_width: this.player.width,
      },
      ...journal.pending(),
    };
    this.todo.textContent = "Sending your answer …";
    for (const answer of this.answers) {
      answer.setAttribute("aria-disabled", "true");
      answer.toggleAttribute("data-chosen", answer.dataset.side === side);
    }
    try {
      const reply = await this.app.submit(this.sent);
      if (!this.closed) this.stored(side, reply);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (!this.closed) this.app.next(error.message);
    }
  }

  stored(side, reply) {
    if (reply.correct === null) {
      this.app.next(this.app.taken);
      return;
    }
    const other = side === "A" ? "B" : "A";
    const same = reply.correct ? side : other;
    const last = this.state.number === this.state.training;
    const words = reply.correct ? "Right" : "Not this time";
    this.todo.textContent = "";
    const go = button(last ? "Start the test" : "Next practice trial", () => this.app.next(), { class: "button main" });
    this.after.replaceChildren(
      h(
        "div",
        { class: `verdict ${reply.correct ? "right" : "wrong"}` },
        h("p", {}, h("b", { text: `${words}: ` }), `${same} is the same as X. You can play the clips again to compare.`),
        last && h("p", { class: "quiet", text: "Practice is over. From here on you are not told whether you were right." }),
      ),
      go,
    );
    this.app.say(`${words}: ${same} is the same as X.`);
    go.focus();
  }

  close() {
    this.closed = true;
    this.release();
    this.player.close();
  }
}
