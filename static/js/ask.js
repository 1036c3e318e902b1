// A link with data-ask leads to a page with a question; here the question is shown as a dialog over this page.

async function openQuestion(address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const question = page.querySelector("#ask .ask-body");
  if (!answer.ok || !question) {
    window.location.assign(address);
    return;
  }
  const dialog = document.createElement("dialog");
  const frame = document.createElement("div");
  dialog.className = "ask";
  frame.append(document.adoptNode(question));
  dialog.append(frame);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    const close = event.target.closest("[data-close]");
    if (close || event.target === dialog) {
      event.preventDefault();
      dialog.close();
    }
  });
  document.body.append(dialog);
  dialog.showModal();
}

export function askInDialogs() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-ask]");
    const plainClick = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey;
    if (link && plainClick) {
      event.preventDefault();
      openQuestion(link.href).catch(() => window.location.assign(link.href));
    }
  });
}
