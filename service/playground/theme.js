// Dark or light: as somebody chose, else as the browser is; in forced colours always as the browser is. It runs before
// anything is painted, so it is no module.
// `theme` is told of each change on the document; a button with the id "theme" changes it.

(() => {
  const KEPT = "spirale-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const forced = matchMedia("(forced-colors: active)"); // canvases are not forced: their colours have to fit the system's
  const root = document.documentElement;
  const browsers = () => (dark.matches ? "dark" : "light");

  let chosen = null; // where the browser blocks the data of sites, this page alone remembers

  function kept() {
    try {
      return localStorage.getItem(KEPT) ?? chosen;
    } catch {
      return chosen;
    }
  }

  function keep(theme) {
    chosen = theme;
    try {
      if (theme) localStorage.setItem(KEPT, theme);
      else localStorage.removeItem(KEPT);
    } catch {} // it is remembered above
  }

  function set() {
    root.dataset.theme = (forced.matches ? null : kept()) ?? browsers();
    document.dispatchEvent(new Event("theme"));
  }

  function toggle() {
    const other = root.dataset.theme === "dark" ? "light" : "dark";
    keep(other === browsers() ? null : other); // null follows the browser again
    set();
  }

  set();
  dark.addEventListener("change", set);
  forced.addEventListener("change", set);
  addEventListener("storage", set); // another tab
  addEventListener("DOMContentLoaded", () => document.getElementById("theme").addEventListener("click", toggle));
})();
