// The page of the API: a search through its endpoints, and links that open what they lead to.
(() => {
  "use strict";

  const form = document.querySelector("[data-api-search]");
  const field = form.querySelector("input");
  const found = form.querySelector("[data-api-found]");
  const intro = document.querySelector("[data-api-intro]");
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());

  const filter = () => {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const group of document.querySelectorAll("[data-api-group]")) {
      let shown = 0;
      for (const each of group.querySelectorAll("[data-api-words]")) {
        each.hidden = !wanted.every((word) => each.dataset.apiWords.includes(word));
        shown += each.hidden ? 0 : 1;
      }
      group.hidden = shown === 0;
      count += shown;
    }
    intro.hidden = wanted.length > 0;
    found.textContent = wanted.length ? `${count} found` : "";
  };
  field.addEventListener("input", filter);

  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target?.matches("details")) {
      if (target.hidden) {
        field.value = "";
        filter();
      }
      target.open = true;
      target.scrollIntoView();
    }
  };
  window.addEventListener("hashchange", open);
  open();
})();
