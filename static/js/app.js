// What every page does: the theme switch, dialogs that ask for a reason, times that stay true, copying.
(() => {
  "use strict";

  // ---- theme: follow the system, light, dark

  const THEMES = ["system", "light", "dark"];
  const switcher = document.querySelector("[data-theme-switch]");

  const currentTheme = () => document.documentElement.dataset.theme || "system";

  const showTheme = () => {
    const theme = currentTheme();
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    for (const picture of switcher.querySelectorAll("[data-for-theme]")) {
      picture.hidden = picture.dataset.forTheme !== theme;
    }
    switcher.setAttribute("aria-label", `Theme: ${theme}. Switch to ${next}.`);
    switcher.title = `Theme: ${theme}`;
    switcher.dataset.next = next;
  };

  const setTheme = (theme) => {
    if (theme === "system") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("stagegate-theme");
    } else {
      document.documentElement.dataset.theme = theme;
      localStorage.setItem("stagegate-theme", theme);
    }
    showTheme();
  };

  if (switcher) {
    showTheme();
    switcher.hidden = false;
    switcher.addEventListener("click", () => setTheme(switcher.dataset.next));
  }

  // ---- dialogs
  // A dialog is shown as a copy outside of the part of the page that is exchanged while it is open. Without this
  // script the browser opens the original by itself (commandfor).

  // What was typed or chosen is kept: while the page is open, and over a refusal.
  const SENT = "stagegate-sent-answers";
  const sent = sessionStorage.getItem(SENT);
  sessionStorage.removeItem(SENT);
  const wasRefused = document.querySelector(".notice-error") !== null;
  const drafts = new Map(sent && wasRefused ? [JSON.parse(sent)] : []);

  // The answers of a dialog: every field that a person fills in, by its name.
  const answerFields = (dialog) =>
    [...dialog.querySelectorAll("input:not([type=hidden]), select, textarea")].filter((field) => field.name);

  const answersOf = (dialog) =>
    answerFields(dialog).map((field) => (/^(radio|checkbox)$/.test(field.type) ? field.checked : field.value));

  const setAnswers = (dialog, answers) => {
    answerFields(dialog).forEach((field, place) => {
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
      if (event.submitter?.formMethod !== "dialog") sessionStorage.setItem(SENT, JSON.stringify([id, answersOf(dialog)]));
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
