// @ts-check
/** Moments and ranges: in the reader's zone or in UTC, and as the API wants them. */

const UNITS = /** @type {Record<string, number>} */ ({ s: 1e3, m: 60e3, h: 3600e3, d: 86400e3, w: 7 * 86400e3 });
const NAMES = /** @type {Record<string, string>} */ ({ s: "second", m: "minute", h: "hour", d: "day", w: "week" });

/** Whether times are shown in UTC, and how far the server's clock is ahead of ours, in milliseconds. */
export const clock = { isUtc: false, aheadMs: 0 };

/** @returns {number} Now, by the server's clock. */
export function nowMs() {
  return Date.now() + clock.aheadMs;
}

/** @param {string | null} header The Date of an answer: whole seconds, so less than two say nothing. */
export function learnClock(header) {
  const ahead = header ? Date.parse(header) - Date.now() : 0;
  clock.aheadMs = Math.abs(ahead) > 2000 && !Number.isNaN(ahead) ? ahead : 0;
}

/** @param {number} value @param {number} [length] */
function digits(value, length = 2) {
  return String(value).padStart(length, "0");
}

/** @param {Date} date @returns {number[]} Year, month, day, hour, minute, second, millisecond. */
function parts(date) {
  const utc = new Date(clock.isUtc ? date.getTime() : date.getTime() - date.getTimezoneOffset() * 60e3);
  return [utc.getUTCFullYear(), utc.getUTCMonth() + 1, utc.getUTCDate(), utc.getUTCHours(), utc.getUTCMinutes(),
    utc.getUTCSeconds(), utc.getUTCMilliseconds()];
}

/** @param {Date} date */
export function dayOf(date) {
  const [year, month, day] = parts(date);
  return `${digits(year, 4)}-${digits(month)}-${digits(day)}`;
}

/** @param {Date} date @param {"minute" | "second" | "millisecond"} [precision] */
export function timeOf(date, precision = "second") {
  const [, , , hour, minute, second, ms] = parts(date);
  const text = `${digits(hour)}:${digits(minute)}`;
  if (precision === "minute") return text;
  return precision === "second" ? `${text}:${digits(second)}` : `${text}:${digits(second)}.${digits(ms, 3)}`;
}

/** @param {Date} date The day too, where it is not today. @param {"minute" | "second" | "millisecond"} [precision] */
export function momentOf(date, precision = "second") {
  const isToday = dayOf(date) === dayOf(new Date(nowMs()));
  return isToday ? timeOf(date, precision) : `${dayOf(date)} ${timeOf(date, precision)}`;
}

/** @returns {string} What the times are in. */
export function zoneName() {
  return clock.isUtc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
}

/** @param {string} sent As the API sent it, to the microsecond; both ways to read it. */
export function fullPrecision(sent) {
  const date = new Date(sent);
  const fraction = /\.(\d+)/.exec(sent)?.[1] ?? "";
  const here = `${dayOf(date)} ${timeOf(date)}${fraction && `.${fraction}`} ${zoneName()}`;
  return clock.isUtc ? sent : `${here} · ${sent}`;
}

/** @param {string} text Such as 15m. @returns {number | null} Milliseconds. */
export function duration(text) {
  const found = /^([1-9]\d{0,4})([smhdw])$/.exec(text.trim());
  return found ? Number(found[1]) * UNITS[found[2]] : null;
}

/** @param {string} text Such as 15m. @returns {string} last 15 minutes */
export function durationName(text) {
  const count = Number(text.slice(0, -1));
  const unit = NAMES[text.slice(-1)];
  return count === 1 ? `last ${unit}` : `last ${count} ${unit}s`;
}

/** @param {number} seconds @returns {string} In the largest unit that says enough. */
export function spanName(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 2 * 86400 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

/** @typedef {{last: string} | {from: string, to: string}} Range */

/** @param {Range} range @returns {{start: string, end: string}} RFC 3339; what is relative ends with this second. */
export function resolved(range) {
  if ("from" in range) return { start: range.from, end: range.to };
  const end = Math.floor(nowMs() / 1000) * 1000 + 1000;
  const length = duration(range.last) ?? UNITS.h;
  return { start: new Date(end - length).toISOString(), end: new Date(end).toISOString() };
}

/** @param {Range} range */
export function rangeName(range) {
  if ("last" in range) return durationName(range.last);
  const [from, to] = [new Date(range.from), new Date(range.to)];
  const end = dayOf(from) === dayOf(to) ? timeOf(to) : momentOf(to);
  return `${momentOf(from)} – ${end}`;
}

/** @param {string} value Of an input of the kind datetime-local, in the shown zone. @returns {string | null} RFC 3339. */
export function fromInput(value) {
  const date = new Date(clock.isUtc ? `${value}Z` : value);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

/** @param {string} sent @returns {string} For such an input. */
export function toInput(sent) {
  const date = new Date(sent);
  return `${dayOf(date)}T${timeOf(date)}`;
}
