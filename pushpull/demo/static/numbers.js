// A slider's box that is left empty says its lowest number in gradio, and an attack with the budget 0 changes nothing.
// Here it says again what it said before, which stands in its data-kept for whoever asks meanwhile.

const SELECTOR = '.gradio-container .block:has(input[type="range"]) input[type="number"]';

const keep = ({ target }) => {
  if (target.matches?.(SELECTOR) && target.value !== "" && target.validity.valid) target.dataset.kept = target.value;
};

document.addEventListener("focusin", keep);
document.addEventListener("input", keep);
// Before gradio's own listener, which is the box's.
document.addEventListener(
  "blur",
  ({ target }) => {
    if (!target.matches?.(SELECTOR) || target.value !== "" || !target.dataset.kept) return;
    target.value = target.dataset.kept;
    target.dispatchEvent(new Event("input", { bubbles: true }));
  },
  true,
);
