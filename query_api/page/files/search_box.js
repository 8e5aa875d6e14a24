// @ts-check
/** The filter's line: what was typed becomes what is shown, and what is wrong with it is said where it is wrong. */

import { shown, show } from "./address.js";
import { prepareCompletion } from "./completion.js";
import { byId, make } from "./dom.js";
import { cut } from "./literal.js";

const input = () => /** @type {HTMLInputElement} */ (byId("q"));

/** @param {() => void} onSame Called where the same was asked for again. */
export function prepareSearchBox(onSame) {
  const completion = prepareCompletion(input());
  byId("search").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    completion.close();
    const q = input().value.trim();
    if (q === shown().q && !shown().around) onSame();
    else show({ q, around: null, open: null });
  });
  input().addEventListener("input", clearError);
  input().addEventListener("scroll", followScroll);
}

/** Puts what is shown into the line. */
export function fillSearchBox() {
  if (input().value.trim() !== shown().q) input().value = shown().q;
}

export function clearError() {
  input().removeAttribute("aria-invalid");
  input().removeAttribute("aria-describedby");
  byId("q-error").hidden = true;
  byId("q-mirror").replaceChildren();
}

/** @param {import("./api.js").Problem} problem Of the parameter q. @param {string} q What was asked. */
export function showError(problem, q) {
  const characters = Array.from(q);
  // Positions count characters, not the units of this language's texts.
  const position = Math.min(problem.body.position ?? characters.length, characters.length);
  const before = characters.slice(0, position).join("");
  const wrong = /^[^\s()]+|^[^]/u.exec(q.slice(before.length))?.[0] ?? " ";
  byId("q-mirror").replaceChildren(before, make("mark", {}, wrong));
  const detail = problem.message.replace(/^q is no filter /, "");
  byId("q-error").replaceChildren(
    make("strong", {}, `${detail.slice(0, 1).toUpperCase()}${detail.slice(1)}`),
    make("code", { class: "excerpt" }, cut(before.slice(-40), 40), make("mark", {}, wrong === " " ? "⌴" : wrong)),
  );
  byId("q-error").hidden = false;
  input().setAttribute("aria-invalid", "true");
  input().setAttribute("aria-describedby", "q-error");
  if (document.activeElement === input() && input().value === q) {
    input().setSelectionRange(before.length, before.length);
  }
  followScroll();
}

function followScroll() {
  byId("q-mirror").scrollLeft = input().scrollLeft;
}
