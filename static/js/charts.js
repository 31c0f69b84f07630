// Draws the figures that the page carries as JSON, in the colours of the theme, and again when the theme changes.
(() => {
  "use strict";

  const charts = [...document.querySelectorAll("[data-chart]")].map((figure) => ({
    canvas: figure.querySelector(".chart-canvas"),
    figure: JSON.parse(document.getElementById(figure.dataset.chart).textContent),
  }));
  if (!charts.length || !window.Plotly) return;

  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);

  // What a token of the style sheets is in the theme of the moment.
  const colour = (token) => {
    probe.style.color = `var(--${token})`;
    return getComputedStyle(probe).color;
  };

  const trace = (given) => {
    const own = colour(given.meta);
    return { ...given, line: { ...given.line, color: own }, marker: { ...given.marker, color: own } };
  };

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
      ...Object.fromEntries(axes.map(([key, value]) => [key, axis(value)])),
      shapes: (given.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: colour(shape.name) } })),
      annotations: (given.annotations || []).map(named),
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("ink-soft") },
      hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("line-strong"), font: { color: colour("ink") } },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
    };
  };

  const draw = () => {
    for (const { canvas, figure } of charts) {
      canvas.hidden = false;
      window.Plotly.react(canvas, figure.data.map(trace), layout(figure.layout), {
        displayModeBar: false,
        doubleClick: false,
        responsive: true,
        showTips: false,
      });
    }
  };

  draw();
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
