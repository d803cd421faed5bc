// The experimenter's pages work without this; with it they say sooner what they know.

const WATCH_MS = 5000;
const PROGRESS_MS = 1000;

// What cannot be undone is asked for first.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    // Without HTTPS there is no clipboard: show the whole link, to be copied by hand.
    const link = button.previousElementSibling;
    link.textContent = button.dataset.copy;
    window.getSelection().selectAllChildren(link);
  }
});

// A study's form: its summary and its errors while it is being filled in.
const design = document.querySelector("form[data-summary]");
if (design) {
  const box = document.getElementById("summary");
  let timer, latest = 0;
  const ask = async () => {
    const mine = ++latest;
    const response = await fetch(design.dataset.summary, { method: "POST", body: new URLSearchParams(new FormData(design)) });
    if (!response.ok || mine !== latest) return;
    const { html, errors } = await response.json();
    if (mine !== latest) return;
    box.innerHTML = html; // drawn and escaped by the server
    for (const field of design.querySelectorAll("[data-field]")) {
      const message = errors[field.dataset.field] ?? "";
      const line = field.querySelector(":scope > .error");
      line.textContent = message;
      line.hidden = !message;
      const input = field.querySelector("input:not([type=checkbox], [type=radio]), textarea");
      if (input && message) input.setAttribute("aria-invalid", "true");
      else input?.removeAttribute("aria-invalid");
    }
    if (errors[""]) box.textContent = errors[""];
  };
  design.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => ask().catch(() => {}), 250);
  });
}

// Progress of the stimuli; the page is drawn anew when they are done.
const making = () => document.querySelector("[data-progress]");
async function progress() {
  const at = making();
  if (!at) return;
  const response = await fetch(at.dataset.progress);
  if (response.status === 403) return window.location.reload();
  if (response.ok) {
    const { state, made, of, note } = await response.json();
    if (state !== "making") return redraw();
    const bar = at.querySelector("progress");
    bar.max = of || 1;
    bar.value = made;
    at.querySelector("[data-made]").textContent = made;
    at.querySelector("[data-of]").textContent = of || "–";
    at.querySelector("[data-note]").textContent = note;
  }
}

// Live parts: ask for a fingerprint of what is shown, and draw it anew only when that has changed.
async function redraw() {
  const response = await fetch(window.location.href, { headers: { Accept: "text/html" } });
  if (!response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const [old, now] = [document.getElementById("live"), fresh.getElementById("live")];
  if (!old || !now || old.contains(document.activeElement)) return; // never under somebody's hands
  for (const image of now.querySelectorAll("img, source")) {
    // The address of a picture stays the same while what it shows does not.
    const name = image.localName === "img" ? "src" : "srcset";
    image.setAttribute(name, `${image.getAttribute(name)}&v=${encodeURIComponent(now.dataset.fingerprint)}`);
    image.removeAttribute("loading");
  }
  document.querySelector("h1").replaceWith(fresh.querySelector("h1"));
  old.replaceWith(document.adoptNode(now));
}

async function watch() {
  const live = document.getElementById("live");
  if (!live || document.hidden || making()) return;
  const response = await fetch(live.dataset.watch);
  if (response.ok && (await response.json()).fingerprint !== live.dataset.fingerprint) await redraw();
}

setInterval(() => progress().catch(() => {}), PROGRESS_MS);
setInterval(() => watch().catch(() => {}), WATCH_MS);
