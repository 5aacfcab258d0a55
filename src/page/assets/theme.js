// Before the first paint: the theme that was chosen here last, or the system's.
"use strict";
try {
  const chosen = localStorage.getItem("glance-gate-theme");
  if (chosen === "dark" || chosen === "light") {
    document.documentElement.dataset.theme = chosen;
  }
} catch {
  // a browser that keeps nothing has the system's theme
}
