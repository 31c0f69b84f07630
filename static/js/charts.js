// Draws figures in the colours of the theme, and again when the theme changes: those that the page carries as JSON,
// and those that another script puts on a canvas with stagegateCharts.put(canvas, figure), as often as it likes.
// It stands before the library, which is large: until that is there a chart has its place, and says that it is drawn.
(() => {
  "use strict";

  const charts = new Map();
  // Without the library the tables are what there is.
  let missing = false;

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

  // ---- the same figures as a table, for those charts whose page does not carry one

  // Names are written for Plotly, which reads texts as HTML.
  const MEANT = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };
  const plain = (text) => String(text).replace(/&(?:lt|gt|amp);/g, (written) => MEANT[written]);

  const moment = (at) => (/^\d{4}-\d\d-\d\dT/.test(at) ? at.slice(0, 19).replace("T", " ") : plain(at));

  // What stands behind the figures of a trace where the pointer is on it: " %", " s".
  const unit = (given) => (given.hovertemplate || "").match(/%\{y[^}]*\}([^<]*)/)?.[1] || "";

  const cell = (kind, text, scope) => {
    const made = document.createElement(kind);
    made.textContent = text;
    if (scope) made.scope = scope;
    else made.className = "number";
    return made;
  };

  const rowOf = (cells) => {
    const made = document.createElement("tr");
    made.append(...cells);
    return made;
  };

  const fillTable = (place, figure) => {
    const traces = figure.data.filter((each) => each.hoverinfo !== "skip");
    const names = traces.map((each) => plain(each.name));
    const heads = traces.map((each, at) =>
      names.indexOf(names[at]) === names.lastIndexOf(names[at]) ? names[at] : `${names[at]} (${each.meta})`);
    const rows = new Map();
    traces.forEach((given, column) => given.x.forEach((x, at) => {
      if (x === null || given.y[at] === null || given.y[at] === undefined) return;
      if (!rows.has(x)) rows.set(x, { name: moment(given.customdata?.[at] ?? x), values: [] });
      rows.get(x).values[column] = `${Number(given.y[at].toPrecision(4))}${unit(given)}`;
    }));
    const sorted = [...rows].sort(([one], [other]) => (one < other ? -1 : 1));
    const table = document.createElement("table");
    table.className = "table table-tight";
    table.createTHead().append(rowOf(["", ...heads].map((each) => cell("th", each, "col"))));
    table.createTBody().append(...sorted.map(([, { name, values }]) =>
      rowOf([cell("th", name, "row"), ...heads.map((_, column) => cell("td", values[column] ?? "–"))])));
    place.replaceChildren(table);
  };

  const twinOf = (canvas) => canvas.closest("[data-course-chart]")?.querySelector("[data-chart-table]");

  const showTable = (canvas) => {
    const twin = twinOf(canvas);
    if (twin?.open) fillTable(twin.querySelector("[data-chart-rows]"), charts.get(canvas));
  };

  document.addEventListener("toggle", ({ target }) => {
    if (target.matches("[data-chart-table]")) for (const canvas of charts.keys()) if (twinOf(canvas) === target) showTable(canvas);
  }, true);

  // ---- drawing

  // After a change of the window's size Plotly forgets the height that it was given, and asks its place for one.
  const keepPlace = (canvas, figure) => {
    canvas.hidden = missing;
    canvas.style.height = figure.layout.height ? `${figure.layout.height}px` : "";
    canvas.setAttribute("aria-busy", String(!window.Plotly));
  };

  const show = (canvas, figure) => {
    keepPlace(canvas, figure);
    if (!window.Plotly) return;
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
    showTable(canvas);
  };

  const draw = () => charts.forEach((figure, canvas) => show(canvas, figure));

  const drawOrGiveUp = () => {
    missing = !window.Plotly;
    draw();
  };

  for (const figure of document.querySelectorAll("[data-chart]")) {
    put(figure.querySelector(".chart-canvas"), JSON.parse(document.getElementById(figure.dataset.chart).textContent));
  }
  window.stagegateCharts = { put };
  document.addEventListener("DOMContentLoaded", drawOrGiveUp);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
