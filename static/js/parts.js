// Parts of a page that are asked for once the page is there: what could not be asked for says so, and can be asked again.
(() => {
  "use strict";

  const tell = (part, failed) => {
    const [waits, notice] = [part.querySelector("[data-part-waits]"), part.querySelector("[data-part-failed]")];
    if (!waits || !notice) return;
    waits.hidden = failed;
    notice.hidden = !failed;
  };

  for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      if (event.target.matches("[data-part]")) tell(event.target, true);
    });
  }

  // Without a session the answer is the sign-in page: the whole page goes there, and comes back.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr } = event.detail;
    if (!target.matches("[data-part]") || !xhr.responseURL.includes("/sign-in/")) return;
    event.detail.shouldSwap = false;
    location.reload();
  });

  document.addEventListener("click", (event) => {
    const part = event.target.closest("[data-part-retry]")?.closest("[data-part]");
    if (!part) return;
    tell(part, false);
    window.htmx.trigger(part, "retry");
  });
})();
