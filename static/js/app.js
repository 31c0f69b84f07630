// What every page does: the theme, menus, dialogs that ask for a reason, times that stay true, parts that are busy, copying.
(() => {
  "use strict";

  // ---- theme: follow the system, light, dark

  const themes = [...document.querySelectorAll("[data-theme-choice] input")];

  const setTheme = (theme) => {
    if (theme === "system") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("stagegate-theme");
    } else {
      document.documentElement.dataset.theme = theme;
      localStorage.setItem("stagegate-theme", theme);
    }
  };

  for (const each of themes) {
    each.checked = each.value === (document.documentElement.dataset.theme || "system");
    each.addEventListener("change", () => setTheme(each.value));
  }

  // ---- menus: one is open at a time; Escape closes it and gives the focus back, so does leaving it

  const menus = [...document.querySelectorAll("[data-menu]")];
  const openerOf = (menu) => menu.querySelector("summary, [aria-expanded]");
  const isOpen = (menu) => menu.open ?? openerOf(menu).getAttribute("aria-expanded") === "true";

  const setOpen = (menu, open) => {
    if ("open" in menu) menu.open = open;
    else openerOf(menu).setAttribute("aria-expanded", String(open));
  };

  const closeAllBut = (kept) => {
    for (const menu of menus) if (menu !== kept && isOpen(menu)) setOpen(menu, false);
  };

  for (const menu of menus) {
    if (!("open" in menu)) openerOf(menu).addEventListener("click", () => setOpen(menu, !isOpen(menu)));
    menu.addEventListener("focusout", ({ relatedTarget }) => {
      if (relatedTarget && !menu.contains(relatedTarget)) setOpen(menu, false);
    });
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !isOpen(menu)) return;
      event.stopPropagation();
      setOpen(menu, false);
      openerOf(menu).focus();
    });
  }
  document.addEventListener("click", (event) => closeAllBut(menus.find((menu) => menu.contains(event.target))));

  // ---- dialogs
  // A dialog is shown as a copy outside of the part of the page that is exchanged while it is open. Without this
  // script the browser opens the original by itself (commandfor).

  // What was typed or chosen is kept: while the page is open, over a refusal, and over signing in again in between.
  // Whoever signs in may be somebody else: it is only for the account that typed it, and secrets are not kept.
  const SENT = "stagegate-sent-answers";
  const INTERRUPTED = "stagegate-interrupted";
  const account = document.documentElement.dataset.account ?? null;
  const signsInBetween = document.querySelector("[data-interlude]") !== null;
  const sent = signsInBetween ? null : JSON.parse(sessionStorage.getItem(SENT));
  const wasInterrupted = sessionStorage.getItem(INTERRUPTED) !== null;
  if (signsInBetween) {
    sessionStorage.setItem(INTERRUPTED, "yes");
  } else {
    sessionStorage.removeItem(SENT);
    sessionStorage.removeItem(INTERRUPTED);
  }
  const wasRefused = wasInterrupted || document.querySelector(".notice-error") !== null;
  const isOurs = account !== null && sent?.account === account;
  const drafts = new Map(isOurs && wasRefused ? [[sent.id, sent.answers]] : []);

  // The answers of a dialog: every field that a person fills in, by its name.
  const answerFields = (dialog) =>
    [...dialog.querySelectorAll("input:not([type=hidden]), select, textarea")].filter((field) => field.name);

  const keptFields = (dialog) => answerFields(dialog).filter((field) => field.type !== "password");

  const answersOf = (dialog) =>
    keptFields(dialog).map((field) => (/^(radio|checkbox)$/.test(field.type) ? field.checked : field.value));

  const setAnswers = (dialog, answers) => {
    keptFields(dialog).forEach((field, place) => {
      if (typeof answers[place] === "boolean") field.checked = answers[place];
      else if (answers[place] !== undefined) field.value = answers[place];
    });
  };

  const openDialog = (opener) => {
    const id = opener.getAttribute("commandfor");
    const dialog = document.getElementById(id).cloneNode(true);
    dialog.removeAttribute("id");
    for (const inner of dialog.querySelectorAll("[id]")) inner.removeAttribute("id");
    document.body.append(dialog);
    setAnswers(dialog, drafts.get(id) || []);
    dialog.addEventListener("submit", (event) => {
      if (event.submitter?.formMethod === "dialog") return;
      sessionStorage.setItem(SENT, JSON.stringify({ account, id, answers: answersOf(dialog) }));
    });
    dialog.addEventListener("close", () => {
      drafts.set(id, answersOf(dialog));
      dialog.remove();
      document.querySelector(`[commandfor="${id}"]`)?.focus();
    });
    dialog.showModal();
    (answerFields(dialog)[0] || dialog.querySelector("button"))?.focus();
  };

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("button[commandfor]");
    if (!opener) return;
    event.preventDefault();
    openDialog(opener);
  });

  // ---- "/" leads to the search of the page

  const WRITES = "input, select, textarea, [contenteditable]";
  const search = document.querySelector("[data-slash]");
  const hasKeyboard = matchMedia("(hover: hover)").matches;
  if (search && hasKeyboard) search.placeholder = search.dataset.slash;

  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest(WRITES)) return;
    if (!search || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    search.focus();
  });

  // ---- after a form: the focus goes to a refusal; anything else that the page says of it is read out

  const FORM_SENT = "stagegate-form-sent";
  const READ_AFTER = 300;

  // Screen readers read what changes in a live region, not what it came with.
  const readOut = (notice) => {
    const words = [...notice.childNodes];
    notice.replaceChildren();
    requestAnimationFrame(() => notice.append(...words));
  };

  const tellWhatCameOfIt = () => {
    const refusal = document.querySelector("main [role=alert]:not([hidden])");
    if (refusal) {
      refusal.tabIndex = -1;
      refusal.focus();
    } else {
      setTimeout(() => document.querySelectorAll("main > .notice[role=status]").forEach(readOut), READ_AFTER);
    }
  };

  if (sessionStorage.getItem(FORM_SENT)) tellWhatCameOfIt();
  sessionStorage.removeItem(FORM_SENT);
  document.addEventListener("submit", (event) => {
    const closes = event.submitter?.formMethod === "dialog";
    if (!event.defaultPrevented && !closes) sessionStorage.setItem(FORM_SENT, "yes");
  });

  // ---- when a part of a page is exchanged, the focus stays on what it was on

  let focused = null;

  const telling = (element) =>
    ["id", "href", "name", "commandfor", "aria-label"].map((name) => element.getAttribute(name)).find(Boolean)
    || element.textContent.trim();

  const alike = (element, within) =>
    [...within.querySelectorAll(element.tagName)].filter((each) => telling(each) === telling(element));

  document.addEventListener("htmx:beforeSwap", ({ detail: { target } }) => {
    const element = document.activeElement;
    focused = target.contains(element) ? { element, place: alike(element, target).indexOf(element) } : null;
  });

  document.addEventListener("htmx:afterSettle", () => {
    if (!focused || document.activeElement !== document.body) return;
    const main = document.querySelector("main");
    const found = alike(focused.element, main);
    const next = found[focused.place] || found[0] || main.querySelector("h1") || main;
    if (!found.length) next.tabIndex = -1;
    next.focus({ preventScroll: true });
    focused = null;
  });

  // ---- a form is sent once

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.submitter?.formMethod === "dialog") return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    event.submitter?.setAttribute("aria-busy", "true");
  });

  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  // ---- times

  const UNITS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

  const counted = (seconds) => {
    const [size, unit] = UNITS.find(([each]) => seconds >= each);
    const count = Math.floor(seconds / size);
    return `${count} ${unit}${count === 1 ? "" : "s"}`;
  };

  const ago = (seconds) => {
    const length = Math.round(Math.abs(seconds));
    if (length < 5) return "just now";
    return seconds > 0 ? `${counted(length)} ago` : `in ${counted(length)}`;
  };

  const left = (seconds) => {
    const whole = Math.max(0, Math.ceil(seconds));
    const [days, hours, minutes] = [86400, 3600, 60].map((size) => Math.floor(whole / size));
    if (days) return `${days} d ${hours % 24} h left`;
    if (hours) return `${hours} h ${minutes % 60} min left`;
    return minutes ? `${minutes} min ${whole % 60} s left` : `${whole} s left`;
  };

  const setText = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  const refreshTimes = () => {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[data-relative]")) {
      setText(time, ago((now - Date.parse(time.dateTime)) / 1000));
    }
    for (const clock of document.querySelectorAll("[data-until]")) {
      const seconds = (Date.parse(clock.dataset.until) - now) / 1000;
      setText(clock, seconds > 0 ? left(seconds) : "about to move on");
    }
  };

  refreshTimes();
  setInterval(refreshTimes, 1000);
  document.addEventListener("htmx:afterSettle", refreshTimes);

  // ---- parts of a page that somebody has asked to exchange say that they are busy; those that refresh by themselves do not

  const busy = ({ detail: { target, elt } }, is) => {
    if (target && !elt.matches("[data-live]")) target.setAttribute("aria-busy", String(is));
  };
  document.addEventListener("htmx:beforeRequest", (event) => busy(event, true));
  document.addEventListener("htmx:afterRequest", (event) => busy(event, false));

  // ---- copying

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const words = button.querySelector("[data-copy-words]");
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      words.textContent = "Copied";
    } catch {
      words.textContent = "Not allowed to copy";
    }
    setTimeout(() => { words.textContent = "Copy"; }, 2000);
  });
})();
