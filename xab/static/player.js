// X, A and B on one stage: the same place for all, one at a time, each with its sound. Whole device pixels for every
// pixel of the clip, no smoothing: what differs on the screen differs in the clip.

import { h } from "./element.js";

export const ROLES = ["X", "A", "B"];
const SLACK = 0.09; // seconds; browsers report played ranges a frame or two short
const FIRST_FRAME = 4000; // milliseconds; phones that decode nothing before a tap are not waited for longer

export class Player {
  /**
   * @param {{seconds: number, played: string[], onEvent: Function, onChange: Function, onFail: Function}} options
   *   onEvent(kind, role, clipTime) for the journal, onChange() whenever something to be shown changes,
   *   onFail(role, error) when a clip cannot be played.
   */
  constructor({ seconds, played, onEvent, onChange, onFail }) {
    Object.assign(this, { seconds, onEvent, onChange, onFail });
    this.played = new Set(played);
    this.skipped = new Set();
    this.active = null;
    this.playing = false;
    this.videos = {};
    this.cover = h("div", { class: "cover" });
    this.node = h("div", { class: "stage" }, this.cover);
    this.sizing = new ResizeObserver(() => this.fit());
    this.resized = () => this.fit(); // zooming changes the device's pixels and leaves the box as it is
    this.node.addEventListener("contextmenu", (event) => event.preventDefault()); // it offers speeds and loops
  }

  /** Take the size that the box around it allows, before there is a clip: nothing jumps when they come. */
  settle() {
    this.sizing.observe(this.node.parentElement);
    addEventListener("resize", this.resized);
  }

  /** Give the player its three clips; resolves when each shows its first frame. */
  async load(blobs) {
    this.urls = ROLES.map((role) => URL.createObjectURL(blobs[role]));
    const shown = ROLES.map((role, index) => this.mount(role, this.urls[index]));
    await Promise.race([Promise.all(shown), new Promise((done) => setTimeout(done, FIRST_FRAME))]);
    this.fit();
    this.tick();
  }

  mount(role, url) {
    const video = h("video", { playsinline: true, preload: "auto", tabindex: -1, "aria-label": `Clip ${role}` });
    video.disablePictureInPicture = true;
    video.disableRemotePlayback = true;
    this.videos[role] = video;
    this.node.append(video);
    const ready = new Promise((done) => {
      video.addEventListener("loadeddata", done, { once: true });
      video.addEventListener("error", done, { once: true });
    });
    video.addEventListener("error", () => this.onFail(role, video.error?.message || `code ${video.error?.code}`));
    video.addEventListener("ended", () => this.finish(role));
    video.addEventListener("ratechange", () => {
      if (video.playbackRate !== 1) video.playbackRate = 1; // add-ons that speed every video up
    });
    video.addEventListener("pause", () => {
      // The event comes late: of a clip that was paused and goes on already it says nothing.
      if (role === this.active && this.playing && video.paused && !video.ended) this.pause();
    });
    video.src = url;
    return ready;
  }

  /** Play from the start, or go on where this clip was paused; pressing the clip that plays pauses it. */
  press(role) {
    const video = this.videos[role];
    if (!video) return;
    if (role === this.active && this.playing) this.pause();
    else this.play(role, role === this.active && !video.ended && video.currentTime < video.duration);
  }

  toggle() {
    if (this.active) this.press(this.active);
  }

  async play(role, resume = false) {
    const video = this.videos[role];
    if (this.active && this.active !== role) this.pause();
    if (!resume) video.currentTime = 0;
    for (const other of ROLES) this.videos[other].classList.toggle("shown", other === role);
    this.cover.hidden = true;
    this.active = role;
    this.playing = true;
    this.onEvent(resume ? "resume" : "play", role, video.currentTime);
    this.onChange();
    try {
      await video.play();
    } catch (error) {
      // Interrupted by the next press, or the browser wants a fresh tap before it plays sound.
      if (error.name === "AbortError") return;
      this.playing = false;
      this.onEvent(error.name === "NotAllowedError" ? "blocked" : "error", role, video.currentTime);
      this.onChange();
      this.onFail(role, error.name === "NotAllowedError" ? "blocked" : error.message);
    }
  }

  pause() {
    const video = this.videos[this.active];
    if (!video || !this.playing) return;
    this.playing = false;
    video.pause();
    this.onEvent("pause", this.active, video.currentTime);
    this.onChange();
  }

  /** Seconds into the active clip; `settled` once the volunteer lets go. */
  seek(time, settled) {
    const video = this.videos[this.active];
    if (!video) return;
    video.currentTime = Math.min(time, Math.max(0, video.duration - 0.02));
    if (settled) this.onEvent("seek", this.active, video.currentTime);
    this.onChange();
  }

  finish(role) {
    const video = this.videos[role];
    if (role === this.active) this.playing = false;
    let heard = 0;
    for (let i = 0; i < video.played.length; i++) heard += video.played.end(i) - video.played.start(i);
    const whole = heard >= video.duration - SLACK;
    if (whole) {
      this.played.add(role);
      this.skipped.delete(role);
    } else if (!this.played.has(role)) {
      this.skipped.add(role);
    }
    this.onEvent(whole ? "ended" : "end_skipped", role, video.currentTime);
    this.onChange(whole);
  }

  get missing() {
    return ROLES.filter((role) => !this.played.has(role));
  }

  time(role = this.active) {
    return this.videos[role]?.currentTime ?? 0;
  }

  tick() {
    this.ticking = requestAnimationFrame(() => {
      if (this.playing) this.onChange(false, true);
      this.tick();
    });
  }

  /** The largest whole multiple of the clip's pixels, in device pixels, that fits. */
  fit() {
    const box = this.node.parentElement;
    const side = this.videos.X?.videoWidth || 112;
    const most = Math.min(box.clientWidth, parseFloat(getComputedStyle(box).getPropertyValue("--most")) || 560);
    const scale = Math.max(1, Math.floor((most * devicePixelRatio) / side));
    this.width = (scale * side) / devicePixelRatio;
    this.node.style.width = this.node.style.height = `${this.width}px`;
  }

  close() {
    cancelAnimationFrame(this.ticking);
    this.sizing.disconnect();
    removeEventListener("resize", this.resized);
    for (const video of Object.values(this.videos)) {
      video.pause();
      video.removeAttribute("src");
      video.load();
    }
    for (const url of this.urls ?? []) URL.revokeObjectURL(url);
  }
}
