// @ts-check
/** Events over time, a bar for each interval, by severity; a part of it dragged over, or chosen by keys, is zoomed into. */

import { SEVERITIES } from "./address.js";
import { announce } from "./announcer.js";
import { counted, make, makeSvg, number } from "./dom.js";
import { dayOf, momentOf, spanName, timeOf } from "./times.js";

const [WIDTH, HEIGHT] = [1000, 100];
const LEAST_DRAG = 0.006;

/** @typedef {{start: string, count: number, counts: Record<string, number>, other: number}} Interval */

/** @param {any} body Of /api/v1/logs/histogram. */
function scaleOf(body) {
  const [start, end] = [Date.parse(body.start_time), Date.parse(body.end_time)];
  const most = Math.max(1, ...body.intervals.map((/** @type {Interval} */ one) => one.count));
  return { start, end, most, step: body.interval_s * 1000, length: end - start };
}

/** @param {ReturnType<typeof scaleOf>} scale @param {number} ms */
function across(scale, ms) {
  return Math.min(1, Math.max(0, (ms - scale.start) / scale.length)) * WIDTH;
}

/** @param {Interval} interval @param {ReturnType<typeof scaleOf>} scale */
function drawBar(interval, scale) {
  const from = Date.parse(interval.start);
  const [left, right] = [across(scale, from), across(scale, from + scale.step)];
  const gap = Math.min(1.5, (right - left) * 0.15);
  const bar = makeSvg("g", {});
  let below = 0;
  for (const severity of [...SEVERITIES].reverse()) {
    const count = interval.counts[severity] ?? 0;
    // However few there are among many, they are seen.
    const height = count ? Math.max(1.5, (count / scale.most) * (HEIGHT - 4)) : 0;
    if (!count) continue;
    below += height;
    bar.append(makeSvg("rect", {
      x: left, width: Math.max(0.5, right - left - gap), y: HEIGHT - below, height, class: `bar-${severity.toLowerCase()}`,
    }));
  }
  return bar;
}

/** @param {Interval} interval @param {number} step */
function told(interval, step) {
  const from = new Date(interval.start);
  const parts = SEVERITIES.filter((name) => interval.counts[name]).map((name) => `${name} ${number(interval.counts[name])}`);
  return `${momentOf(from)}, ${spanName(step / 1000)}: ${counted(interval.count, "event")}${parts.length ? ` (${parts.join(", ")})` : ""}`;
}

/** @param {any} body */
function summary(body) {
  const largest = body.intervals.reduce((/** @type {Interval | null} */ most, /** @type {Interval} */ one) =>
    (most && most.count >= one.count ? most : one), null);
  const peak = largest ? ` Most: ${told(largest, body.interval_s * 1000)}.` : "";
  return `${counted(body.total, "event")} in bars of ${spanName(body.interval_s)}.${peak}`;
}

/**
 * @param {any} body Of /api/v1/logs/histogram.
 * @param {((from: string, to: string) => void) | null} onZoom
 * @returns {HTMLElement}
 */
export function histogram(body, onZoom) {
  const scale = scaleOf(body);
  const plot = makeSvg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  if (body.scanned_until) {
    plot.append(makeSvg("rect", { x: 0, y: 0, width: across(scale, Date.parse(body.scanned_until)), height: HEIGHT, class: "unscanned" }));
  }
  for (const interval of body.intervals) plot.append(drawBar(interval, scale));
  const note = make("p", { class: "note histogram-note" }, usualNote(body));
  const frame = make("div", { class: "plot", role: "group", "aria-label": `Histogram. ${summary(body)}` }, plot);
  if (onZoom) {
    frame.setAttribute("tabindex", "0");
    frame.setAttribute("aria-description", "Left and right go from bar to bar, with Shift they choose several, Enter zooms.");
    new Brush(frame, plot, body, scale, note, onZoom);
  }
  return make("div", { class: "histogram-body" }, frame, axis(body), note);
}

/** @param {any} body */
function usualNote(body) {
  const partial = body.scanned_until ? ` Counted from ${momentOf(new Date(body.scanned_until))} on; what is older was not looked at.` : "";
  return `${spanName(body.interval_s)} a bar. Drag to zoom.${partial}`;
}

/** @param {any} body */
function axis(body) {
  const [start, end] = [Date.parse(body.start_time), Date.parse(body.end_time)];
  const precision = end - start < 600e3 ? "second" : "minute";
  const moments = [0, 1, 2, 3].map((part) => new Date(start + ((end - start) * part) / 3));
  const isNewDay = (/** @type {number} */ at) => at === 0 || dayOf(moments[at]) !== dayOf(moments[at - 1]);
  const texts = moments.map((moment, at) => (isNewDay(at) ? momentOf(moment, precision) : timeOf(moment, precision)));
  return make("div", { class: "axis", "aria-hidden": "true" }, ...texts.map((text) => make("span", {}, text)));
}

/** The part that is being chosen, as shares of the width. */
class Brush {
  /**
   * @param {HTMLElement} frame @param {SVGElement} plot @param {any} body @param {ReturnType<typeof scaleOf>} scale
   * @param {HTMLElement} note @param {(from: string, to: string) => void} onZoom
   */
  constructor(frame, plot, body, scale, note, onZoom) {
    this.frame = frame;
    this.body = body;
    this.scale = scale;
    this.note = note;
    this.onZoom = onZoom;
    /** @type {number | null} */
    this.from = null;
    this.to = 0;
    /** The bar that keys are at, and where they began to choose. @type {number | null} */
    this.at = null;
    this.anchor = 0;
    this.area = makeSvg("rect", { y: 0, height: HEIGHT, class: "brush" });
    plot.append(this.area);
    this.listen();
  }

  listen() {
    const { frame } = this;
    frame.addEventListener("pointerdown", (event) => this.begin(event));
    frame.addEventListener("pointermove", (event) => this.follow(event));
    frame.addEventListener("pointerup", () => this.end());
    frame.addEventListener("pointercancel", () => this.clear());
    frame.addEventListener("pointerleave", () => (this.note.textContent = usualNote(this.body)));
    frame.addEventListener("keydown", (event) => this.key(event));
  }

  /** @param {PointerEvent} event */
  share(event) {
    const box = this.frame.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  }

  /** @param {PointerEvent} event */
  begin(event) {
    if (event.button !== 0) return;
    this.frame.setPointerCapture(event.pointerId);
    this.from = this.to = this.share(event);
  }

  /** @param {PointerEvent} event */
  follow(event) {
    const share = this.share(event);
    const interval = this.intervalAt(this.scale.start + share * this.scale.length);
    this.note.textContent = interval ? told(interval, this.scale.step) : usualNote(this.body);
    if (this.from === null) return;
    this.to = share;
    this.draw(this.from, this.to);
  }

  end() {
    if (this.from === null) return;
    const [left, right] = [Math.min(this.from, this.to), Math.max(this.from, this.to)];
    this.clear();
    const { start, length, step } = this.scale;
    if (right - left < LEAST_DRAG) {
      const bar = Math.floor((start + left * length) / step) * step;
      this.zoom(bar, bar + step);
    } else this.zoom(start + left * length, start + right * length);
  }

  /** @param {number} from @param {number} to Milliseconds; whole seconds are asked for. */
  zoom(from, to) {
    const first = Math.max(this.scale.start, Math.floor(from / 1000) * 1000);
    const last = Math.min(this.scale.end, Math.max(Math.ceil(to / 1000) * 1000, first + 1000));
    if (last > first) this.onZoom(new Date(first).toISOString(), new Date(last).toISOString());
  }

  clear() {
    this.from = null;
    this.draw(0, 0);
  }

  /** @param {number} one @param {number} other */
  draw(one, other) {
    this.area.setAttribute("x", String(Math.min(one, other) * WIDTH));
    this.area.setAttribute("width", String(Math.abs(one - other) * WIDTH));
  }

  /** @param {number} ms @returns {Interval | undefined} */
  intervalAt(ms) {
    return this.body.intervals.find((/** @type {Interval} */ one) => Date.parse(one.start) <= ms && ms < Date.parse(one.start) + this.scale.step);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const intervals = this.body.intervals;
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (direction && intervals.length) {
      const before = this.at ?? (direction > 0 ? -1 : intervals.length);
      this.at = Math.min(intervals.length - 1, Math.max(0, before + direction));
      if (!event.shiftKey) this.anchor = this.at;
      this.mark(this.at);
    } else if (event.key === "Enter" && this.at !== null) {
      const [first, last] = [Math.min(this.anchor, this.at), Math.max(this.anchor, this.at)];
      this.zoom(Date.parse(intervals[first].start), Date.parse(intervals[last].start) + this.scale.step);
    } else if (event.key === "Escape" && (this.at !== null || this.from !== null)) {
      this.at = null;
      this.clear();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {number} at */
  mark(at) {
    const intervals = this.body.intervals;
    const edges = [this.anchor, at].map((index) => Date.parse(intervals[index].start));
    const shareOf = (/** @type {number} */ ms) => across(this.scale, ms) / WIDTH;
    this.draw(shareOf(Math.min(...edges)), shareOf(Math.max(...edges) + this.scale.step));
    this.note.textContent = told(intervals[at], this.scale.step);
    announce(this.note.textContent);
  }
}
