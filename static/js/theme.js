// The look changes at once, and a form keeps its input; the server keeps the choice in a cookie.

export function themeSwitch() {
  const form = document.querySelector("[data-theme-switch]");
  if (!form) {
    return;
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = event.submitter.value;
    const body = new FormData(form, event.submitter);
    if (wanted === "auto") {
      document.documentElement.removeAttribute("data-theme");
    } else {
      document.documentElement.dataset.theme = wanted;
    }
    const answer = await fetch(form.action, { method: "POST", body, credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.querySelector("[data-theme-switch] button");
    if (next) {
      form.querySelector("button").replaceWith(document.adoptNode(next));
    }
  });
}
