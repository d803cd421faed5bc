// Gradio names its upload button otherwise than it is labelled, so that who says aloud what they read does not hit it:
// the name becomes what is written on it.

const name = () => {
  for (const button of document.querySelectorAll("button.upload-container[aria-label]")) {
    const text = button.innerText.replace(/\s+/g, " ").trim();
    if (text && button.getAttribute("aria-label") !== text) button.setAttribute("aria-label", text);
  }
};

new MutationObserver(name).observe(document.documentElement, { childList: true, subtree: true });
name();
