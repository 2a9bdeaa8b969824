// Before anything is drawn: the colours that were chosen last time, or else the system's.
"use strict";
try {
  const chosen = localStorage.getItem("edgewise-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch { /* no storage: the system's colours */ }
