// Keeps the moving part of a page up to date by asking for it again every few seconds.
// It rests in hidden tabs, holds still under the person's hand, leaves open what was opened, says when the connection
// is lost, goes as often as the answer asks for (data-live-pace, in seconds), and stops for good when the answer
// carries data-live-end.
(() => {
  "use strict";

  const region = document.querySelector("[data-live]");
  if (!region) return;

  // The answer to a form that was refused stands at the form's address: from here on it is the page's own.
  if (region.dataset.address) history.replaceState(history.state, "", region.dataset.address);

  const LOST = "Connection lost. What you see may be out of date; trying again…";
  const SIGNED_OUT = "You have been signed out. Reload the page to sign in again.";
  const MOST_HELD = 5;

  let every = Number(region.dataset.live) * 1000;
  const notice = document.getElementById("connection");
  const announcer = document.getElementById("announcer");
  let timer = 0;
  let pressed = false;
  let held = 0;
  let ended = false;

  const later = (milliseconds) => {
    clearTimeout(timer);
    if (!ended) timer = setTimeout(ask, milliseconds);
  };

  const ask = () => {
    if (!document.hidden) window.htmx.trigger(region, "refresh");
  };

  const setText = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  const say = (words) => {
    setText(notice.querySelector("[data-words]"), words);
    notice.hidden = !words;
  };

  const selecting = () => {
    const selection = document.getSelection();
    return !selection.isCollapsed && region.contains(selection.anchorNode);
  };

  // A pressed button and a selected text stay, but never for longer than a few answers.
  const mustHold = () => {
    held = (pressed || selecting()) && held < MOST_HELD ? held + 1 : 0;
    return held > 0;
  };

  // Folded parts, by id: open or not, as the person has left them.
  let folds = new Map();

  const noteFolds = () => {
    folds = new Map([...region.querySelectorAll("details[id]")].map((fold) => [fold.id, fold.open]));
  };

  const restoreFolds = () => {
    for (const fold of region.querySelectorAll("details[id]")) fold.open = folds.get(fold.id) ?? fold.open;
  };

  const lookAtNews = () => {
    const news = region.querySelector("[data-announce]");
    if (news) setText(announcer, news.dataset.announce);
    const pace = region.querySelector("[data-live-pace]");
    if (pace) every = Number(pace.dataset.livePace) * 1000;
    ended = Boolean(region.querySelector("[data-live-end]"));
  };

  // Without a session the answer is the sign-in page, from another address.
  const signedOut = (xhr) => Boolean(xhr.responseURL) && new URL(xhr.responseURL).pathname !== location.pathname;

  region.addEventListener("htmx:beforeSwap", (event) => {
    if (signedOut(event.detail.xhr)) ended = true;
    if (ended || mustHold()) event.detail.shouldSwap = false;
    else noteFolds();
  });

  region.addEventListener("htmx:afterSwap", () => {
    restoreFolds();
    lookAtNews();
  });

  region.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful) say(LOST);
    else say(signedOut(event.detail.xhr) ? SIGNED_OUT : "");
    later(every);
  });

  for (const name of ["pointerdown", "keydown"]) {
    document.addEventListener(name, () => { pressed = true; }, true);
  }
  for (const name of ["pointerup", "pointercancel", "keyup"]) {
    document.addEventListener(name, () => { pressed = false; }, true);
  }
  window.addEventListener("blur", () => { pressed = false; });

  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : later(0)));

  lookAtNews();
  later(every);
})();
