// Single-key shortcuts, which can be switched off: a voice-input user's words must not answer a trial.

import { remember, remembered } from "./remember.js";

export const shortcutsOn = () => remembered("keys") !== false;
export const setShortcuts = (on) => remember("keys", on);

/** Calls handle(key) for single presses outside fields and dialogs; handle returns whether it knew the key. */
export function shortcuts(handle) {
  const listen = (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (!shortcutsOn() || document.querySelector("dialog[open]")) return;
    const at = event.target instanceof Element ? event.target : document.body;
    // Space on a button presses that button, as everywhere.
    if (event.key === " " && at.closest("button, a, summary, input")) return;
    if (at.closest("input:not([type=range]), textarea, select")) return;
    if (handle(event.key)) event.preventDefault();
  };
  document.addEventListener("keydown", listen);
  return () => document.removeEventListener("keydown", listen);
}
