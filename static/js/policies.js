// The editor of a policy: line numbers beside the text, and problems that lead to their line.
(() => {
  "use strict";

  const text = document.getElementById("policy");
  if (!text) return;

  const problems = [...document.querySelectorAll("[data-line]")];
  const wrong = new Set(problems.map((problem) => Number(problem.dataset.line)));

  const gutter = document.createElement("ol");
  gutter.className = "editor-lines";
  gutter.setAttribute("aria-hidden", "true");
  text.before(gutter);

  const follow = () => {
    gutter.scrollTop = text.scrollTop;
  };

  const number = () => {
    const count = text.value.split("\n").length;
    while (gutter.children.length > count) gutter.lastElementChild.remove();
    while (gutter.children.length < count) {
      const line = document.createElement("li");
      line.textContent = String(gutter.children.length + 1);
      line.classList.toggle("editor-wrong", wrong.has(gutter.children.length + 1));
      gutter.append(line);
    }
    follow();
  };

  // The gutter is as high as the text, which people can resize.
  new ResizeObserver(() => {
    gutter.style.height = `${text.offsetHeight}px`;
    follow();
  }).observe(text);

  text.addEventListener("input", number);
  text.addEventListener("scroll", follow);
  number();

  const goTo = (line, column) => {
    const lines = text.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    const lineHeight = text.scrollHeight / Math.max(lines.length, 1);
    text.focus({ preventScroll: true });
    text.setSelectionRange(start + column - 1, start + (lines[line - 1] || "").length);
    text.scrollTop = Math.max(0, (line - 6) * lineHeight);
    text.scrollIntoView({ block: "center" });
  };

  for (const problem of problems) {
    problem.addEventListener("click", (event) => {
      event.preventDefault();
      goTo(Number(problem.dataset.line), Number(problem.dataset.column));
    });
  }
})();
