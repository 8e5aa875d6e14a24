// @ts-check
/** The severities that are shown, one button each, with how many events there are. */

import { SEVERITIES, shown, show } from "./address.js";
import { byId, make, number, short } from "./dom.js";

/** @type {Record<string, number>} */
let counts = {};

/** @param {Record<string, number>} found By severity, of the histogram. */
export function countSeverities(found) {
  counts = found;
  fillSeverities();
}

/** @param {string} name */
function toggle(name) {
  const chosen = shown().severities;
  const next = SEVERITIES.filter((one) => (one === name) !== chosen.includes(one));
  show({ severities: next.length === SEVERITIES.length ? [] : next });
}

export function fillSeverities() {
  const chosen = shown().severities;
  const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.severity;
  const buttons = SEVERITIES.map((name) => {
    const count = counts[name];
    const label = count === undefined ? name : `${name}, ${number(count)} events`;
    return make("button", {
      type: "button", class: "severity-choice", "data-severity": name, "aria-pressed": String(chosen.includes(name)),
      "aria-label": label, onclick: () => toggle(name),
    }, make("span", { class: "swatch", "aria-hidden": "true" }), name, make("span", { class: "count" }, count === undefined ? "" : short(count)));
  });
  const all = make("button", { type: "button", class: "quiet", onclick: () => show({ severities: [] }) }, "All severities");
  byId("severities").replaceChildren(...buttons, ...(chosen.length ? [all] : []));
  buttons.find((one) => one.dataset.severity === focused)?.focus();
}
