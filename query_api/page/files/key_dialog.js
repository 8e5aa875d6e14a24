// @ts-check
/** Asks for the API key where the API wants one, and says what is wrong with one that it does not take. */

import { access, Problem, useKey } from "./api.js";
import { byId, make } from "./dom.js";
import { closeDialog, isDialogOpen, openDialog } from "./dialog.js";

let isAsking = false;

/** @param {() => void} onKey Called with a new key: what failed may be asked again. */
export function prepareKey(onKey) {
  access.onRefused = (problem) => {
    nameKey(problem);
    if (!isAsking && !isDialogOpen()) askForKey(onKey, problem);
  };
  byId("key").addEventListener("click", () => askForKey(onKey, null));
  nameKey(null);
}

/** @param {Problem | null} problem */
function nameKey(problem) {
  const wrong = problem && (problem.code === "wrong_scope" ? "lacks a scope" : access.key ? "not accepted" : "needed");
  byId("key").textContent = wrong ? `API key: ${wrong}` : access.key ? "API key: set" : "API key";
  byId("key").classList.toggle("wrong", Boolean(wrong));
}

const WORDS = /** @type {Record<string, string>} */ ({
  missing_key: "This query API answers only who shows an API key with the scope query.",
  bad_key: "This key is not known here.",
  revoked_key: "This key was revoked.",
  expired_key: "This key has expired.",
  wrong_scope: "This key is good, but may not read events.",
  too_many_failures: "Too many keys were tried from here; wait a minute.",
});

/** @param {() => void} onKey @param {Problem | null} problem */
function askForKey(onKey, problem) {
  isAsking = true;
  const input = /** @type {HTMLInputElement} */ (make("input", { type: "password", id: "api-key", autocomplete: "off", required: true, placeholder: "tlk_…", spellcheck: "false" }));
  const keep = /** @type {HTMLInputElement} */ (make("input", { type: "checkbox", id: "keep-key" }));
  const why = problem && make("p", { class: "fault", role: "alert" }, make("strong", {}, WORDS[problem.code] ?? "The key was refused."), ` ${problem.message}`);
  const form = make("form", { class: "dialog-form" }, why,
    make("label", {}, make("span", {}, "API key"), input),
    make("label", { class: "check" }, keep, make("span", {}, "Keep it until this tab is closed, also after a reload")),
    make("p", { class: "note" }, "It stays in this tab, and is sent to this server alone."),
    make("p", { class: "dialog-buttons" }, make("button", { type: "submit", class: "primary" }, "Use this key"),
      access.key && make("button", { type: "button", onclick: () => use(null, false, onKey) }, "Forget the key")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    use(input.value.trim(), keep.checked, onKey);
  });
  openDialog("API key", form, () => (isAsking = false));
}

/** @param {string | null} key @param {boolean} isKept @param {() => void} onKey */
function use(key, isKept, onKey) {
  useKey(key, isKept);
  nameKey(null);
  closeDialog();
  // The dialog says that it is closed only later; a key that is refused too asks again.
  isAsking = false;
  onKey();
}
