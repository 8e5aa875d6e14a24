// @ts-check
/** The line that is always there: up to when everything accepted is stored, and how much is not. */

import { access, ask, isAbort, Problem } from "./api.js";
import { byId, counted } from "./dom.js";
import { fullPrecision, momentOf, nowMs, spanName } from "./times.js";

const EVERY_MS = 5000;
const LATE_MS = 30_000;
/** @type {any} */
let last = null;

/** @param {any} body Any answer that says how complete it is. */
function learn(body) {
  if (!body || body.lag === undefined || body.complete_until === undefined) return;
  const newer = !last || (body.lag?.as_of ?? "") >= (last.lag?.as_of ?? "");
  if (!newer) return;
  // What comes from a cache says how complete it was then; more may be known.
  const known = body.cached && last?.complete_until > body.complete_until ? last.complete_until : body.complete_until;
  last = { ...body, complete_until: known };
  showCompleteness();
}

/** @param {any} report Of /api/v1/lag. */
function learnReport(report) {
  const { total, complete_until, as_of, stale, detail } = report;
  learn({ complete_until, incomplete_reason: detail, lag: { events: total?.lag ?? null, as_of, stale } });
}

/** Shows what is known, in the zone of now. */
export function showCompleteness() {
  if (!last) return;
  const until = last.complete_until;
  const behindMs = until ? nowMs() - Date.parse(until) : Infinity;
  const isUnknown = !until || last.lag.stale || last.lag.events === null;
  const isLate = behindMs > LATE_MS;
  byId("completeness").dataset.state = isUnknown ? "unknown" : isLate ? "late" : "good";
  byId("complete-until").textContent = until
    ? `Complete until ${momentOf(new Date(until))}${isLate ? `, ${spanName(behindMs / 1000)} ago` : ""}`
    : "Not known how complete it is";
  byId("complete-until").title = until
    ? `Everything accepted before ${fullPrecision(until)} is in the answers`
    : last.incomplete_reason ?? "";
  byId("lag").textContent = lagText(last.lag);
}

/** @param {{events: number | null, stale: boolean}} lag */
function lagText(lag) {
  if (lag.events === null) return "· lag unknown";
  const text = lag.events === 0 ? "· nothing waits" : `· ${counted(lag.events, "event")} behind`;
  return lag.stale ? `${text} (last known)` : text;
}

async function refresh() {
  if (!document.hidden) {
    try {
      learnReport(await ask("/api/v1/lag"));
    } catch (error) {
      if (!isAbort(error) && error instanceof Problem && !error.isAboutKey) showUnreachable(error);
    }
  }
  setTimeout(refresh, EVERY_MS);
}

/** @param {Problem} problem */
function showUnreachable(problem) {
  byId("completeness").dataset.state = "unknown";
  byId("lag").textContent = problem.status ? "· lag unknown" : "· no answer from the query API";
}

/** Begins to follow it. */
export function followCompleteness() {
  access.onAnswer = learn;
  void refresh();
}
