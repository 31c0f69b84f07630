// The inbox by keyboard: j and k go from one decision to the next and the one before; Enter opens it, as it is a link.
(() => {
  "use strict";

  const STEPS = { j: 1, k: -1 };
  const WRITES = "input, select, textarea, [contenteditable], dialog[open] *";

  document.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey || event.target.closest(WRITES)) return;
    if (document.querySelector("dialog[open]")) return;
    const cases = [...document.querySelectorAll("[data-case]")];
    const here = cases.findIndex((each) => each.closest("li").contains(document.activeElement));
    const next = cases[here < 0 ? (step > 0 ? 0 : cases.length - 1) : here + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.closest("li").scrollIntoView({ block: "nearest" });
  });
})();
