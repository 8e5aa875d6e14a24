// @ts-check
/** Conditions of the filter language, as text that means just the value it was made of (docs/filter-language.md). */

import { ExactNumber, plainText } from "./exact_json.js";

/** As in query_api/filter_language/parse.py. */
export const MAX_CHARS = 2000;
// What quotes in a line of input cannot hold; a regular expression can name it.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/** @param {string} text */
export function quoted(text) {
  return `"${text.replace(/\\(?=["\\]|$)|"/g, "\\$&")}"`;
}

/** @param {(string | number)[]} path Keys and places in lists, from the attributes down. */
export function fieldName(path) {
  return path.reduce((/** @type {string} */ name, key) => {
    if (typeof key === "number") return `${name}[${key}]`;
    return `${name}.${/^[\w@$#-]+$/.test(key) ? key : quoted(key)}`;
  }, "attributes");
}

/** @param {string} text A regular expression that this text alone fulfils. */
function exactly(text) {
  const escaped = text.replace(/[\\^$.|?*+()[\]{}/"-]/g, "\\$&").replace(new RegExp(CONTROL, "g"), (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return `/^${escaped}$/`;
}

/** @param {string} text One value behind `field:`. */
export function valueText(text) {
  if (CONTROL.test(text)) return exactly(text);
  return /^[\w@][\w.@-]*$/.test(text) ? text : quoted(text);
}

/**
 * @param {string} field As the language writes it. @param {any} value
 * @returns {string} The events whose field has this value.
 */
export function condition(field, value) {
  if (value === null) return `-${field}:*`;
  if (field === "message") return CONTROL.test(String(value)) ? exactly(String(value)) : quoted(String(value));
  if (value instanceof ExactNumber || typeof value === "number") return `${field}:${plainText(value)}`;
  return `${field}:${valueText(plainText(value))}`;
}

/** @param {string} one */
export function negated(one) {
  return one.startsWith("-") ? one.slice(1) : `-${one}`;
}

/** @param {string} q @param {string} added Both: what the filter says, and this. */
export function joined(q, added) {
  const before = q.trim();
  if (!before || before === "*") return added;
  if (before.split(/\s+/).includes(added)) return before;
  return `${/(^|[\s)])OR([\s(]|$)/.test(before) ? `(${before})` : before} ${added}`;
}
