// What the page shows is in its address: the tab after "#", a finished result as "?result=" or, of Compare, "?compared=".
// A reload, a bookmark and the browser's Back button lead there again.

const RESULTS = { result: "#pp-files", compared: "#pp-compare-files" };
const shown = {};

// The token of a finished result comes with its files; another clip, or another run, takes it away.
function results() {
  const address = new URL(location.href);
  for (const [name, place] of Object.entries(RESULTS)) {
    const token = document.querySelector(`${place} [data-result]`)?.dataset.result;
    if (token === shown[name]) continue;
    if (token && name === "result") {
      // A link's sample and settings are those of this result, or were changed since.
      for (const other of [...address.searchParams.keys()]) if (!(other in RESULTS)) address.searchParams.delete(other);
    }
    if (token) address.searchParams.set(name, token);
    else address.searchParams.delete(name);
    shown[name] = token;
  }
  if (address.href !== location.href) history.replaceState(history.state, "", address);
}

const named = () => location.hash.slice(1);
// On a narrow page the last tabs are behind "More tabs", where buttons have their title alone.
const buttons = () => [...document.querySelectorAll("#pp-tabs [role=tab][data-tab-id], #pp-tabs .overflow-dropdown button")];
const nameOf = (button) => button.dataset.tabId ?? button.textContent.trim().toLowerCase();
const chosen = () => buttons().find((button) => button.classList.contains("selected"));

// The tab that the address names; without one the first.
function follow() {
  const wanted = buttons().find((button) => nameOf(button) === named()) ?? (named() ? null : buttons()[0]);
  if (wanted && wanted !== chosen()) wanted.click();
}

let first = true;
function tabs() {
  if (!chosen()) return;
  const now = nameOf(chosen());
  if (first) {
    first = false;
    if (named()) return follow();
  }
  const said = now === nameOf(buttons()[0]) ? "" : `#${now}`;
  if (said === location.hash) return;
  history.pushState(null, "", location.pathname + location.search + said);
}

let waiting = false;
new MutationObserver(() => {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    tabs();
    results();
  }, 50);
}).observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });
addEventListener("popstate", follow);
addEventListener("hashchange", follow);
