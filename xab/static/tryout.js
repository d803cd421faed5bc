// The test that anybody may try. Its trials are those of a volunteer's page; the server holds the answers in memory
// until the visitor is gone, and the address holds the only name that they have there, so a reload goes on.

import { Refusal } from "./api.js";
import { help } from "./dialogs.js";
import { shortcuts } from "./keys.js";
import { find, Page } from "./page.js";
import { selfCheck } from "./selfcheck.js";
import { sound } from "./screens.js";
import { Trial } from "./trial.js";
import { failed, making, result, welcome } from "./tryout-screens.js";

const POLL = 1000; // milliseconds
const NOTHING_LOGGED = { add() {}, flush() {}, pending: () => ({}) };

class Tryout extends Page {
  constructor() {
    super(location.hash.slice(1) || undefined, ["welcome", "sound", "trials"]);
    this.taken = ""; // nothing is stored
    this.unsent = " Your answer is sent as soon as it does.";
    this.journal = NOTHING_LOGGED;
    this.browser = null; // what the self-check found
    find("help").onclick = () => help();
    shortcuts((key) => key === "?" && (help(), true));
    document.addEventListener("visibilitychange", () => document.hidden && this.now?.pause?.());
  }

  start() {
    if (this.token) return this.next();
    this.welcome();
  }

  welcome(note) {
    this.name(undefined);
    this.progress({ step: "welcome" });
    this.present(welcome(this), { note });
  }

  /** `counted`: whether the result may be added to the count. */
  async begin(counted) {
    try {
      this.counted = counted;
      const { t } = await this.api.post("try/begin", { counted });
      this.name(t);
      this.check();
      this.progress({ step: "sound" });
      this.present(sound({ alone: true }, this));
    } catch (error) {
      this.refused(error);
    }
  }

  name(token) {
    this.token = this.api.token = token;
    history.replaceState(null, "", token ? `#${token}` : location.pathname + location.search);
  }

  /** Whether this browser passes pixels and samples on, found out while the volume is being set. */
  async check() {
    const report = await selfCheck(await this.api.blob("selfcheck.mp4"));
    this.browser = { changes: report.wrong_pixels !== 0 || report.wrong_samples !== 0 };
  }

  async step() {
    await this.next(this.browser?.changes ? "This browser changes the clips a little: small differences may not reach you." : "");
  }

  async next(note) {
    try {
      this.show(await this.api.post("try/state"), note);
    } catch (error) {
      this.refused(error);
    }
  }

  show(state, note) {
    this.progress(state);
    if (state.step === "trials") {
      const trial = new Trial(state, this);
      const title = `${state.phase === "training" ? "Practice" : "Trial"} ${state.number}`;
      this.present({ title, nodes: [trial.node], trial, close: () => trial.close(), pause: () => trial.player.pause() }, { note });
    } else if (state.step === "making") {
      this.present(making(state, () => this.api.post("try/state"), (next) => this.show(next), POLL));
    } else if (state.step === "failed") {
      this.present(failed(this));
    } else {
      this.present(result(state.result, this));
    }
  }

  async submit({ handle, choice }) {
    this.submitting = handle;
    try {
      return await this.api.post("try/answer", { handle, choice });
    } finally {
      this.submitting = null;
    }
  }

  refused(error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 404) this.welcome("That try is over. You can begin again.");
    else this.next(error.message);
  }
}

new Tryout().start();
