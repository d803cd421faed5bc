// Requests that survive: a lost network, a restarting server or a busy database only make them late.
// Every request may be repeated safely, because the server recognises what it has stored already.

const BASE = new URL("../", import.meta.url);
const FIRST_WAIT = 500; // milliseconds; doubles up to the longest, so that a server that comes back is not trampled
const LONGEST_WAIT = 8000;
const SILENCE = 20000; // milliseconds without a word from the server: a slow line may take longer for a clip

export const address = (path) => new URL(path, BASE).href;

/** The server understood and said no: repeating it would not help. */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

class Unreachable extends Error {
  constructor(message, wait = 0) {
    super(message);
    this.wait = wait;
  }
}

export class Api {
  /** onWait(milliseconds): called when a request has to wait for another try, and with null when all got through. */
  constructor(token, onWait) {
    this.token = token;
    this.onWait = onWait;
    this.waiting = new Set();
    addEventListener("online", () => this.nudge());
  }

  /** Try again at once whatever is waiting. */
  nudge() {
    for (const wake of this.waiting) wake();
  }

  post(path, body = {}) {
    const content = JSON.stringify({ t: this.token, ...body });
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: content };
    return this.patiently(async (signal) => (await ask(`api/${path}`, { ...options, signal })).json());
  }

  blob(path) {
    return this.patiently(async (signal, heard) => {
      const reply = await ask(path, { signal });
      const reader = reply.body.getReader();
      const parts = [];
      for (;;) {
        heard();
        const { done, value } = await reader.read();
        if (done) return new Blob(parts, { type: reply.headers.get("Content-Type") ?? "" });
        parts.push(value);
      }
    });
  }

  /** The last words of a page that is going away: no reply, no retry. */
  beacon(path, body) {
    const content = new Blob([JSON.stringify({ t: this.token, ...body })], { type: "application/json" });
    return navigator.sendBeacon?.(address(`api/${path}`), content) ?? false;
  }

  /** attempt(signal, heard): one try; it calls heard() whenever something has come. */
  async patiently(attempt) {
    let waited = false;
    for (let wait = FIRST_WAIT; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
      const stop = new AbortController();
      let timer;
      const heard = () => {
        clearTimeout(timer);
        timer = setTimeout(() => stop.abort(), SILENCE);
      };
      heard();
      try {
        const result = await attempt(stop.signal, heard);
        if (waited && this.waiting.size === 0) this.onWait(null);
        return result;
      } catch (error) {
        if (error instanceof Refusal) {
          if (waited && this.waiting.size === 0) this.onWait(null);
          throw error;
        }
        waited = true;
        await this.pause(Math.max(wait * (1 + 0.3 * Math.random()), error.wait ?? 0));
      } finally {
        clearTimeout(timer);
      }
    }
  }

  pause(milliseconds) {
    this.onWait(milliseconds);
    return new Promise((done) => {
      const wake = () => {
        clearTimeout(timer);
        this.waiting.delete(wake);
        done();
      };
      const timer = setTimeout(wake, milliseconds);
      this.waiting.add(wake);
    });
  }
}

async function ask(path, options) {
  const reply = await fetch(address(path), { cache: "no-store", ...options });
  if (reply.ok) return reply;
  const retry = Number(reply.headers.get("Retry-After")) * 1000 || 0;
  if (reply.status >= 500 || reply.status === 429 || reply.status === 408) throw new Unreachable(reply.status, retry);
  const said = await reply.json().catch(() => ({}));
  // A refusal without our own code comes from something in between: a proxy, or a server that is only half up.
  if (!said.error) throw new Unreachable(reply.status);
  throw new Refusal(reply.status, said.error, said.message);
}
