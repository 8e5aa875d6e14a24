// @ts-check
/** The fields of the shown events, and of each that is opened the most frequent values. */

import { shown, show } from "./address.js";
import { isAbort, Problem } from "./api.js";
import { button, byId, make, number, short } from "./dom.js";
import { catalog, topValues } from "./field_catalog.js";
import { condition, joined, negated } from "./filter_text.js";
import { cut, literal } from "./literal.js";
import { momentOf } from "./times.js";

const VALUES = 10;

/** @param {AbortSignal} signal @param {Record<string, any>} asked The search whose fields they are. */
export function fillFields(signal, asked) {
  void fill(signal, asked);
}

/** @param {AbortSignal} signal @param {Record<string, any>} asked */
async function fill(signal, asked) {
  const panel = frame();
  const list = /** @type {HTMLElement} */ (panel.querySelector(".field-list"));
  const note = /** @type {HTMLElement} */ (panel.querySelector(".note"));
  try {
    const found = await catalog(asked.q, signal);
    if (signal.aborted) return;
    list.replaceChildren(...withOpened(found.fields).map((field) => drawn(field, signal, asked)));
    note.textContent = noteOf(found);
  } catch (error) {
    if (signal.aborted || isAbort(error)) return;
    list.replaceChildren();
    const isSaidElsewhere = error instanceof Problem && (error.body.parameter === "q" || error.isAboutKey);
    note.textContent = isSaidElsewhere ? "" : error instanceof Error ? error.message : String(error);
  }
}

/** @param {import("./field_catalog.js").Catalog} found */
function noteOf(found) {
  if (found.isOfShownRows) return "Attributes of the events that were shown.";
  return found.scannedUntil ? `Counted from ${momentOf(new Date(found.scannedUntil))} on.` : "";
}

/** @param {import("./field_catalog.js").FieldFound[]} fields Also those that are open and occur in no event now. */
function withOpened(fields) {
  const names = new Set(fields.map((field) => field.name));
  return [...fields, ...shown().fields.filter((name) => !names.has(name)).map((name) => ({ name, events: 0 }))];
}

/** @returns {HTMLElement} */
function frame() {
  const before = byId("fields").querySelector("details");
  if (before) return before;
  const isWide = matchMedia("(min-width: 60rem)").matches;
  const made = make("details", { open: isWide }, make("summary", {}, make("h2", {}, "Fields")),
    make("ul", { class: "field-list" }), make("p", { class: "note" }));
  byId("fields").replaceChildren(made);
  return made;
}

/** @param {string} name @param {boolean} isOpen */
function remember(name, isOpen) {
  const others = shown().fields.filter((field) => field !== name);
  show({ fields: isOpen ? [...others, name] : others }, { replace: true });
}

/** @param {import("./field_catalog.js").FieldFound} field @param {AbortSignal} signal @param {Record<string, any>} asked */
function drawn(field, signal, asked) {
  const label = field.name.replace(/^attributes\./, "");
  const values = make("div", { class: "values" });
  const details = /** @type {HTMLDetailsElement} */ (make("details", { class: "field" },
    make("summary", {}, make("bdi", { class: "field-name" }, literal(cut(label, 120))),
      make("span", { class: "count" }, field.events ? short(field.events) : "")), values));
  details.addEventListener("toggle", () => {
    if (details.open !== shown().fields.includes(field.name)) remember(field.name, details.open);
    if (details.open && !values.children.length) void fillValues(values, field.name, signal, asked);
  });
  details.open = shown().fields.includes(field.name);
  return make("li", {}, details);
}

/** @param {HTMLElement} place @param {string} name @param {AbortSignal} signal @param {Record<string, any>} asked */
async function fillValues(place, name, signal, asked) {
  place.replaceChildren(make("p", { class: "note" }, "…"));
  try {
    const top = await topValues(name, VALUES, signal, asked.q);
    const list = make("ol", {}, ...top.values.map((/** @type {any} */ one) => value(name, one, top)));
    place.replaceChildren(list, make("p", { class: "note" }, about(top)));
  } catch (error) {
    if (isAbort(error)) place.replaceChildren();
    else place.replaceChildren(make("p", { class: "note" }, error instanceof Error ? error.message : String(error)));
  }
}

/** @param {any} top */
function about(top) {
  const rest = top.distinct > top.values.length ? `${number(top.distinct)} values.` : "";
  const partial = top.scanned_until ? ` From ${momentOf(new Date(top.scanned_until))} on.` : "";
  return `${rest}${top.is_exact ? "" : " Rare ones may be missing."}${partial}`.trim();
}

/** @param {string} field @param {{value: string, count: number}} one @param {any} top */
function value(field, one, top) {
  const text = condition(field, one.value);
  const name = cut(one.value, 60);
  const bar = make("span", { class: "share", "aria-hidden": "true" });
  bar.style.width = `${(100 * one.count) / Math.max(1, top.values[0].count)}%`;
  const narrow = (/** @type {string} */ added) => show({ q: joined(shown().q, added), open: null });
  return make("li", { class: "top-value" }, bar,
    make("bdi", { class: "value-text", title: cut(one.value, 300) }, one.value ? literal(cut(one.value, 120)) : "(empty)"),
    make("span", { class: "count" }, number(one.count)),
    make("span", { class: "actions" },
      button("+", () => narrow(text), { "aria-label": `Include ${name}`, title: "include" }),
      button("−", () => narrow(negated(text)), { "aria-label": `Exclude ${name}`, title: "exclude" })));
}
