// The course of a rollout: asks for the figures every few seconds and draws them in place. It rests in hidden tabs, says
// quietly when it cannot be read, and stops when nothing changes any more.
(() => {
  "use strict";

  const EVERY = 5000;
  const PATIENCE = 15_000;
  const course = document.querySelector("[data-course]");
  if (!course || !window.stagegateCharts) return;

  const state = course.querySelector("[data-course-state]");
  const panels = new Map([...course.querySelectorAll("[data-course-chart]")].map((each) => [each.dataset.courseChart, each]));
  const drawn = new Map();
  let timer = 0;
  let ended = false;

  const setText = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  // A panel that is shown for the first time has to be on the page before a chart can fill it.
  const show = (panel, key, { figure, words, name }) => {
    panel.hidden = !figure;
    if (!figure) return;
    course.hidden = false;
    setText(panel.querySelector("[data-course-words]"), words);
    setText(panel.querySelector("[data-course-name]"), name);
    const text = JSON.stringify(figure);
    if (drawn.get(key) === text) return;
    drawn.set(key, text);
    window.stagegateCharts.put(panel.querySelector(".chart-canvas"), figure);
  };

  const read = async () => {
    const answer = await fetch(course.dataset.course, {
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (answer.redirected) return { charts: {}, ended: true };
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  };

  const look = async () => {
    clearTimeout(timer);
    if (document.hidden || ended) return;
    try {
      const news = await read();
      for (const [key, chart] of Object.entries(news.charts)) {
        const panel = panels.get(key);
        if (panel) show(panel, key, chart);
      }
      ended = news.ended;
      setText(state, "");
    } catch {
      setText(state, "These charts could not be read just now; trying again.");
    }
    if (!ended) timer = setTimeout(look, EVERY);
  };

  document.addEventListener("visibilitychange", look);
  look();
})();
