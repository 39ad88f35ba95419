// Dark or light: as somebody chose, else as the browser is. It runs before anything is painted, so it is no module.
// `theme` is told of each change on the document; a button with the id "theme" changes it.

(() => {
  const KEPT = "spirale-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const browsers = () => (dark.matches ? "dark" : "light");

  function set() {
    root.dataset.theme = localStorage.getItem(KEPT) ?? browsers();
    document.dispatchEvent(new Event("theme"));
  }

  function toggle() {
    const other = root.dataset.theme === "dark" ? "light" : "dark";
    if (other === browsers()) localStorage.removeItem(KEPT); // it follows the browser again
    else localStorage.setItem(KEPT, other);
    set();
  }

  set();
  dark.addEventListener("change", set);
  addEventListener("storage", set); // another tab
  addEventListener("DOMContentLoaded", () => document.getElementById("theme").addEventListener("click", toggle));
})();
