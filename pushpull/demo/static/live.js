// <pp-live>: films, sends a fifth of a second at a time, and draws the scores that come back under the picture.
// The sound is the clock: with every 640 samples the picture of that moment is taken.

const SAMPLES = 640;
const FPS = 25;
const PART = 5; // frames
const MOST = 50; // frames that the server takes at once, a whole window: little more work for it than a few
const WIDTH = 320;
const SHOWN = 8 * FPS; // frames of the strip
const LONGEST = 60; // seconds

const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const here = (path) => new URL(path, document.baseURI.split(/[?#]/)[0]).href;
const token = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");

const WHY = {
  NotAllowedError: "The browser was not allowed to use camera and microphone. Allow it beside the address, then try again.",
  NotFoundError: "This machine has no camera or no microphone.",
  NotReadableError: "Another program uses the camera or the microphone.",
};

class Live extends HTMLElement {
  connectedCallback() {
    if (this.button) return;
    this.video = el("video", { playsinline: "", "aria-label": "What the camera sees" });
    this.video.muted = true;
    this.box = el("div", { class: "pp-box" });
    this.box.hidden = true;
    this.says = el("p", { class: "pp-live-says", role: "status" }, "The camera is off.");
    this.strip = el("canvas", { class: "pp-live-strip", role: "img", "aria-label": "Score of the last eight seconds" });
    this.button = el("button", { type: "button", class: "pp-live-start" }, "Start the camera");
    this.attack = el("button", { type: "button", class: "pp-live-attack" }, "Attack what was filmed");
    this.attack.hidden = true;
    this.figures = el("p", { class: "pp-quiet pp-num" });
    this.detector = el("select");
    this.choice = el("label", { class: "pp-live-detector" }, "Detector ", this.detector);
    this.choice.hidden = true;
    this.detector.addEventListener("change", () => this.stream && this.begin());
    new IntersectionObserver((seen, observer) => {
      if (!seen.some((one) => one.isIntersecting)) return;
      observer.disconnect(); // once, when the tab is opened
      this.offer();
    }).observe(this);
    this.button.addEventListener("click", () => (this.stream ? this.stop() : this.start()));
    this.attack.addEventListener("click", () => this.hand());
    const frame = el("div", { class: "pp-frame" }, this.video, this.box);
    this.figure = el("figure", { class: "pp-screen pp-live-screen" }, frame);
    const row = el("div", { class: "pp-live-row" }, this.button, this.attack, this.choice);
    this.strip.hidden = true; // until there are scores
    this.replaceChildren(row, this.says, this.figure, this.strip, this.figures);
  }

  // Which detectors there are now; without an answer the default one scores.
  async offer() {
    const reply = await fetch(here("live")).catch(() => null);
    const found = reply?.ok ? await reply.json() : [];
    this.detector.replaceChildren(...found.map(([title, name]) => el("option", { value: name }, title)));
    this.choice.hidden = found.length < 2;
  }

  disconnectedCallback() {
    this.stop();
  }

  async start() {
    if (!navigator.mediaDevices || !window.AudioWorkletNode) {
      this.tell("The camera is only for https pages and for this machine itself.");
      return;
    }
    this.button.disabled = true;
    this.tell("Opening the camera …");
    try {
      const wanted = { width: 640, height: 480, frameRate: FPS };
      this.stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: { echoCancellation: false } });
      this.video.srcObject = this.stream;
      await this.video.play();
      this.record();
      this.begin();
      await this.listen();
    } catch (error) {
      this.stop();
      this.tell(WHY[error.name] ?? `Camera and microphone could not be opened: ${error.message}`);
      return;
    } finally {
      this.button.disabled = false;
    }
    this.attack.hidden = true;
    this.button.textContent = "Stop";
    this.tell("Looking for a face …");
    this.ends = setTimeout(() => this.stop("A minute is over: the camera is off."), LONGEST * 1000);
    this.draw();
  }

  async listen() {
    const build = async (options) => {
      const context = new AudioContext(options);
      await context.audioWorklet.addModule(here("demo-static/live-sound.js"));
      return [context, context.createMediaStreamSource(this.stream)];
    };
    // Some browsers do not connect a microphone to a context of another rate: then the worklet averages.
    const [context, source] = await build({ sampleRate: 16000 }).catch(() => build({}));
    this.context = context;
    const sound = new AudioWorkletNode(context, "pp-sound", { numberOfOutputs: 0 });
    sound.port.onmessage = ({ data }) => this.take(data);
    source.connect(sound);
    await context.resume();
  }

  // A camera to the server: at the start, and when another detector is chosen.
  begin() {
    this.leave();
    Object.assign(this, { token: token(), waiting: [], skipped: 0, offset: this.taken, delays: [], told: 0, slow: false });
    this.began = performance.now();
    this.face = null; // that of the filming before
    this.figure.classList.remove("pp-speaking");
  }

  leave() {
    if (this.token) fetch(here(`live/${this.token}`), { method: "DELETE", keepalive: true }).catch(() => {});
  }

  take(samples) {
    if (!this.stream || !this.video.videoWidth) return;
    const height = Math.round((WIDTH * this.video.videoHeight) / this.video.videoWidth);
    const picture = new OffscreenCanvas(WIDTH, height);
    picture.getContext("2d").drawImage(this.video, 0, 0, WIDTH, height);
    this.taken++;
    this.waiting.push({ samples, picture, at: performance.now() });
    if (this.waiting.length > MOST) {
      // What is older than a window would only put off what comes: fewer frames are scored, none of them late.
      this.waiting.shift();
      this.skipped++;
      this.slow = true;
    }
    if (this.waiting.length >= PART && !this.sending) this.send();
  }

  async send() {
    this.sending = true;
    const { token: session, offset, skipped } = this;
    const part = this.waiting.splice(0, MOST);
    this.skipped = 0;
    try {
      const asked = new URLSearchParams({ detector: this.detector.value, skipped });
      const reply = await fetch(here(`live/${session}?${asked}`), { method: "POST", body: await this.pack(part) });
      const found = await reply.json();
      if (!reply.ok) throw new Error(found.error);
      if (this.stream && session === this.token) this.hear(found, offset, part.at(-1).at);
    } catch (error) {
      if (this.stream && session === this.token) {
        this.stop();
        // A proxy answers for a server that does not with a page of its own, which is no JSON.
        const silent = error instanceof TypeError || error instanceof SyntaxError;
        this.tell(silent ? "The server does not answer." : error.message);
      }
    } finally {
      this.sending = false;
    }
    if (this.stream && this.waiting.length >= PART) this.send();
  }

  async pack(part) {
    const height = part[0].picture.height;
    const rows = new OffscreenCanvas(WIDTH, height * part.length);
    const context = rows.getContext("2d");
    part.forEach(({ picture }, index) => context.drawImage(picture, 0, index * height));
    const count = new Uint32Array([part.length]);
    return new Blob([count, ...part.map(({ samples }) => samples), await rows.convertToBlob({ type: "image/jpeg", quality: 0.8 })]);
  }

  // `offset` is the first frame that this camera's detector got.
  hear(found, offset, filmed) {
    found.scores.forEach((score, index) => (this.scores[offset + found.first + index] = score));
    this.face = found.box;
    const known = offset + found.first + found.scores.length - 1;
    if (found.scores.length) {
      this.strip.hidden = false;
      // From when the frame was filmed to now: those that followed it, and the way there and back.
      const behind = (found.seen + offset - 1 - known) / FPS + (performance.now() - filmed) / 1000;
      this.delays.push(behind);
      this.told += found.scores.length;
      const score = found.scores.at(-1);
      const sure = 1 / (1 + Math.exp(-score));
      this.tell(`${score > 0 ? "Speaking" : "Not speaking"} ${sure.toFixed(2)}`);
      this.figure.classList.toggle("pp-speaking", score > 0);
      const rate = this.told / ((performance.now() - this.began) / 1000);
      const middle = [...this.delays].sort((a, b) => a - b)[this.delays.length >> 1];
      this.figures.textContent = `${behind.toFixed(1)} s behind the camera, ${rate.toFixed(0)} frames a second`;
      Object.assign(this.dataset, { delay: middle.toFixed(2), rate: rate.toFixed(1), told: this.told });
      if (this.slow) this.figures.textContent += "; the server cannot score all 25 and leaves some out";
    } else if (!found.box) {
      this.tell("No face is seen. Come closer, into the light.");
    }
  }

  record() {
    Object.assign(this, { scores: [], taken: 0, pieces: [] });
    this.figures.textContent = "";
    const type = ["video/webm;codecs=vp8,opus", "video/mp4"].find((one) => MediaRecorder.isTypeSupported(one));
    this.recorder = new MediaRecorder(this.stream, type ? { mimeType: type } : {});
    this.recorder.ondataavailable = ({ data }) => data.size && this.pieces.push(data);
    this.recorder.onstop = () => (this.attack.hidden = this.pieces.length === 0);
    this.recorder.start();
  }

  stop(why = "The camera is off.") {
    clearTimeout(this.ends);
    cancelAnimationFrame(this.drawing);
    if (this.recorder?.state === "recording") this.recorder.stop();
    this.context?.close().catch(() => {});
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.leave();
    this.stream = this.context = this.token = null;
    if (!this.button) return;
    this.video.srcObject = null;
    this.box.hidden = true;
    this.button.textContent = "Start the camera";
    this.tell(why);
  }

  tell(text) {
    if (this.says.textContent !== text) this.says.textContent = text;
  }

  draw() {
    const [width, height] = [this.strip.clientWidth, this.strip.clientHeight];
    if (this.strip.width !== width) Object.assign(this.strip, { width, height });
    const context = this.strip.getContext("2d");
    const colour = (name) => getComputedStyle(this).getPropertyValue(name);
    context.clearRect(0, 0, width, height);
    context.fillStyle = colour("--pp-soft");
    context.fillRect(0, height / 2, width, 1);
    const end = this.scores.length; // the last frame that is known, however far behind the camera
    const first = Math.max(0, end - SHOWN);
    for (let frame = first; frame < end; frame++) {
      const score = this.scores[frame];
      if (score === undefined) continue;
      const share = 1 / (1 + Math.exp(-score));
      context.fillStyle = colour(score > 0 ? "--pp-on" : "--pp-off");
      const left = ((frame - first) * width) / SHOWN;
      context.fillRect(left, height * (1 - share), Math.ceil(width / SHOWN), Math.max(2, height * share));
    }
    this.box.hidden = !this.face;
    if (this.face) {
      const [x1, y1, x2, y2] = this.face;
      for (const [key, share] of Object.entries({ left: x1, top: y1, width: x2 - x1, height: y2 - y1 })) {
        this.box.style[key] = `${(100 * share).toFixed(2)}%`;
      }
    }
    this.drawing = requestAnimationFrame(() => this.draw());
  }

  // To the Attack tab's own upload, as if a file had been chosen there.
  async hand() {
    const blob = new Blob(this.pieces, { type: this.pieces[0].type });
    const ending = blob.type.includes("mp4") ? "mp4" : "webm";
    document.querySelector("button[role=tab]")?.click();
    document.querySelector("#pp-video button[aria-label=Clear]")?.click();
    // Where somebody chose the webcam before there is no field for a file.
    document.querySelector("#pp-video button[aria-label='Upload file']")?.click();
    const field = () => document.querySelector("#pp-video input[type=file]");
    for (let tries = 0; !field() && tries < 50; tries++) await new Promise((done) => setTimeout(done, 100));
    if (!field()) return;
    const files = new DataTransfer();
    files.items.add(new File([blob], `filmed.${ending}`, { type: blob.type.split(";")[0] }));
    field().files = files.files;
    field().dispatchEvent(new Event("change", { bubbles: true }));
  }
}

customElements.define("pp-live", Live);
