// <pp-player src="view.json">: clean, adversarial and magnified difference side by side, one transport, one play head.
import { Timeline } from "./timeline.js";
import { Clusters } from "./clusters.js";
import { ViewElement, clock, el, probability } from "./view.js";

const DRIFT = 0.05; // seconds a follower may lag behind the clean clip before it is pulled back

class Player extends ViewElement {
  gone = "These results are no longer on the server. Run the attack again.";

  stop() {
    cancelAnimationFrame(this.ticking);
    this.timeline?.close();
    for (const video of this.videos ?? []) video.pause();
  }

  build(folder) {
    const view = this.view;
    this.shot = "scene";
    this.heard = view.screens.some((screen) => screen.id === "adversarial") ? "adversarial" : "clean";
    this.screens = view.screens.map((screen) => this.screen(screen, folder));
    this.videos = this.screens.map((screen) => screen.video);
    const body = [
      el("div", { class: "pp-screens", "data-count": this.screens.length }, ...this.screens.map((s) => s.figure)),
      this.transport(view),
    ];
    this.timeline = new Timeline(view, folder, (time) => this.seek(time));
    body.push(this.timeline.root);
    this.clusters = view.embeddings ? new Clusters(view) : null;
    if (this.clusters) body.push(this.clusters.root);
    this.replaceChildren(...body);
    this.timeline.open();
    const alone = this.hasAttribute("autoplay");
    this.show("scene");
    this.listen(alone ? null : this.heard);
    this.drawn = null; // an earlier view may have stood at the same frame
    this.tick();
    if (alone) this.begin();
  }

  // By itself: silent, again and again, until somebody presses a button; not at all for those who asked for stillness.
  begin() {
    for (const video of this.videos) video.loop = true;
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.play();
  }

  screen(spec, folder) {
    const video = el("video", { playsinline: true, preload: "auto", "aria-label": `${spec.title} clip` });
    video.muted = true;
    const box = el("div", { class: "pp-box" });
    const verdicts = spec.verdicts.map(([label, scores]) => {
      const words = el("span");
      const whose = label && el("span", { class: "pp-whose", text: `${label} ` });
      return { scores, words, node: el("span", { class: "pp-verdict" }, whose, words) };
    });
    const figure = el(
      "figure",
      { class: `pp-screen pp-${spec.id}` },
      el("div", { class: "pp-frame" }, video, box),
      el("figcaption", {}, el("span", { class: "pp-key", text: spec.title }), el("span", {}, ...verdicts.map((v) => v.node))),
    );
    if (spec.note) figure.append(el("small", { class: "pp-quiet", text: spec.note }));
    const files = Object.fromEntries(Object.entries(spec.files).map(([shot, name]) => [shot, folder + name]));
    video.addEventListener("ended", () => this.pause());
    video.addEventListener("error", () => {
      figure.classList.add("pp-broken");
    });
    figure.addEventListener("click", () => this.listen(spec.id));
    return { ...spec, files, figure, video, box, verdicts };
  }

  transport(view) {
    this.button = el("button", { class: "pp-play", type: "button", "aria-label": "Play" });
    this.button.addEventListener("click", () => (this.playing ? this.pause() : this.play()));
    this.slider = el("input", {
      type: "range", min: 0, max: view.frames - 1, step: 1, value: 0, class: "pp-seek", "aria-label": "Position",
    });
    this.slider.addEventListener("input", () => this.seek((Number(this.slider.value) + 0.5) / view.fps));
    this.time = el("output", { class: "pp-time", text: clock(0) });
    const sounds = view.screens.map((screen) => [screen.id, screen.sound]);
    const shots = [["scene", "scene"], ["face", "face, bit-exact"]].filter(([shot]) => view.screens[0].files[shot]);
    this.sound = this.segments("Sound", sounds, (id) => this.listen(id));
    this.views = this.segments("View", shots, (id) => this.show(id));
    this.views.hidden = shots.length < 2;
    return el("div", { class: "pp-transport" }, this.button, this.slider, this.time, this.sound, this.views);
  }

  segments(label, choices, pick) {
    const group = el("div", { class: "pp-segments", role: "group", "aria-label": label });
    group.append(el("span", { class: "pp-quiet", text: label }));
    for (const [id, text] of choices) {
      const button = el("button", { type: "button", "data-id": id, "aria-pressed": "false", text });
      button.addEventListener("click", () => pick(id));
      group.append(button);
    }
    return group;
  }

  press(group, id) {
    for (const button of group.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.id === id));
    }
  }

  listen(id) {
    this.heard = id;
    for (const screen of this.screens) {
      screen.video.muted = screen.id !== id;
      screen.figure.classList.toggle("pp-heard", screen.id === id);
    }
    this.press(this.sound, id);
  }

  show(shot) {
    const time = this.videos[0].currentTime || 0;
    const playing = this.playing;
    this.pause();
    this.shot = shot;
    this.classList.toggle("pp-close", shot === "face");
    for (const screen of this.screens) {
      screen.figure.classList.remove("pp-broken"); // the other clip may play
      screen.video.src = screen.files[shot] ?? screen.files.face;
      screen.video.addEventListener("loadedmetadata", () => this.seek(time), { once: true });
    }
    this.press(this.views, shot);
    if (playing) this.play();
  }

  async play() {
    if (this.videos[0].ended || this.frame >= this.view.frames - 1) this.seek(0);
    this.playing = true;
    this.button.setAttribute("aria-label", "Pause");
    await Promise.allSettled(this.videos.map((video) => video.play()));
  }

  pause() {
    this.playing = false;
    this.button?.setAttribute("aria-label", "Play");
    for (const video of this.videos) video.pause();
  }

  seek(time) {
    for (const video of this.videos) video.currentTime = time;
  }

  tick() {
    const master = this.videos[0];
    const time = master.currentTime || 0;
    const frame = Math.min(this.view.frames - 1, Math.floor(time * this.view.fps + 1e-3));
    for (const video of this.videos.slice(1)) {
      if (this.playing && Math.abs(video.currentTime - time) > DRIFT && !video.seeking) video.currentTime = time;
    }
    if (frame !== this.frame || this.shot !== this.drawn) this.draw(frame);
    if (this.playing) this.timeline.head(time);
    this.ticking = requestAnimationFrame(() => this.tick());
  }

  draw(frame) {
    this.frame = frame;
    this.drawn = this.shot;
    this.slider.value = frame;
    this.slider.setAttribute("aria-valuetext", clock(frame / this.view.fps));
    this.time.textContent = clock(frame / this.view.fps);
    this.timeline.head((frame + 0.5) / this.view.fps);
    this.clusters?.highlight(frame);
    for (const screen of this.screens) {
      for (const { scores, words, node } of screen.verdicts) {
        const score = this.view.scores[scores][frame];
        const says = score === null ? "no face found" : `${score > 0 ? "speaking" : "not speaking"} ${probability(score).toFixed(2)}`;
        words.textContent = says;
        node.classList.toggle("pp-says", score > 0);
      }
      const first = screen.verdicts[0];
      screen.figure.classList.toggle("pp-speaking", Boolean(first) && this.view.scores[first.scores][frame] > 0);
      screen.box.hidden = this.shot !== "scene" || !first;
      const [x1, y1, x2, y2] = this.view.boxes[frame];
      const style = { left: x1, top: y1, width: x2 - x1, height: y2 - y1 };
      for (const [key, share] of Object.entries(style)) screen.box.style[key] = `${(100 * share).toFixed(2)}%`;
    }
  }
}

customElements.define("pp-player", Player);
