// Keeps the moving parts of a page up to date by asking for each of them again every few seconds.
// A part is an element with data-live (seconds) and hx-get, hx-trigger="refresh". It rests in hidden tabs, holds still
// under the person's hand, leaves open what was opened and keeps what was typed, goes as often as the answer asks for
// (data-live-pace, in seconds), and stops for good when the answer carries data-live-end. With data-live-now it asks at
// once. With data-live-keep (a selector) nothing is exchanged while other things of that kind came or went: a button
// says so and does it when it is pressed, so that nothing moves that somebody is about to press.
// Where the connection is lost the page says so, asks less and less often, and at once when it is back.
(() => {
  "use strict";

  const LOST = "Connection lost. What you see may be out of date; trying again…";
  const TROUBLE = "Stagegate could not answer. What you see may be out of date; trying again…";
  const SIGNED_OUT = "You have been signed out. Reload the page to sign in again.";
  const MOST_HELD = 5;
  const LONGEST_PAUSE = 60_000;

  const notice = document.getElementById("connection");
  const announcer = document.getElementById("announcer");
  const troubles = new Map();
  let signedOut = false;
  let pressed = false;

  const setText = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  const sayTroubles = () => {
    const words = signedOut ? SIGNED_OUT : [...troubles.values()][0] || "";
    setText(notice.querySelector("[data-words]"), words);
    notice.hidden = !words;
  };

  // ---- the number of what waits, in front of the page's title

  let waiting = null;

  const showCount = () => {
    const count = Number(document.querySelector("#nav-inbox [data-count]")?.dataset.count || 0);
    const title = document.title.replace(/^\(\d+\) /, "");
    const wanted = count ? `(${count}) ${title}` : title;
    if (document.title !== wanted) document.title = wanted;
    if (waiting !== null && count > waiting) setText(announcer, `${count} waiting for you in the inbox`);
    waiting = count;
  };

  // ---- what a person has done to a part, and must find again after it was exchanged

  const foldsOf = (region) => new Map([...region.querySelectorAll("details[id]")].map((fold) => [fold.id, fold.open]));

  const typedIn = (region) => {
    const fields = [...region.querySelectorAll("textarea[id], input[id]:not([type=hidden], [type=checkbox], [type=radio])")];
    return new Map(fields.filter((field) => field.value !== field.defaultValue).map((field) => [field.id, field.value]));
  };

  const restore = (region, folds, typed) => {
    for (const fold of region.querySelectorAll("details[id]")) fold.open = folds.get(fold.id) ?? fold.open;
    for (const [id, value] of typed) {
      const field = document.getElementById(id);
      if (field && region.contains(field)) field.value = value;
    }
  };

  const selectingIn = (region) => {
    const selection = document.getSelection();
    return !selection.isCollapsed && region.contains(selection.anchorNode);
  };

  // ---- what came and went

  const keysIn = (root, selector) => [...root.querySelectorAll(selector)].map((each) => each.id);

  const newsOf = (region, html) => {
    const selector = region.dataset.liveKeep;
    const here = selector ? keysIn(region, selector) : [];
    if (!here.length) return null;
    const there = keysIn(new DOMParser().parseFromString(html, "text/html"), selector);
    const added = there.filter((id) => !here.includes(id));
    const gone = here.filter((id) => !there.includes(id));
    return added.length || gone.length ? { added, gone } : null;
  };

  const newsWords = (thing, { added }) => {
    if (!added.length) return `Somebody has answered what is shown here: show what still waits`;
    return added.length === 1 ? `1 more ${thing} waits: show it` : `${added.length} more ${thing}s wait: show them`;
  };

  // ---- one part

  // The address without its query: without a session the answer is the sign-in page, from another one.
  const isElsewhere = ({ xhr, pathInfo }) => {
    if (!xhr.responseURL) return false;
    return new URL(xhr.responseURL).pathname !== new URL(pathInfo.requestPath, location.href).pathname;
  };

  const watch = (region) => {
    const news = document.getElementById(region.dataset.liveNews || "");
    let every = Number(region.dataset.live) * 1000;
    let timer = 0;
    let held = 0;
    let failures = 0;
    let ended = false;
    let forced = null;
    let folds = new Map();
    let typed = new Map();

    const later = (milliseconds) => {
      clearTimeout(timer);
      if (!ended && !signedOut) timer = setTimeout(ask, milliseconds);
    };

    const ask = () => {
      if (document.hidden || ended || signedOut) return;
      if (navigator.onLine) window.htmx.trigger(region, "refresh");
      else lose(LOST);
    };

    const lose = (words) => {
      failures += 1;
      troubles.set(region, words);
      sayTroubles();
      later(Math.min(every * 2 ** (failures - 1), LONGEST_PAUSE));
    };

    // A pressed button and a selected text stay, but never for longer than a few answers.
    const mustHold = () => {
      held = (pressed || selectingIn(region)) && held < MOST_HELD ? held + 1 : 0;
      return held > 0;
    };

    const lookAtAnswer = () => {
      const said = region.querySelector("[data-announce]");
      if (said && said.dataset.announce) setText(announcer, said.dataset.announce);
      const pace = region.querySelector("[data-live-pace]");
      if (pace) every = Number(pace.dataset.livePace) * 1000;
      ended = Boolean(region.querySelector("[data-live-end]"));
    };

    // Whether the answer has to wait for the person to ask for it.
    const keepsBack = (html) => {
      const found = newsOf(region, html);
      if (forced || !found || !news) return false;
      setText(news.querySelector("button"), newsWords(news.dataset.thing, found));
      news.hidden = false;
      return true;
    };

    region.addEventListener("htmx:beforeSwap", (event) => {
      if (event.target !== region) return;
      const detail = event.detail;
      if (detail.xhr.status >= 400) return;
      if (isElsewhere(detail)) signedOut = true;
      if (signedOut || ended || keepsBack(detail.serverResponse) || mustHold()) {
        detail.shouldSwap = false;
        return;
      }
      forced = forced && newsOf(region, detail.serverResponse)?.added;
      folds = foldsOf(region);
      typed = typedIn(region);
    });

    region.addEventListener("htmx:afterSwap", (event) => {
      if (event.target !== region) return;
      restore(region, folds, typed);
      lookAtAnswer();
      if (!news) return;
      news.hidden = true;
      if (forced) document.getElementById(forced[0])?.focus();
      forced = null;
    });

    region.addEventListener("htmx:afterRequest", (event) => {
      if (event.target !== region) return;
      if (!event.detail.successful) {
        lose(event.detail.xhr.status ? TROUBLE : LOST);
        return;
      }
      failures = 0;
      troubles.delete(region);
      sayTroubles();
      later(every);
    });

    news?.querySelector("button").addEventListener("click", () => {
      forced = [];
      later(0);
    });

    lookAtAnswer();
    later("liveNow" in region.dataset ? 0 : every);
    return {
      wake: () => later(0),
      rest: () => clearTimeout(timer),
      lose: () => !ended && lose(LOST),
    };
  };

  // ---- the page

  const parts = [...document.querySelectorAll("[data-live]")].map((region) => {
    // The answer to a form that was refused stands at the form's address: from here on it is the page's own.
    if (region.dataset.address) history.replaceState(history.state, "", region.dataset.address);
    return watch(region);
  });

  for (const name of ["pointerdown", "keydown"]) {
    document.addEventListener(name, () => { pressed = true; }, true);
  }
  for (const name of ["pointerup", "pointercancel", "keyup"]) {
    document.addEventListener(name, () => { pressed = false; }, true);
  }
  window.addEventListener("blur", () => { pressed = false; });

  document.addEventListener("visibilitychange", () => {
    for (const part of parts) document.hidden ? part.rest() : part.wake();
  });
  window.addEventListener("online", () => parts.forEach((part) => part.wake()));
  window.addEventListener("offline", () => parts.forEach((part) => part.lose()));

  document.addEventListener("htmx:afterSettle", showCount);
  showCount();
})();
