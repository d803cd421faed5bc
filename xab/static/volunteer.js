// The volunteer's page: asks the server what comes next and shows it. It holds no secret and no plan of its own, so
// a reload, a crash or another device goes on exactly where the server says.

import { Api, Refusal } from "./api.js";
import { help, pause, withdraw } from "./dialogs.js";
import { Journal } from "./journal.js";
import { remember, remembered } from "./remember.js";
import { shortcuts } from "./keys.js";
import { find, Page } from "./page.js";
import * as screens from "./screens.js";
import { Tabs } from "./tabs.js";
import { Trial } from "./trial.js";

const STEPS = ["consent", "instructions", "check", "sound", "trials"];

class App extends Page {
  constructor(token) {
    super(token, STEPS);
    this.journal = new Journal(this.api);
    this.tabs = new Tabs(token, {
      onPassive: () => this.present(screens.elsewhere(false, this)),
      onFree: () => this.present(screens.elsewhere(true, this)),
    });
    find("pause").onclick = () => pause(this);
    find("help").onclick = () => help();
    find("withdraw").onclick = () => withdraw(this);
    shortcuts((key) => key === "?" && (help(), true));
    addEventListener("pageshow", (event) => {
      if (!event.persisted) return;
      this.tabs.recheck();
      this.next();
    });
    document.addEventListener("visibilitychange", () => this.looked());
    addEventListener("beforeunload", (event) => {
      if (this.submitting) event.preventDefault();
    });
  }

  async start() {
    // A token that no server gave out: no need to ask.
    if (!/^[A-Za-z0-9_-]{8,64}$/.test(this.token)) return this.present(screens.invalid(), { foot: false });
    if (!(await this.tabs.free())) return this.present(screens.elsewhere(false, this));
    await this.takeOver();
  }

  async takeOver() {
    this.tabs.take();
    await this.next();
  }

  /** Ask what comes next and show it; `note` says what has just happened. */
  async next(note) {
    try {
      let state = await this.api.post("state");
      state = (await this.resend(state)) ?? state;
      this.show(state, note);
    } catch (error) {
      this.refused(error);
    }
  }

  /** An answer whose acknowledgement a crash or reload cut off is sent now, under its old name. */
  async resend(state) {
    const answer = remembered(`answer-${this.token}`);
    if (!answer) return null;
    if (answer.handle !== state.handle) {
      remember(`answer-${this.token}`, null);
      return null;
    }
    await this.submit(answer).catch((error) => {
      if (!(error instanceof Refusal)) throw error;
    });
    return this.api.post("state");
  }

  async submit(answer) {
    // Survives a crash between here and the server's acknowledgement.
    remember(`answer-${this.token}`, answer);
    this.submitting = answer;
    try {
      const reply = await this.api.post("answer", answer);
      this.journal.acknowledged(answer.page === this.journal.page ? answer.events : []);
      remember(`answer-${this.token}`, null);
      return reply;
    } catch (error) {
      if (error instanceof Refusal) remember(`answer-${this.token}`, null);
      throw error;
    } finally {
      this.submitting = null;
    }
  }

  /** Finish a step and show what follows. A step that another page has finished already is no failure. */
  async step(path, body) {
    try {
      this.show(await this.api.post(path, body));
    } catch (error) {
      if (error instanceof Refusal && error.status === 409) await this.next(error.message);
      else this.refused(error);
    }
  }

  async join() {
    try {
      const { t } = await this.api.post("join");
      remember(`own-${this.token}`, t);
      location.replace(`?t=${t}`);
    } catch (error) {
      this.refused(error);
    }
  }

  refused(error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 404) this.present(screens.invalid(), { foot: false });
    else this.next(error.message);
  }

  async show(state, note) {
    if (!this.tabs.active) return;
    if (state.step === "open") {
      const own = remembered(`own-${this.token}`);
      remember(`own-${this.token}`, null); // asked once: it may have been withdrawn meanwhile
      if (own && (await known(own))) {
        remember(`own-${this.token}`, own);
        location.replace(`?t=${own}`);
        return;
      }
    }
    find("study").textContent = state.title ?? "Perception test";
    find("preview").hidden = !state.preview;
    this.progress(state);
    const foot = state.step !== "open";
    find("pause").hidden = find("help").hidden = ["done", "closed"].includes(state.step);
    if (state.step === "trials") {
      const trial = new Trial(state, this);
      const title = `${state.phase === "training" ? "Practice" : "Trial"} ${state.number}`;
      const screen = { title, nodes: [trial.node], trial, close: () => trial.close(), pause: () => trial.player.pause() };
      this.present(screen, { foot, note });
    } else {
      this.present(screens[state.step](state, this), { foot, note });
    }
  }

  looked() {
    if (!this.now?.trial) return;
    this.journal.add(document.hidden ? "hidden" : "visible");
    if (document.hidden) this.now.pause?.();
  }
}

async function known(token) {
  try {
    await new Api(token, () => {}).post("state");
    return true;
  } catch {
    return false;
  }
}

new App(new URLSearchParams(location.search).get("t") ?? "").start();
