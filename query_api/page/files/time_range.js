// @ts-check
/** The choice of the time range: how long back from now, or from one moment to another. */

import { shown, show } from "./address.js";
import { button, byId, make } from "./dom.js";
import { duration, durationName, fromInput, rangeName, resolved, toInput, zoneName } from "./times.js";

const USUAL = ["5m", "15m", "1h", "4h", "24h", "2d", "7d", "30d"];

export function prepareTimeRange() {
  byId("time").addEventListener("click", () => (byId("time-panel").hidden ? open() : close()));
  byId("time-panel").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
    byId("time").focus();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!(/** @type {Element} */ (event.target).closest(".time"))) close();
  });
}

/** Names the range that is shown. */
export function fillTimeRange() {
  const { start, end } = resolved(shown().range);
  byId("time").textContent = rangeName(shown().range);
  byId("time").title = `${start} to ${end}`;
  byId("time").setAttribute("aria-label", `Time range: ${rangeName(shown().range)}`);
}

function close() {
  byId("time-panel").hidden = true;
  byId("time").setAttribute("aria-expanded", "false");
}

/** @param {import("./times.js").Range} range */
function choose(range) {
  close();
  byId("time").focus();
  show({ range, around: null });
}

function open() {
  const chosen = "last" in shown().range ? /** @type {any} */ (shown().range).last : "";
  const usual = USUAL.map((last) =>
    button(durationName(last), () => choose({ last }), { "aria-pressed": String(last === chosen) }));
  byId("time-panel").replaceChildren(
    make("div", { class: "usual", role: "group", "aria-label": "Relative" }, ...usual), relativeForm(), absoluteForm());
  byId("time-panel").hidden = false;
  byId("time").setAttribute("aria-expanded", "true");
  /** @type {HTMLElement} */ (byId("time-panel").querySelector("[aria-pressed=true]") ?? usual[0]).focus();
}

/** @param {string} name @param {HTMLElement} input */
function labelled(name, input) {
  return make("label", {}, make("span", {}, name), input);
}

/** @param {HTMLElement} fault @param {string} text */
function refuse(fault, text) {
  fault.textContent = text;
}

function relativeForm() {
  const input = /** @type {HTMLInputElement} */ (make("input", { id: "time-last", placeholder: "90m", size: 6 }));
  const fault = make("p", { class: "fault", role: "alert" });
  const form = make("form", {}, labelled("The last", input), make("button", { type: "submit" }, "Show"), fault);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const last = input.value.trim();
    if (duration(last)) choose({ last });
    else refuse(fault, "A number and a unit: 30s, 90m, 6h, 3d or 2w.");
  });
  return form;
}

function absoluteForm() {
  const { start, end } = resolved(shown().range);
  const from = momentInput("time-from", start);
  const to = momentInput("time-to", end);
  const fault = make("p", { class: "fault", role: "alert" });
  const form = make("form", { class: "absolute" }, labelled("From", from), labelled("To", to),
    make("p", { class: "note" }, `Times in ${zoneName()}. The end itself is not included.`),
    make("button", { type: "submit" }, "Show"), fault);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [first, last] = [fromInput(from.value), fromInput(to.value)];
    if (!first || !last) refuse(fault, "Both need a date and a time.");
    else if (first >= last) refuse(fault, "The end must be after the beginning.");
    else choose({ from: first, to: last });
  });
  return form;
}

/** @param {string} id @param {string} moment @returns {HTMLInputElement} */
function momentInput(id, moment) {
  return /** @type {HTMLInputElement} */ (make("input", { id, type: "datetime-local", step: 1, value: toInput(moment) }));
}

/** @param {number} factor Around the middle of what is shown; out, or in. */
export function zoom(factor) {
  const { start, end } = resolved(shown().range);
  const middle = (Date.parse(start) + Date.parse(end)) / 2;
  const half = ((Date.parse(end) - Date.parse(start)) / 2) * factor;
  show({ range: { from: new Date(middle - half).toISOString(), to: new Date(middle + half).toISOString() } });
}

/** @param {number} share Of the shown range's length: to earlier, or later. */
export function move(share) {
  const { start, end } = resolved(shown().range);
  const by = (Date.parse(end) - Date.parse(start)) * share;
  const range = { from: new Date(Date.parse(start) + by).toISOString(), to: new Date(Date.parse(end) + by).toISOString() };
  show({ range });
}
