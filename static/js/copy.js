// Buttons that copy the text above them. Without the clipboard (plain http) the text is selected instead.

const SHOWN_MILLISECONDS = 2000;

async function copyText(block, button) {
  const code = block.querySelector("code");
  const words = button.querySelector("span");
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(code.textContent);
    const before = words.textContent;
    words.textContent = button.dataset.copied;
    button.disabled = true;
    setTimeout(() => {
      words.textContent = before;
      button.disabled = false;
    }, SHOWN_MILLISECONDS);
  } else {
    window.getSelection().selectAllChildren(code);
  }
}

export function copyButtons() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".copy-button");
    if (button) {
      copyText(button.closest("[data-copy]"), button);
    }
  });
}
