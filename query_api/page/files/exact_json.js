// @ts-check
/** JSON in which every number stays as it was sent: a double cannot hold 9007199254740993, nor say 1.0. */

/** A number whose text a double would not give back. */
export class ExactNumber {
  /** @param {string} source */
  constructor(source) {
    this.source = source;
  }
}

/** Whether this browser shows the reviver the text of a number (ECMAScript 2025). */
export const isExact = (() => {
  let seen = "";
  // @ts-ignore the third argument is newer than the checker
  JSON.parse("1.0", (_key, value, context) => ((seen = context?.source ?? ""), value));
  return seen === "1.0";
})();

/** @param {string} text @returns {any} Raises SyntaxError. */
export function parseExact(text) {
  // @ts-ignore as above
  return JSON.parse(text, (_key, value, context) => {
    if (typeof value !== "number" || !context || String(value) === context.source) return value;
    return new ExactNumber(context.source);
  });
}

/** @param {any} value @returns {boolean} Whether it has keys or elements. */
export function isNested(value) {
  return typeof value === "object" && value !== null && !(value instanceof ExactNumber);
}

/** @param {any} value @returns {string} One value as JSON, its numbers as they came. */
export function writeExact(value, indent = "") {
  if (value instanceof ExactNumber) return value.source;
  if (!isNested(value)) return JSON.stringify(value);
  const inner = `${indent}  `;
  const isList = Array.isArray(value);
  const parts = isList
    ? value.map((/** @type {any} */ element) => inner + writeExact(element, inner))
    : Object.entries(value).map(([key, element]) => `${inner}${JSON.stringify(key)}: ${writeExact(element, inner)}`);
  const [open, close] = isList ? "[]" : "{}";
  return parts.length ? `${open}\n${parts.join(",\n")}\n${indent}${close}` : open + close;
}

/** @param {any} value @returns {string} What a filter and a person call it: text without quotes. */
export function plainText(value) {
  if (typeof value === "string") return value;
  return value instanceof ExactNumber ? value.source : isNested(value) ? writeExact(value) : String(value);
}
