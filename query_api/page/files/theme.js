// Chosen before the first paint, so that a dark room is not lit up by a light page.
(() => {
  let kept = null;
  try {
    kept = localStorage.getItem("threatlog.theme");
  } catch {
    // Storage may be switched off; then the system's choice is taken.
  }
  if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
})();
