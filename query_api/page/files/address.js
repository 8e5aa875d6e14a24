// @ts-check
/** What is shown, as the part of the address behind `#`: it stays in the browser, and a link of it shows the same. */

import { duration } from "./times.js";

export const SEVERITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"];
const VIEWS = ["search", "live", "overview"];

/**
 * @typedef {object} Shown
 * @property {"search" | "live" | "overview"} view
 * @property {string} q The filter.
 * @property {import("./times.js").Range} range
 * @property {string[]} severities None for all.
 * @property {{id: string, timestamp: string} | null} around The event whose surroundings are shown.
 * @property {{id: string, timestamp: string} | null} open The event that is open in the list.
 * @property {string[]} fields Those whose values are shown.
 */

/** @type {Shown} */
const NOTHING = {
  view: "search", q: "", range: { last: "1h" }, severities: [], around: null, open: null, fields: [],
};

/** @type {((shown: Shown, before: Shown) => void)[]} */
const watchers = [];
let current = read(location.hash);

/** @returns {Shown} */
export function shown() {
  return current;
}

/** @param {(shown: Shown, before: Shown) => void} watcher Called after each change, also by back and forward. */
export function onShown(watcher) {
  watchers.push(watcher);
}

/** @param {Partial<Shown>} change @param {{replace?: boolean}} [how] */
export function show(change, { replace = false } = {}) {
  const next = { ...current, ...change };
  const hash = written(next);
  if (hash !== written(current)) history[replace ? "replaceState" : "pushState"](null, "", hash || "#");
  settle(next);
}

/** @param {Shown} next */
function settle(next) {
  const before = current;
  current = next;
  for (const watcher of watchers) watcher(current, before);
}

/** Shows what the address says, from now on also after back and forward. */
export function followAddress() {
  addEventListener("popstate", () => settle(read(location.hash)));
  settle(read(location.hash));
}

/** @param {Shown} what @returns {string} `#...`, or nothing where all is as usual. */
export function written(what) {
  const values = new URLSearchParams();
  if (what.view !== "search") values.set("view", what.view);
  if (what.q) values.set("q", what.q);
  if ("from" in what.range) {
    values.set("from", what.range.from);
    values.set("to", what.range.to);
  } else if (what.range.last !== "1h") values.set("last", what.range.last);
  if (what.severities.length) values.set("severity", what.severities.join(","));
  if (what.around) values.set("around", `${what.around.id},${what.around.timestamp}`);
  if (what.open) values.set("open", `${what.open.id},${what.open.timestamp}`);
  for (const field of what.fields) values.append("field", field);
  const text = values.toString();
  return text && `#${text}`;
}

/** @param {string} hash @returns {Shown} Whatever it cannot read is as usual. */
export function read(hash) {
  const values = new URLSearchParams(hash.replace(/^#/, ""));
  const view = /** @type {any} */ (VIEWS.includes(values.get("view") ?? "") ? values.get("view") : "search");
  const severities = (values.get("severity") ?? "").split(",").filter((name) => SEVERITIES.includes(name));
  return {
    view,
    q: values.get("q") ?? "",
    range: readRange(values),
    severities: SEVERITIES.filter((name) => severities.includes(name)),
    around: readEvent(values.get("around")),
    open: readEvent(values.get("open")),
    fields: values.getAll("field").slice(0, 10),
  };
}

/** @param {URLSearchParams} values */
function readRange(values) {
  const [from, to] = [values.get("from"), values.get("to")];
  if (from && to && Date.parse(from) < Date.parse(to)) return { from, to };
  const last = values.get("last") ?? "";
  return duration(last) ? { last } : NOTHING.range;
}

/** @param {string | null} text */
function readEvent(text) {
  const found = /^([0-9a-fA-F-]{36}),(.+)$/.exec(text ?? "");
  return found && !Number.isNaN(Date.parse(found[2])) ? { id: found[1], timestamp: found[2] } : null;
}
