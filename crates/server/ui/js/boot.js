// Before the first paint: the theme that was kept, so that a dark page does not flash white.
(() => {
  try {
    const kept = localStorage.getItem("theme");
    if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
  } catch { /* storage may be off; then the system's theme holds */ }
})();
