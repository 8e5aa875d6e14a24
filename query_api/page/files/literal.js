// @ts-check
/** Text of others, shown as what it is: characters that would move, hide or restyle their neighbours become visible. */

import { make } from "./dom.js";

// Controls but tab and newline, invisible and direction-changing characters, tags, and halves of surrogate pairs.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\p{Cs}/gu;

/** @param {string} character */
function shownAs(character) {
  const code = /** @type {number} */ (character.codePointAt(0));
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** @param {string} character */
function mark(character) {
  const code = /** @type {number} */ (character.codePointAt(0));
  const name = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  return make("span", { class: "control", title: name, "data-code": code.toString(16) }, shownAs(character));
}

/** @param {string} text @returns {DocumentFragment} */
export function literal(text) {
  const fragment = document.createDocumentFragment();
  let end = 0;
  for (const found of text.matchAll(UNSEEN)) {
    if (found.index > end) fragment.append(text.slice(end, found.index));
    fragment.append(mark(found[0]));
    end = found.index + found[0].length;
  }
  if (end < text.length) fragment.append(text.slice(end));
  return fragment;
}

/** @param {string} text @param {number} length At most so many units, never half a character. */
export function cut(text, length) {
  if (text.length <= length) return text;
  const last = text.charCodeAt(length - 1);
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? length - 1 : length);
}

/**
 * A long text, a piece at a time: a megabyte at once would stop the page.
 * @param {string} text @param {number} first @param {number} step
 */
export function inPieces(text, first = 4_000, step = 50_000) {
  const whole = make("bdi", { class: "text" });
  let shown = 0;
  const more = make("button", { type: "button", class: "link", onclick: () => grow(step) });
  /** @param {number} length */
  function grow(length) {
    const piece = cut(text.slice(shown), length);
    whole.append(literal(piece));
    shown += piece.length;
    const left = text.length - shown;
    more.textContent = `show ${Math.min(left, step).toLocaleString("en-US")} more of ${left.toLocaleString("en-US")} characters`;
    if (left === 0) more.remove();
  }
  grow(first);
  return shown < text.length ? make("div", {}, whole, more) : whole;
}
