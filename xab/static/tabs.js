// One page at a time: a second tab of the same link is told so and may take over. The server would refuse a doubled
// answer anyway; this only spares the volunteer a surprise.

import { randomName } from "./element.js";

const PATIENCE = 300; // milliseconds in which the active page answers a newcomer

export class Tabs {
  /** onPassive(): another page took over. onFree(): the active one was closed while this one waited. */
  constructor(token, { onPassive, onFree }) {
    this.me = randomName();
    this.active = false;
    this.other = false;
    this.onPassive = onPassive;
    this.channel = "BroadcastChannel" in window ? new BroadcastChannel(`xab-${token}`) : null;
    if (!this.channel) return;
    this.channel.onmessage = ({ data }) => {
      if (data.kind === "who" && this.active) this.say("mine");
      if (data.kind === "mine") {
        this.other = true;
        // Two pages believe they are active after one was frozen by the browser: the later claim wins.
        if (this.active && data.since > this.since) this.pass();
        else if (this.active && data.since < this.since) this.say("mine");
      }
      if (data.kind === "bye" && !this.active) onFree();
    };
    addEventListener("pagehide", () => {
      if (this.active) this.say("bye");
    });
  }

  say(kind) {
    this.channel?.postMessage({ kind, me: this.me, since: this.since });
  }

  /** Whether this page may be the active one; true at once where browsers cannot tell. */
  async free() {
    if (!this.channel || this.active) return true;
    this.other = false;
    this.say("who");
    await new Promise((done) => setTimeout(done, PATIENCE));
    return !this.other;
  }

  take() {
    this.active = true;
    this.since = Date.now();
    this.say("mine");
  }

  /** After the browser froze this page: another may have taken over meanwhile. */
  recheck() {
    if (this.active) this.say("who");
  }

  pass() {
    this.active = false;
    this.onPassive();
  }
}
