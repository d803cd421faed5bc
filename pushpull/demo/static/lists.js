// A list that is open stays so over the form in gradio when the keyboard goes on to the next field. A second "blur" shuts
// it; later, so that a choice by mouse comes first.

document.addEventListener("focusout", ({ target }) => {
  if (!target.matches?.("input[role=combobox]")) return;
  const shut = () => {
    if (target.getAttribute("aria-expanded") === "true" && document.activeElement !== target) {
      target.dispatchEvent(new FocusEvent("blur"));
    }
  };
  setTimeout(shut, 200);
});
