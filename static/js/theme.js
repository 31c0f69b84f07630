// Runs before the first paint, so that a chosen theme never flashes, what needs scripts has its place, and the server
// learns the viewer's time zone.
(() => {
  "use strict";
  const root = document.documentElement;
  root.dataset.scripted = "";
  const chosen = localStorage.getItem("stagegate-theme");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes(`stagegate_tz=${zone}`)) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `stagegate_tz=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  }
})();
