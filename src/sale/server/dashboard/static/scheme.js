// Runs before the page is drawn: the colour scheme the reader chose here, if any.
"use strict";
try {
  const chosen = localStorage.getItem("sale-scheme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.scheme = chosen;
} catch { /* no storage: the system's scheme it is */ }
