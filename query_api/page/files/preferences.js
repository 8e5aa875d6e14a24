// @ts-check
/** The reader's choices that are kept in this browser: theme, and zone of the times. */

import { byId } from "./dom.js";
import { clock, zoneName } from "./times.js";

const THEMES = /** @type {const} */ (["system", "light", "dark"]);

/** @param {string} name */
function kept(name) {
  try {
    return localStorage.getItem(`threatlog.${name}`);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string} value */
function keep(name, value) {
  try {
    localStorage.setItem(`threatlog.${name}`, value);
  } catch {
    // It holds until the page is left.
  }
}

/** @param {string} theme */
function useTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = { light: "Light", dark: "Dark" }[theme] ?? "Auto";
  byId("theme").setAttribute("aria-label", `Theme: ${theme}`);
  byId("theme").title = "Theme: as the system, light, or dark";
}

function prepareTheme() {
  let theme = kept("theme") ?? "system";
  if (!THEMES.includes(/** @type {any} */ (theme))) theme = "system";
  useTheme(theme);
  byId("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(/** @type {any} */ (theme)) + 1) % THEMES.length];
    keep("theme", theme);
    useTheme(theme);
  });
}

function nameZone() {
  byId("zone").textContent = clock.isUtc ? "UTC" : "Local";
  byId("zone").setAttribute("aria-label", `Times in ${zoneName()}`);
  byId("zone").title = `Times are in ${zoneName()}: change to ${clock.isUtc ? "local time" : "UTC"}`;
}

/** @param {() => void} onZone Called when the times are to be shown in another zone. */
export function preparePreferences(onZone) {
  prepareTheme();
  clock.isUtc = kept("zone") === "utc";
  nameZone();
  byId("zone").addEventListener("click", () => {
    clock.isUtc = !clock.isUtc;
    keep("zone", clock.isUtc ? "utc" : "local");
    nameZone();
    onZone();
  });
}
