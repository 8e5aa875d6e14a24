// @ts-check
/** What the same source logged before and after an event. */

import { shown, show } from "./address.js";
import { announce } from "./announcer.js";
import { ask, isAbort, Latest, queryString } from "./api.js";
import { button, byId, make } from "./dom.js";
import { EventList } from "./event_list.js";
import { noteFields } from "./field_catalog.js";
import { cut, literal } from "./literal.js";
import { failure, notice, sayWhenSlow } from "./notices.js";
import { momentOf } from "./times.js";

const [FEW, MANY] = [10, 100];
const latest = new Latest();
/** @type {EventList | null} */
let list = null;

export function stopContext() {
  latest.stop();
}

/** @returns {EventList | null} */
export function contextList() {
  return list;
}

/** @param {{id: string, timestamp: string}} event @param {number} [count] To each side. */
export async function showContext(event, count = FEW) {
  const signal = latest.next();
  const results = byId("results");
  results.classList.add("around");
  const place = make("div", { class: "list" });
  const heading = make("h2", { tabindex: "-1" }, "Surrounding events");
  const tools = make("div", { class: "result-tools" },
    button("Back to the search", () => show({ around: null })),
    count < MANY ? button(`${MANY} to each side`, () => void showContext(event, MANY)) : null);
  results.replaceChildren(make("div", { class: "result-head" }, heading, tools), place);
  const ended = sayWhenSlow((slow) => place.replaceChildren(slow), () => show({ around: null }));
  try {
    const about = queryString({ timestamp: event.timestamp, before: count, after: count });
    const context = await ask(`/api/v1/logs/${encodeURIComponent(event.id)}/context${about}`, { signal });
    list = new EventList("Surrounding events, newest first", { marked: context.event.id });
    list.append([...context.before, context.event, ...context.after].reverse());
    noteFields([context.event]);
    heading.replaceChildren("What ", make("bdi", {}, literal(cut(context.event.source, 100))), ` logged around ${momentOf(new Date(context.event.timestamp))}`);
    place.replaceChildren(list.element, ...unseen(context));
    settleOn(context.event);
    announce(heading.textContent ?? "");
  } catch (error) {
    if (!isAbort(error) && shown().around) place.replaceChildren(failure(error, () => void showContext(event, count)));
  } finally {
    ended();
  }
}

/** @param {any} context What was not looked at, where its source logs rarely. */
function unseen({ scanned_since, scanned_until }) {
  if (!scanned_since && !scanned_until) return [];
  const [since, until] = [scanned_since, scanned_until].map((moment) => moment && momentOf(new Date(moment)));
  const what = since && until ? `from ${since} to ${until}` : since ? `from ${since} on` : `until ${until}`;
  return [notice("partial", make("p", {}, make("strong", {}, `Scanned only ${what}.`), " Beyond that there may be more."))];
}

/** @param {{id: string, timestamp: string}} event */
function settleOn({ id, timestamp }) {
  const line = /** @type {HTMLElement | null} */ (document.getElementById(`event-${id}-${timestamp}`)?.firstElementChild);
  line?.focus({ preventScroll: true });
  line?.scrollIntoView({ block: "center" });
}
