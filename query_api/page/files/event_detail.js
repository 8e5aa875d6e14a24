// @ts-check
/** Everything that an event has, a field each: to look at, to copy, to search for, and to leave out. */

import { shown, show } from "./address.js";
import { announce } from "./announcer.js";
import { button, make, number } from "./dom.js";
import { isNested, plainText, writeExact } from "./exact_json.js";
import { condition, fieldName, joined, MAX_CHARS, negated } from "./filter_text.js";
import { cut, inPieces, literal } from "./literal.js";
import { fullPrecision } from "./times.js";

const FIRST_ROWS = 150;

/** @typedef {{label: string, field: string | null, value: any}} Row */

/** @param {any} value @param {(string | number)[]} path @param {number} most @returns {Generator<Row>} */
function* flattened(value, path, most = 20_000) {
  /** @type {[any, (string | number)[]][]} */
  const waiting = [[value, path]];
  for (let count = 0; waiting.length && count < most; ) {
    const [next, at] = /** @type {[any, (string | number)[]]} */ (waiting.pop());
    const inner = isNested(next) ? Object.keys(next) : [];
    if (!inner.length) {
      count += 1;
      yield { label: labelOf(at), field: isNested(next) ? null : searchable(at), value: next };
    }
    for (const key of inner.reverse()) waiting.push([next[key], [...at, Array.isArray(next) ? Number(key) : key]]);
  }
}

/** @param {(string | number)[]} path */
function labelOf(path) {
  return fieldName(path).replace(/^attributes\.?/, "") || "attributes";
}

/** @param {(string | number)[]} path A condition on a list holds where one of its elements fulfils it. */
function searchable(path) {
  const end = path.findLastIndex((key) => typeof key === "string") + 1;
  const isPlainList = path.length - end <= 1;
  return end && isPlainList ? fieldName(path.slice(0, end)) : path.length ? fieldName(path) : null;
}

/** @param {import("./event_list.js").LoggedEvent} event @returns {Generator<Row>} */
function* rows(event) {
  yield { label: "timestamp", field: null, value: event.timestamp };
  yield { label: "severity", field: "severity", value: event.severity };
  yield { label: "source", field: "source", value: event.source };
  yield { label: "message", field: "message", value: event.message };
  if (event.attributes !== undefined) yield* flattened(event.attributes, []);
  yield { label: "received", field: null, value: event.ingested_at };
  yield { label: "id", field: null, value: event.id };
}

/** @param {string} text @param {string} what */
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    announce(`${what} copied`);
  } catch {
    copyOldWay(text);
    announce(`${what} copied`);
  }
}

/** @param {string} text Where the page is not served over TLS there is no clipboard to write to. */
function copyOldWay(text) {
  const area = /** @type {HTMLTextAreaElement} */ (make("textarea", { class: "unseen", "aria-label": "To copy" }));
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  focused?.focus();
}

/** @param {string} added */
function narrow(added) {
  show({ q: joined(shown().q, added), view: "search", around: null, open: null });
}

/** @param {Row} row */
function actions(row) {
  const copying = button("copy", () => void copy(plainText(row.value), row.label), { "aria-label": `Copy ${cut(row.label, 80)}` });
  const text = row.field === null ? "" : condition(row.field, row.value);
  if (!text || text.length > MAX_CHARS / 2 || !plainText(row.value).trim()) return make("span", { class: "actions" }, copying);
  return make("span", { class: "actions" },
    button("include", () => narrow(text), { "aria-label": `Include ${cut(row.label, 80)}`, title: cut(text, 200) }),
    button("exclude", () => narrow(negated(text)), { "aria-label": `Exclude ${cut(row.label, 80)}`, title: cut(negated(text), 200) }),
    copying);
}

/** @param {Row} row */
function drawn(row) {
  const isMoment = row.label === "timestamp" || row.label === "received";
  const text = isMoment && row.field === null ? fullPrecision(row.value) : plainText(row.value);
  const kind = typeof row.value === "string" ? "text" : isNested(row.value) ? "nested" : "plain";
  return make("div", { class: "field-row" }, make("dt", {}, make("bdi", {}, literal(cut(row.label, 300)))),
    make("dd", { class: `value ${kind}` }, inPieces(text), actions(row)));
}

/** @param {import("./event_list.js").LoggedEvent} event @returns {HTMLElement} */
export function eventDetail(event) {
  const all = rows(event);
  const list = make("dl", { class: "field-rows" });
  const detail = make("div", { class: "detail" }, list);
  const more = button("show more fields", () => grow(1000), { class: "link" });
  let count = 0;
  /** @param {number} by */
  function grow(by) {
    const added = [];
    for (let next = all.next(); !next.done; next = all.next()) {
      added.push(drawn(next.value));
      if (added.length === by) break;
    }
    count += added.length;
    list.append(...added);
    more.textContent = `show more fields (${number(count)} shown)`;
    if (added.length < by) more.remove();
  }
  detail.append(more, make("p", { class: "event-actions" },
    button("Surrounding events", () => show({ around: { id: event.id, timestamp: event.timestamp }, view: "search" })),
    button("Copy as JSON", () => void copy(writeExact(event), "Event")),
    button("Copy link", () => void copy(linkTo(event), "Link"))));
  grow(FIRST_ROWS);
  return detail;
}

/** @param {import("./event_list.js").LoggedEvent} event */
function linkTo(event) {
  const values = new URLSearchParams({ around: `${event.id},${event.timestamp}` });
  return `${location.origin}${location.pathname}#${values}`;
}
