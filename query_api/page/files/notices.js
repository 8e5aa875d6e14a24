// @ts-check
/** What stands where there are no events to show, or not all: empty, partial, slow, failed. */

import { Problem } from "./api.js";
import { button, make } from "./dom.js";

/** @param {string} kind @param {(import("./dom.js").Child)[]} content */
export function notice(kind, ...content) {
  return make("div", { class: `notice ${kind}` }, ...content);
}

/** @param {unknown} error @param {() => void} retry @returns {HTMLElement} */
export function failure(error, retry) {
  const problem = error instanceof Problem ? error : new Problem({ code: "page_fault", detail: String(error) });
  if (!(error instanceof Problem)) console.error(error);
  const again = button("Try again", retry, { class: "primary" });
  const wait = problem.retryAfterS ? ` It says to wait ${problem.retryAfterS} s.` : "";
  return notice("failed", make("p", {}, make("strong", {}, titleOf(problem)), " ", problem.message, wait),
    make("p", { class: "note" }, `${problem.status || "no answer"} · ${problem.code}`), make("p", {}, again));
}

/** @param {Problem} problem */
function titleOf(problem) {
  if (problem.code === "unreachable") return "No answer.";
  if (problem.code === "busy") return "Busy.";
  if (problem.status === 504) return "It took too long.";
  if (problem.code === "wrong_scope") return "This key may not do that.";
  return problem.isAboutKey ? "A key is needed." : problem.status === 422 ? "This cannot be asked." : "That failed.";
}

const SLOW_MS = 1000;

/**
 * Says how long it takes, once it takes long.
 * @param {(content: HTMLElement) => void} place @param {() => void} cancel
 * @returns {() => void} Call it when it is over.
 */
export function sayWhenSlow(place, cancel) {
  const started = performance.now();
  const time = make("span", {});
  const timer = setInterval(() => {
    const passed = performance.now() - started;
    if (passed < SLOW_MS) return;
    time.textContent = `${(passed / 1000).toFixed(0)} s`;
    if (!time.isConnected) {
      place(notice("slow", make("p", {}, make("strong", {}, "Still searching "), time), make("p", {}, button("Cancel", cancel))));
    }
  }, 250);
  return () => clearInterval(timer);
}
