// @ts-check
/** Completes fields and values at the caret: the combobox with a list of options of the ARIA Authoring Practices. */

import { SEVERITIES } from "./address.js";
import { Latest, isAbort } from "./api.js";
import { byId, make, short } from "./dom.js";
import { knownFields, valuesOf } from "./field_catalog.js";
import { valueText } from "./filter_text.js";
import { cut, literal } from "./literal.js";

const MOST = 12;
const WAIT_MS = 120;
const WORD = /(?:^|[\s(])(-?)((?:"(?:[^"\\]|\\.)*"?|[^\s()"])*)$/;
const FIELD = /^((?:"(?:[^"\\]|\\.)*"|[^\s"():<>=!])+)(:|>=|<=|!=|>|<|=)(.*)$/s;

/** @typedef {{text: string, note: string, kind: "field" | "value"}} Option */

/** @param {string} before The text up to the caret. @returns {{start: number, field: string | null, prefix: string}} */
export function wordAtCaret(before) {
  const found = WORD.exec(before);
  const word = found?.[2] ?? "";
  const start = before.length - word.length;
  const parts = FIELD.exec(word);
  if (!parts) return { start, field: null, prefix: word };
  const prefix = parts[3].slice(parts[3].lastIndexOf(",") + 1);
  return { start: before.length - prefix.length, field: parts[1], prefix };
}

/** @param {string} name @param {string} prefix */
function begins(name, prefix) {
  const [one, start] = [name.toLowerCase(), prefix.toLowerCase()];
  return one.startsWith(start) || one.replace(/^attributes\./, "").startsWith(start);
}

/** @param {string} prefix @returns {Promise<Option[]>} */
async function fieldOptions(prefix) {
  const fields = await knownFields();
  return fields
    .filter((field) => begins(field.name, prefix))
    .map((field) => ({ text: `${field.name}:`, note: field.events ? short(field.events) : "", kind: "field" }));
}

/** @param {string} field @param {string} prefix @param {AbortSignal} signal @returns {Promise<Option[]>} */
async function valueOptions(field, prefix, signal) {
  const start = prefix.replace(/^"/, "").toLowerCase();
  if (field === "severity") {
    return SEVERITIES.filter((name) => begins(name, start)).map((text) => ({ text, note: "", kind: "value" }));
  }
  if (field === "message") return [];
  const values = await valuesOf(field, 100, signal);
  return values
    .filter(({ value }) => value.toLowerCase().startsWith(start) && value.length < 300)
    .map(({ value, count }) => ({ text: valueText(value), note: short(count), kind: "value" }));
}

/** @param {HTMLInputElement} input */
export function prepareCompletion(input) {
  const list = byId("completions");
  const latest = new Latest();
  /** @type {{options: Option[], active: number, start: number, timer: number}} */
  const state = { options: [], active: -1, start: 0, timer: 0 };

  function close() {
    clearTimeout(state.timer);
    latest.stop();
    state.options = [];
    setActive(-1);
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
  }

  /** @param {number} index */
  function setActive(index) {
    state.active = index;
    [...list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === index)));
    const active = list.children[index];
    if (active) {
      input.setAttribute("aria-activedescendant", active.id);
      active.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  }

  /** @param {number} index */
  function accept(index) {
    const { text, kind } = state.options[index];
    const caret = input.selectionStart ?? input.value.length;
    const end = kind === "value" ? `${text} ` : text;
    input.setRangeText(end, state.start, caret, "end");
    input.dispatchEvent(new Event("input", { bubbles: true }));
    if (kind === "value") close();
  }

  /** @param {Option[]} options */
  function open(options) {
    state.options = options.slice(0, MOST);
    list.replaceChildren(...state.options.map(drawn));
    setActive(-1);
    list.hidden = state.options.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
  }

  /** @param {Option} option @param {number} index */
  function drawn(option, index) {
    const element = make("li", { id: `completion-${index}`, role: "option", "aria-selected": "false" },
      make("span", { class: "option-text" }, literal(cut(option.text, 200))), make("span", { class: "note" }, option.note));
    // Before the line loses the focus, which would close the list.
    element.addEventListener("mousedown", (event) => {
      event.preventDefault();
      accept(index);
    });
    return element;
  }

  async function suggest() {
    const before = input.value.slice(0, input.selectionStart ?? 0);
    const { start, field, prefix } = wordAtCaret(before);
    if (!field && !prefix && before.trim()) return close();
    const signal = latest.next();
    try {
      const options = field ? await valueOptions(field, prefix, signal) : await fieldOptions(prefix);
      if (signal.aborted || document.activeElement !== input) return;
      state.start = start;
      open(options.filter((option) => option.text !== prefix));
    } catch (error) {
      if (!isAbort(error)) close();
    }
  }

  function suggestSoon() {
    clearTimeout(state.timer);
    state.timer = setTimeout(suggest, WAIT_MS);
  }

  input.addEventListener("input", suggestSoon);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const isOpen = !list.hidden;
    const count = state.options.length;
    if (event.key === "ArrowDown" && !isOpen) void suggest();
    else if (event.key === "ArrowDown") setActive(state.active + 1 < count ? state.active + 1 : -1);
    else if (event.key === "ArrowUp" && isOpen) setActive(state.active < 0 ? count - 1 : state.active - 1);
    else if (event.key === "Escape" && isOpen) close();
    else if ((event.key === "Enter" || event.key === "Tab") && isOpen && state.active >= 0) accept(state.active);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return { close };
}

