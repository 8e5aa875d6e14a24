// @ts-check
/** A search: its first events as soon as they are there, then what is counted about all of them, and what comes next. */

import { shown, show } from "./address.js";
import { announce } from "./announcer.js";
import { ask, isAbort, Latest, Problem, queryString } from "./api.js";
import { button, byId, counted, make, number } from "./dom.js";
import { EventList } from "./event_list.js";
import { noteFields } from "./field_catalog.js";
import { fillFields } from "./fields_panel.js";
import { histogram } from "./histogram.js";
import { failure, notice, sayWhenSlow } from "./notices.js";
import { clearError, showError } from "./search_box.js";
import { countSeverities } from "./severity_choice.js";
import { momentOf, resolved } from "./times.js";
import { exportButton } from "./export_dialog.js";
import { move, zoom } from "./time_range.js";

const PAGE = 100;
const ALONE_MS = 300;
const latest = new Latest();

/** The search that is shown. */
const search = {
  /** @type {Record<string, any>} */ asked: {},
  /** @type {EventList} */ list: new EventList("Events, newest first"),
  /** @type {string | null} */ cursor: null,
  /** How many there are in all, once that is known. @type {number | null} */ total: null,
  note: "",
  isBusy: false,
};

/** @param {import("./address.js").Shown} what @returns {Record<string, any>} */
export function parametersOf(what) {
  const { start, end } = resolved(what.range);
  return { start_time: start, end_time: end, severity: what.severities, q: what.q };
}

/** @returns {EventList} */
export function shownList() {
  return search.list;
}

export function stopSearch() {
  latest.stop();
}

/** Asks for everything that a search shows; the events first and alone, for so long, since they are waited for. */
export function startSearch() {
  const signal = latest.next();
  clearError();
  Object.assign(search, { asked: parametersOf(shown()), cursor: null, total: null, note: "" });
  search.list = new EventList("Events, newest first", { onOpen: rememberOpen, onEnd: () => void more() });
  const frame = layOut();
  void Promise.race([firstPage(signal, frame), new Promise((resolve) => setTimeout(resolve, ALONE_MS))]).then(() => {
    if (signal.aborted) return;
    void secondary("/api/v1/logs/histogram", { ...search.asked }, signal, showHistogram);
    fillFields(signal, search.asked);
  });
}

/** @param {import("./event_list.js").LoggedEvent | null} event */
function rememberOpen(event) {
  show({ open: event && { id: event.id, timestamp: event.timestamp } }, { replace: true });
}

/** @typedef {{status: HTMLElement, list: HTMLElement, end: HTMLElement}} Frame */

/** @returns {Frame} The old events stay until the new ones are there. */
function layOut() {
  const status = make("p", { class: "status" }, "Searching…");
  const frame = { status, list: make("div", { class: "list" }), end: make("div", { class: "list-end" }) };
  const before = byId("results").querySelector(".list");
  if (before?.children.length && !byId("results").classList.contains("around")) {
    before.classList.add("stale");
    frame.list = before;
  }
  byId("results").classList.remove("around");
  const tools = make("div", { class: "result-tools" },
    button("Earlier", () => move(-1), { "aria-label": "Earlier time range" }),
    button("Later", () => move(1), { "aria-label": "Later time range" }),
    button("Zoom out", () => zoom(2)), button("Explain", () => void explain(frame)), exportButton(() => search.asked));
  byId("results").replaceChildren(make("div", { class: "result-head" }, status, tools), frame.list, frame.end);
  return frame;
}

/** @param {AbortSignal} signal @param {Frame} frame */
async function firstPage(signal, frame) {
  const started = performance.now();
  const ended = sayWhenSlow((slow) => frame.end.replaceChildren(slow), () => cancel(frame));
  try {
    const page = await ask(`/api/v1/logs/query${queryString({ ...search.asked, limit: PAGE })}`, { signal });
    frame.list.classList.remove("stale");
    frame.list.replaceChildren(search.list.element);
    add(page, frame);
    search.note = ` · ${(performance.now() - started).toFixed(0)} ms${page.cached ? ", cached" : ""}`;
    tellTotal(frame);
    announce(`${totalText()}${page.scanned_until ? ", not all was looked at" : ""}`);
    if (shown().open) search.list.openEvent(/** @type {any} */ (shown().open));
  } catch (error) {
    if (!isAbort(error)) failed(error, frame);
  } finally {
    ended();
  }
}

/** @param {any} page @param {Frame} frame */
function add(page, frame) {
  search.cursor = page.next_cursor;
  search.total = page.total ?? (page.next_cursor ? search.total : search.list.length + page.logs.length);
  search.list.append(page.logs);
  noteFields(page.logs);
  frame.end.replaceChildren(endOf(page, frame));
}

function totalText() {
  return search.total === null ? `${number(search.list.length)}${search.cursor ? "+" : ""} events` : counted(search.total, "event");
}

/** @param {Frame} frame */
function tellTotal(frame) {
  frame.status.replaceChildren(totalText(), make("span", { class: "note" }, search.note));
}

/** @param {any} page @param {Frame} frame What stands below the events. */
function endOf(page, frame) {
  const going = button("Continue", () => void more(frame), { class: "primary" });
  if (page.scanned_until) {
    const until = momentOf(new Date(page.scanned_until));
    return notice("partial", make("p", {}, make("strong", {}, `Scanned until ${until}.`),
      " What is older was not looked at yet."), make("p", {}, going));
  }
  if (page.next_cursor) {
    going.textContent = `Next ${PAGE}`;
    going.className = "";
    return make("p", { class: "next" }, going);
  }
  return search.list.length ? make("p", { class: "note end" }, "That is all in this range.") : nothingFound();
}

function nothingFound() {
  const wider = "last" in shown().range ? { last: "7d" } : null;
  const ways = [
    shown().q && button("Without the filter", () => show({ q: "" })),
    shown().severities.length > 0 && button("All severities", () => show({ severities: [] })),
    wider ? button("The last 7 days", () => show({ range: wider })) : button("Twice the time", () => zoom(2)),
  ];
  return notice("empty", make("p", {}, make("strong", {}, "No events."), " All of this range was looked at, and nothing fits."),
    make("p", {}, ...ways.filter(Boolean)));
}

/** The next page; from what is only partly searched, on until a page is full or everything was looked at. */
async function more(frame = frameNow()) {
  if (!search.cursor || search.isBusy) return;
  search.isBusy = true;
  const { list, asked } = search;
  const signal = latest.next();
  const wanted = list.length + PAGE;
  const first = list.length;
  try {
    do {
      frame.end.replaceChildren(notice("slow", make("p", {}, "Searching on… ", button("Stop", () => latest.stop()))));
      const values = { ...asked, limit: Math.max(1, wanted - list.length), cursor: search.cursor };
      const page = await ask(`/api/v1/logs/query${queryString(values)}`, { signal });
      add(page, frame);
      tellTotal(frame);
    } while (search.cursor && list.length < wanted && list === search.list);
    announce(`${number(list.length - first)} more events`);
    focusLine(list, first);
  } catch (error) {
    if (list === search.list) pausedAt(error, frame);
  } finally {
    search.isBusy = false;
  }
}

/** @param {EventList} list @param {number} index */
function focusLine(list, index) {
  const line = /** @type {HTMLElement | null} */ (list.element.children[index]?.querySelector(".line"));
  if (document.activeElement === document.body || byId("results").contains(document.activeElement)) line?.focus();
}

/** @returns {Frame} */
function frameNow() {
  const [status, list, end] = [".status", ".list", ".list-end"].map((name) => byId("results").querySelector(name));
  return { status, list, end };
}

/** @param {unknown} error @param {Frame} frame */
function pausedAt(error, frame) {
  const going = button("Continue", () => void more(frame), { class: "primary" });
  frame.end.replaceChildren(isAbort(error)
    ? notice("partial", make("p", {}, "Stopped."), make("p", {}, going))
    : failure(error, () => void more(frame)));
}

/** @param {Frame} frame */
function cancel(frame) {
  latest.stop();
  frame.status.textContent = "Cancelled";
  frame.end.replaceChildren(notice("empty", make("p", {}, "The search was given up."),
    make("p", {}, button("Search again", startSearch, { class: "primary" }))));
}

/** @param {unknown} error @param {Frame} frame */
function failed(error, frame) {
  frame.status.textContent = "";
  const isAboutFilter = error instanceof Problem && error.body.parameter === "q";
  frame.list.replaceChildren();
  frame.list.classList.remove("stale");
  if (isAboutFilter) {
    showError(/** @type {Problem} */ (error), search.asked.q);
    frame.end.replaceChildren(notice("empty", make("p", {}, "The filter cannot be read; the line above says where.")));
  } else {
    frame.end.replaceChildren(failure(error, startSearch));
    announce("The search failed");
  }
}

/** @param {string} path @param {Record<string, any>} values @param {AbortSignal} signal @param {(body: any) => void} use */
async function secondary(path, values, signal, use) {
  try {
    use(await ask(`${path}${queryString(values)}`, { signal }));
  } catch (error) {
    if (isAbort(error)) return;
    if (error instanceof Problem && (error.body.parameter === "q" || error.isAboutKey)) return byId("histogram").replaceChildren();
    byId("histogram").replaceChildren(make("p", { class: "note" }, "No counts over time: ", error instanceof Error ? error.message : ""));
  }
}

/** @param {any} body */
function showHistogram(body) {
  const had = byId("histogram").contains(document.activeElement);
  if (!body.scanned_until && search.total === null) {
    search.total = body.total;
    if (search.note) tellTotal(frameNow());
  }
  byId("histogram").replaceChildren(histogram(body, (from, to) => show({ range: { from, to }, around: null })));
  if (had) byId("histogram").querySelector(".plot")?.focus();
  /** @type {Record<string, number>} */
  const counts = {};
  for (const { counts: some } of body.intervals) {
    for (const [name, count] of Object.entries(some)) counts[name] = (counts[name] ?? 0) + Number(count);
  }
  countSeverities(counts);
}

/** @param {Frame} frame How the filter is understood, and what it costs. */
async function explain(frame) {
  try {
    const price = await ask(`/api/v1/logs/explain${queryString(search.asked)}`);
    const cost = price.answered_from === "counts" ? "Answered from counts." :
      `Looks at up to ${counted(price.events_to_read, "event")}, about ${number(price.expected_ms)} ms${price.may_be_partial ? ", so in parts" : ""}.`;
    const text = make("p", { class: "explained", role: "status" }, "Understood as ", make("code", {}, price.query), ` · ${cost}`);
    byId("results").querySelector(".explained")?.remove();
    frame.status.parentElement?.after(text);
  } catch (error) {
    if (!isAbort(error)) frame.end.replaceChildren(failure(error, startSearch));
  }
}
