// What the volunteer does with the clips, in order. Events stay until the server has acknowledged them; it knows
// each by page and number, so sending one twice adds nothing.

import { randomName } from "./element.js";

const EVERY = 3000; // milliseconds between two batches
const MOST = 400; // events in one request; the server takes 500

export class Journal {
  constructor(api) {
    this.api = api;
    this.page = randomName();
    this.next = 0;
    this.unsent = [];
    this.sending = false;
    setInterval(() => this.flush(), EVERY);
    addEventListener("pagehide", () => this.leave());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.leave();
    });
  }

  add(kind, handle, role = null, clipTime = null) {
    this.unsent.push({
      seq: this.next++,
      kind,
      handle,
      role,
      clip_time: clipTime,
      page_ms: Math.round(performance.now()),
    });
  }

  /** The newest events of this page that the server may not have, to go with an answer. */
  pending() {
    return { page: this.page, events: this.unsent.slice(-MOST) };
  }

  acknowledged(events) {
    const known = new Set(events.map((event) => event.seq));
    this.unsent = this.unsent.filter((event) => !known.has(event.seq));
  }

  async flush() {
    if (this.sending || this.unsent.length === 0) return;
    this.sending = true;
    const events = this.unsent.slice(0, MOST);
    try {
      await this.api.post("events", { page: this.page, events });
      this.acknowledged(events);
    } catch {
      // Refused: the session is over (withdrawn, closed), and so is its journal.
      this.unsent = [];
    } finally {
      this.sending = false;
    }
  }

  leave() {
    if (this.unsent.length > 0) this.api.beacon("events", { page: this.page, events: this.unsent.slice(-MOST) });
  }
}
