// The usual reasons, filled in by one click, and questions that a list asks for only when its button is pressed.
(() => {
  "use strict";

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-reason]");
    if (!button) return;
    const field = button.closest("form").querySelector("textarea[name=reason]");
    field.value = button.dataset.reason;
    field.focus();
  });

  // A dialog from the server. When it cannot be had, the link leads to the page of the same question.
  const fetchDialog = async (address) => {
    const answer = await fetch(address, { headers: { "HX-Request": "true" } });
    if (!answer.ok || answer.redirected) throw new Error(`${answer.status}`);
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("dialog");
    if (!found) throw new Error("no dialog");
    return document.adoptNode(found);
  };

  const show = (dialog, opener) => {
    dialog.removeAttribute("id");
    document.body.append(dialog);
    dialog.addEventListener("close", () => {
      dialog.remove();
      document.getElementById(opener)?.focus();
    });
    dialog.showModal();
    (dialog.querySelector("textarea") || dialog.querySelector("button, a"))?.focus();
  };

  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    if (link.getAttribute("aria-busy")) return;
    link.setAttribute("aria-busy", "true");
    try {
      show(await fetchDialog(link.href), link.id);
    } catch {
      location.assign(link.href);
    } finally {
      link.removeAttribute("aria-busy");
    }
  });
})();
