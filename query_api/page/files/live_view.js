// @ts-check
/** Events as they come: the newest on top, held back while the list is paused, and never faster than the page can draw. */

import { shown, show } from "./address.js";
import { announce } from "./announcer.js";
import { isAbort, Latest, queryString } from "./api.js";
import { button, byId, counted, make, number } from "./dom.js";
import { EventList } from "./event_list.js";
import { follow } from "./event_stream.js";
import { parseExact } from "./exact_json.js";
import { isNoRoute, noteFields } from "./field_catalog.js";
import { failure, notice } from "./notices.js";
import { clearError, showError } from "./search_box.js";
import { momentOf } from "./times.js";

const MOST = 500;
const DRAW_MS = 200;
const latest = new Latest();

class LiveView {
  constructor() {
    this.list = new EventList("Live events, newest first", { onOpen: (event) => event && this.pause() });
    /** Newest last; what does not fit is counted. @type {any[]} */
    this.waiting = [];
    this.dropped = 0;
    this.seen = 0;
    this.isPaused = false;
    this.timer = 0;
    this.state = make("span", { class: "live-state", "data-state": "connecting" }, "Connecting…");
    this.count = make("span", { class: "note" });
    this.pausing = button("Pause", () => (this.isPaused ? this.resume() : this.pause()), { "aria-keyshortcuts": "p", id: "live-pause" });
    this.notes = make("div", { class: "live-notes" });
    this.element = make("div", {},
      make("div", { class: "result-head" }, make("p", { class: "status" }, this.state, " ", this.count),
        make("div", { class: "result-tools" }, this.pausing, button("Clear", () => this.clear()))),
      this.notes, make("div", { class: "list" }, this.list.element));
  }

  pause() {
    this.isPaused = true;
    this.pausing.textContent = "Resume";
    this.pausing.classList.add("primary");
    this.tell();
  }

  resume() {
    this.isPaused = false;
    this.pausing.textContent = "Pause";
    this.pausing.classList.remove("primary");
    this.draw();
  }

  clear() {
    this.list.clear();
    this.waiting = [];
    this.dropped = this.seen = 0;
    this.notes.replaceChildren();
    this.tell();
  }

  /** @param {import("./event_stream.js").Message} message */
  take(message) {
    if (message.event === "log") this.hold(parseExact(message.data));
    else if (message.event === "skipped") this.say(skipped(parseExact(message.data)));
    else if (message.event === "trouble" || message.event === "ended") this.trouble(parseExact(message.data));
  }

  /** @param {any} event */
  hold(event) {
    this.seen += 1;
    this.waiting.push(event);
    if (this.waiting.length > MOST) {
      this.waiting.shift();
      this.dropped += 1;
    }
    if (!this.timer) this.timer = setTimeout(() => this.draw(), DRAW_MS);
  }

  draw() {
    this.timer = 0;
    if (!this.isPaused && this.waiting.length) {
      // Those of one moment, from several partitions, come in any order.
      const added = this.waiting.sort((one, other) => (one.timestamp < other.timestamp ? 1 : -1));
      this.waiting = [];
      noteFields(added.slice(0, 20));
      this.list.prepend(added, MOST);
      announce(`${counted(added.length + this.dropped, "new event")}`);
      if (this.dropped) this.say(make("p", { class: "note" }, `${counted(this.dropped, "event")} came too fast to show; a search has them.`));
      this.dropped = 0;
    }
    this.tell();
  }

  tell() {
    const held = this.waiting.length + this.dropped;
    this.count.textContent = this.isPaused && held ? `${number(held)} new since the pause` : `${number(this.seen)} so far`;
  }

  /** @param {HTMLElement} note Only the newest stay. */
  say(note) {
    this.notes.prepend(note);
    while (this.notes.children.length > 3) this.notes.lastElementChild?.remove();
  }

  /** @param {any} body */
  trouble(body) {
    this.notes.querySelectorAll(".trouble").forEach((note) => note.remove());
    if (body.detail) this.say(notice("partial trouble", make("p", {}, String(body.detail))));
  }

  /** @param {"connecting" | "open" | "waiting"} state @param {number} [waitMs] @param {unknown} [error] */
  stands(state, waitMs = 0, error = undefined) {
    this.state.dataset.state = state;
    if (state === "open") this.trouble({});
    const why = error instanceof Error ? ` ${error.message}` : "";
    this.state.textContent = { connecting: "Connecting…", open: "Live", waiting: `Interrupted; again in ${Math.ceil(waitMs / 1000)} s.${why}` }[state];
  }
}

/** @param {any} loss */
function skipped(loss) {
  const what = loss.events === null || loss.events === undefined ? "Events were" : `${counted(loss.events, "event")} ${loss.events === 1 ? "was" : "were"}`;
  const range = loss.start_time && loss.end_time
    ? button(`Search ${momentOf(new Date(loss.start_time))} – ${momentOf(new Date(loss.end_time))}`,
      () => show({ view: "search", range: { from: loss.start_time, to: after(loss.end_time) } }))
    : null;
  return notice("partial", make("p", {}, make("strong", {}, `${what} skipped. `), "They came faster than they could be sent. ", range));
}

/** @param {string} moment The end of a range is not included. */
function after(moment) {
  return new Date(Date.parse(moment) + 1).toISOString();
}

/** @type {LiveView | null} */
let live = null;

/** @returns {EventList | null} */
export function liveList() {
  return live?.list ?? null;
}

export function togglePause() {
  if (live) byId("live-pause")?.click();
}

export function stopLive() {
  latest.stop();
  clearTimeout(live?.timer);
  live = null;
}

/** Follows what is shown. */
export async function startLive() {
  stopLive();
  clearError();
  const signal = latest.next();
  const view = (live = new LiveView());
  byId("results").classList.remove("around");
  byId("results").replaceChildren(view.element);
  const asked = { severity: shown().severities, q: shown().q };
  try {
    await follow(`/api/v1/logs/tail${queryString(asked)}`, signal, {
      onMessage: (message) => view.take(message),
      onState: (state, waitMs, error) => view.stands(state, waitMs, error),
    });
  } catch (error) {
    if (!isAbort(error) && !signal.aborted) stopped(error, asked.q);
  }
}

/** @param {any} error @param {string} q */
function stopped(error, q) {
  const isAbsent = isNoRoute(error);
  const note = isAbsent
    ? notice("empty", make("p", {}, make("strong", {}, "No live view here."), " This query API does not offer one; the search shows what is stored."))
    : failure(error, () => void startLive());
  byId("results").replaceChildren(note);
  if (error?.body?.parameter === "q") showError(error, q);
}
