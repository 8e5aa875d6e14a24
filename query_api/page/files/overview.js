// @ts-check
/** How it goes as a whole: how much is stored and how fast, from where, and how far storage is behind. */

import { SEVERITIES, shown, show } from "./address.js";
import { ask, isAbort, Latest, queryString } from "./api.js";
import { button, byId, counted, make, number, short } from "./dom.js";
import { condition } from "./filter_text.js";
import { histogram } from "./histogram.js";
import { cut, literal } from "./literal.js";
import { failure } from "./notices.js";
import { fullPrecision, momentOf, rangeName, resolved, spanName } from "./times.js";

const EVERY_MS = 5000;
const SOURCES = 15;
const latest = new Latest();
let timer = 0;

export function stopOverview() {
  latest.stop();
  clearTimeout(timer);
}

export function startOverview() {
  stopOverview();
  const signal = latest.next();
  byId("overview").replaceChildren(
    make("div", { class: "cards", id: "overview-cards" }),
    make("div", { class: "overview-columns" },
      section("overview-histogram", `Events, ${rangeName(shown().range)}`),
      section("overview-severities", "By severity"), section("overview-sources", "Top sources"), section("overview-lag", "Storage")));
  void refresh(signal);
}

/** @param {string} id @param {string} title */
function section(id, title) {
  return make("section", { class: "block", "aria-labelledby": `${id}-title` }, make("h2", { id: `${id}-title` }, title), make("div", { id }));
}

/** @param {AbortSignal} signal */
async function refresh(signal) {
  if (!document.hidden) await Promise.all([figures(signal), counts(signal), overTime(signal), lag(signal)]);
  if (!signal.aborted) timer = setTimeout(() => void refresh(signal), EVERY_MS);
}

/** @param {string} id @param {AbortSignal} signal @param {() => Promise<HTMLElement[]>} make_ Each part fails by itself. */
async function part(id, signal, make_) {
  try {
    const content = await make_();
    if (!signal.aborted && !byId(id)?.contains(document.activeElement)) byId(id)?.replaceChildren(...content);
  } catch (error) {
    if (!isAbort(error)) byId(id)?.replaceChildren(failure(error, startOverview));
  }
}

/** @param {string} name @param {string} value @param {string} [about] */
function card(name, value, about = "") {
  return make("div", { class: "card" }, make("span", { class: "card-name" }, name), make("strong", { class: "card-value" }, value),
    make("span", { class: "note" }, about));
}

/** @param {number | null} value */
function inMs(value) {
  return value === null ? "–" : value < 1000 ? `${value.toFixed(value < 10 ? 1 : 0)} ms` : `${(value / 1000).toFixed(1)} s`;
}

/** @param {AbortSignal} signal */
function figures(signal) {
  return part("overview-cards", signal, async () => {
    const found = await ask("/api/v1/metrics", { signal });
    const value = (/** @type {any} */ one) => Number(one?.source ?? one);
    const rate = value(found.ingestion_rate);
    return [
      card("Rate", `${rate < 100 ? rate.toFixed(1) : short(Math.round(rate))}/s`, "stored, over ten seconds"),
      card("Stored", number(value(found.total_logs_ingested)), "events in all"),
      card("Behind", found.lag.events === null ? "unknown" : number(found.lag.events), found.lag.stale ? "events, as last known" : "accepted events not stored yet"),
      card("Latency", inMs(nullable(found.p95_ingestion_latency_ms)), `p95 from accepted to stored; p99 ${inMs(nullable(found.p99_ingestion_latency_ms))}`),
      card("Queries", number(value(found.total_queries)), `p95 ${inMs(nullable(found.p95_query_latency_ms))}, ${Math.round(100 * value(found.cache_hit_ratio))} % from the cache`),
      card("Up", spanName(value(found.uptime_seconds)), "the oldest process"),
    ];
  });
}

/** @param {any} value */
function nullable(value) {
  return value === null ? null : Number(value?.source ?? value);
}

/** @returns {Record<string, any>} */
function asked() {
  const { start, end } = resolved(shown().range);
  return { start_time: start, end_time: end, severity: shown().severities, q: shown().q };
}

/** @param {AbortSignal} signal */
async function counts(signal) {
  const stats = ask(`/api/v1/stats${queryString(asked())}`, { signal });
  await Promise.all([
    part("overview-severities", signal, async () => bySeverity(await stats)),
    part("overview-sources", signal, async () => bySource(await stats)),
  ]);
}

/** @param {any} stats */
function partial(stats) {
  return stats.scanned_until ? [make("p", { class: "note" }, `Counted from ${momentOf(new Date(stats.scanned_until))} on.`)] : [];
}

/** @param {number} count @param {number} most @param {string} [name] */
function bar(count, most, name = "") {
  const element = make("span", { class: `share ${name}`, "aria-hidden": "true" });
  element.style.width = `${(100 * count) / Math.max(1, most)}%`;
  return element;
}

/** @param {any} stats */
function bySeverity(stats) {
  const most = Math.max(...Object.values(stats.by_severity).map(Number), 1);
  const rows = SEVERITIES.map((name) => {
    const count = stats.by_severity[name] ?? 0;
    return make("li", { class: "top-value" }, bar(count, most, `share-${name.toLowerCase()}`),
      button(name, () => show({ view: "search", severities: [name] }), { class: "link value-text" }),
      make("span", { class: "count" }, number(count)));
  });
  return [make("ol", { class: "tops" }, ...rows), make("p", { class: "note" }, `${counted(stats.total, "event")} in all.`), ...partial(stats)];
}

/** @param {any} stats */
function bySource(stats) {
  const sources = Object.entries(stats.by_source).sort((one, other) => Number(other[1]) - Number(one[1]));
  if (!sources.length) return [make("p", { class: "note" }, "No events in this range.")];
  const most = Number(sources[0][1]);
  const rows = sources.slice(0, SOURCES).map(([name, count]) => make("li", { class: "top-value" }, bar(Number(count), most),
    make("button", { type: "button", class: "link value-text", onclick: () => show({ view: "search", q: condition("source", name) }) },
      make("bdi", {}, literal(cut(name, 100)))),
    make("span", { class: "count" }, number(Number(count)))));
  const others = sources.length - SOURCES + stats.other.sources;
  return [make("ol", { class: "tops" }, ...rows), make("p", { class: "note" }, others > 0 ? `${counted(others, "other source")}.` : ""), ...partial(stats)];
}

/** @param {AbortSignal} signal */
function overTime(signal) {
  return part("overview-histogram", signal, async () => {
    const body = await ask(`/api/v1/logs/histogram${queryString(asked())}`, { signal });
    return [histogram(body, (from, to) => show({ range: { from, to } }))];
  });
}

/** @param {AbortSignal} signal */
function lag(signal) {
  return part("overview-lag", signal, async () => {
    const report = await ask("/api/v1/lag", { signal });
    return [make("p", {}, behind(report)), report.detail ? make("p", { class: "fault" }, report.detail) : make("p", { class: "note" }, `As of ${report.as_of ? momentOf(new Date(report.as_of)) : "never"}${report.stale ? ", not lately" : ""}.`),
      ...(report.partitions.length ? [partitions(report.partitions)] : [])];
  });
}

/** @param {any} report */
function behind({ total }) {
  if (!total) return "It is not known how far storage is behind.";
  if (total.lag === 0) return "Everything accepted is stored.";
  const age = nullable(total.oldest_unstored_age_s);
  const left = nullable(total.seconds_to_catch_up);
  return `${counted(total.lag, "event")} behind${age === null ? "" : `, the oldest for ${spanName(age)}`}. ${left === null ? "It is not shrinking." : `All stored in about ${spanName(left)}.`}`;
}

/** @param {any[]} list */
function partitions(list) {
  const rows = list.map((one) => make("tr", {},
    make("th", { scope: "row" }, one.partition), make("td", {}, one.lag === null ? "unknown" : number(one.lag)),
    make("td", {}, one.stored_until ? make("time", { datetime: one.stored_until, title: fullPrecision(one.stored_until) }, momentOf(new Date(one.stored_until))) : "–"),
    make("td", {}, one.worker ? make("span", { class: one.worker.alive ? "" : "fault" }, one.worker.alive ? "alive" : "silent", make("span", { class: "unseen" }, ` ${one.worker.name}`)) : "none")));
  const heads = ["Partition", "Behind", "Stored until", "Worker"].map((name) => make("th", { scope: "col" }, name));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Partitions" },
    make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
}
