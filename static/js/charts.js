// Draws figures in the colours of the theme, and again when the theme changes: those that the page carries as JSON,
// and those that another script puts on a canvas with stagegateCharts.put(canvas, figure), as often as it likes.
(() => {
  "use strict";

  if (!window.Plotly) return;

  const charts = new Map();
  for (const figure of document.querySelectorAll("[data-chart]")) {
    const given = JSON.parse(document.getElementById(figure.dataset.chart).textContent);
    charts.set(figure.querySelector(".chart-canvas"), given);
  }

  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);

  // What a token of the style sheets is in the theme of the moment.
  const colour = (token) => {
    probe.style.color = `var(--${token})`;
    return getComputedStyle(probe).color;
  };

  // The colour of a token, as thin as the given one.
  const shade = (token, given) => {
    const alpha = Number(given.match(/([\d.]+)\)$/)[1]);
    return colour(token).replace(/^rgba?\(([^)]+)\)$/, (_, parts) => `rgba(${parts.split(",").slice(0, 3)},${alpha})`);
  };

  const trace = (given) => {
    const own = colour(given.meta);
    const drawn = { ...given, line: { ...given.line, color: own }, marker: { ...given.marker, color: own } };
    return given.fillcolor ? { ...drawn, fillcolor: shade(given.meta, given.fillcolor) } : drawn;
  };

  // Under a finger a page scrolls; with a mouse, a part of a chart over time can be drawn out.
  const touched = matchMedia("(pointer: coarse)");

  const axis = (given) => ({
    ...given,
    color: colour("ink-soft"),
    gridcolor: colour("line"),
    linecolor: colour("line-strong"),
    zerolinecolor: colour("line-strong"),
  });

  const named = (given) => ({ ...given, font: { ...given.font, color: colour(given.name) } });

  const layout = (given) => {
    const axes = Object.entries(given).filter(([key]) => /^[xy]axis\d*$/.test(key));
    return {
      ...given,
      dragmode: touched.matches ? false : given.dragmode,
      ...Object.fromEntries(axes.map(([key, value]) => [key, axis(value)])),
      shapes: (given.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: colour(shape.name) } })),
      annotations: (given.annotations || []).map(named),
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("ink-soft") },
      hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("line-strong"), font: { color: colour("ink") } },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
    };
  };

  const show = (canvas, figure) => {
    canvas.hidden = false;
    // After a change of the window's size Plotly forgets the height that it was given, and asks its place for one.
    canvas.style.height = figure.layout.height ? `${figure.layout.height}px` : "";
    window.Plotly.react(canvas, figure.data.map(trace), layout(figure.layout), {
      displayModeBar: false,
      doubleClick: figure.layout.dragmode === "zoom" ? "reset" : false,
      responsive: true,
      showTips: false,
    });
  };

  const put = (canvas, figure) => {
    charts.set(canvas, figure);
    show(canvas, figure);
  };

  const draw = () => charts.forEach((figure, canvas) => show(canvas, figure));

  window.stagegateCharts = { put };
  draw();
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
