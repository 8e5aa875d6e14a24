// @ts-check
/** The list of events: a line each, one of which keys can reach; open, it shows everything the event has. */

import { make } from "./dom.js";
import { eventDetail } from "./event_detail.js";
import { cut, literal } from "./literal.js";
import { dayOf, fullPrecision, nowMs, timeOf } from "./times.js";

// What of a message a line can show at all.
const LINE_CHARS = 400;

/** @typedef {{id: string, timestamp: string, severity: string, source: string, message: string, ingested_at: string, attributes?: any}} LoggedEvent */
/** @typedef {{onOpen?: (event: LoggedEvent | null) => void, onEnd?: () => void, marked?: string}} ListOptions */

/** @param {string} sent */
function moment(sent) {
  const date = new Date(sent);
  const isToday = dayOf(date) === dayOf(new Date(nowMs()));
  return make("time", { datetime: sent, title: fullPrecision(sent) },
    isToday ? null : make("span", { class: "day" }, `${dayOf(date)} `), timeOf(date, "millisecond"));
}

export class EventList {
  /** @param {string} label @param {ListOptions} [options] */
  constructor(label, options = {}) {
    this.options = options;
    this.element = make("ol", { class: "events", "aria-label": label });
    /** @type {Map<string, LoggedEvent>} By the id of the line's element. */
    this.events = new Map();
    this.element.addEventListener("click", (event) => this.clicked(event));
    this.element.addEventListener("focusin", (event) => this.makeCurrent(lineOf(event.target)));
    this.element.addEventListener("keydown", (event) => this.key(event));
  }

  get length() {
    return this.element.children.length;
  }

  /** @param {LoggedEvent[]} events */
  append(events) {
    this.element.append(...events.map((event) => this.drawn(event)));
    this.keepOneReachable();
  }

  /** @param {LoggedEvent[]} events Newest first. @param {number} most Of all that stay. */
  prepend(events, most) {
    this.element.prepend(...events.map((event) => this.drawn(event)));
    while (this.length > most) this.remove(/** @type {HTMLElement} */ (this.element.lastElementChild));
    this.keepOneReachable();
  }

  clear() {
    this.events.clear();
    this.element.replaceChildren();
  }

  /** @param {HTMLElement} item */
  remove(item) {
    this.events.delete(item.id);
    item.remove();
  }

  /** @param {LoggedEvent} event */
  drawn(event) {
    const id = `event-${event.id}-${event.timestamp}`;
    this.events.set(id, event);
    const severity = event.severity.toLowerCase();
    const line = make("button", { type: "button", class: "line", "aria-expanded": "false", tabindex: "-1" },
      moment(event.timestamp),
      make("span", { class: `severity ${severity}` }, event.severity),
      make("bdi", { class: "source" }, literal(cut(event.source, 120))),
      make("bdi", { class: "message" }, literal(cut(event.message, LINE_CHARS).replace(/\n/g, "\u23ce"))));
    const isMarked = this.options.marked === event.id;
    const attributes = { id, class: `event edge-${severity}${isMarked ? " marked" : ""}`, "aria-current": isMarked && "true" };
    return make("li", attributes, line);
  }

  keepOneReachable() {
    if (!this.element.querySelector(".line[tabindex='0']")) this.element.querySelector(".line")?.setAttribute("tabindex", "0");
  }

  /** @param {HTMLElement | null} line */
  makeCurrent(line) {
    if (!line || line.tabIndex === 0) return;
    this.element.querySelectorAll(".line[tabindex='0']").forEach((other) => other.setAttribute("tabindex", "-1"));
    line.tabIndex = 0;
  }

  /** @param {Event} event */
  clicked(event) {
    const line = /** @type {Element} */ (event.target).closest?.(".line");
    if (line) this.toggle(/** @type {HTMLElement} */ (line.parentElement));
  }

  /** @param {HTMLElement} item */
  toggle(item) {
    if (item.classList.contains("open")) this.close(item);
    else this.open(item);
  }

  /** @param {HTMLElement} item */
  open(item, isTold = true) {
    const event = /** @type {LoggedEvent} */ (this.events.get(item.id));
    item.classList.add("open");
    item.firstElementChild?.setAttribute("aria-expanded", "true");
    item.append(eventDetail(event));
    if (isTold) this.options.onOpen?.(event);
  }

  /** @param {HTMLElement} item */
  close(item) {
    item.classList.remove("open");
    item.firstElementChild?.setAttribute("aria-expanded", "false");
    item.querySelector(".detail")?.remove();
    this.options.onOpen?.(null);
  }

  /** @param {{id: string, timestamp: string}} event Opens it, where it is in the list. */
  openEvent({ id, timestamp }) {
    const item = document.getElementById(`event-${id}-${timestamp}`);
    if (!item || !this.element.contains(item)) return;
    if (!item.classList.contains("open")) this.open(item, false);
    item.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key !== "Escape") return;
    const item = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest(".event.open"));
    if (!item) return;
    event.stopPropagation();
    this.close(item);
    /** @type {HTMLElement} */ (item.firstElementChild).focus();
  }

  /** @param {number} by Puts the focus so many lines further. */
  step(by) {
    const lines = /** @type {HTMLElement[]} */ ([...this.element.querySelectorAll(".line")]);
    const at = lines.findIndex((line) => line.parentElement?.contains(document.activeElement));
    const current = at >= 0 ? at : lines.findIndex((line) => line.tabIndex === 0) - (by > 0 ? 1 : 0);
    const next = lines[Math.max(0, current + by)];
    if (next) {
      next.focus();
      next.scrollIntoView({ block: "nearest" });
    } else if (lines.length) this.options.onEnd?.();
  }
}

/** @param {EventTarget | null} target @returns {HTMLElement | null} */
function lineOf(target) {
  return /** @type {Element} */ (target).closest(".event")?.querySelector(".line") ?? null;
}
