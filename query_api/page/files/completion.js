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

/** The options below the line. */
class Completion {
  /** @param {HTMLInputElement} input */
  constructor(input) {
    this.input = input;
    this.list = byId("completions");
    this.latest = new Latest();
    /** @type {Option[]} */
    this.options = [];
    this.active = -1;
    this.start = 0;
    this.timer = 0;
    input.addEventListener("input", () => this.suggestSoon());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.key(event));
  }

  close() {
    clearTimeout(this.timer);
    this.latest.stop();
    this.show([]);
  }

  /** @param {Option[]} options */
  show(options) {
    this.options = options.slice(0, MOST);
    this.list.replaceChildren(...this.options.map((option, index) => this.drawn(option, index)));
    this.list.hidden = this.options.length === 0;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    this.choose(-1);
  }

  /** @param {Option} option @param {number} index */
  drawn(option, index) {
    const element = make("li", { id: `completion-${index}`, role: "option", "aria-selected": "false" },
      make("span", { class: "option-text" }, literal(cut(option.text, 200))), make("span", { class: "note" }, option.note));
    // Before the line loses the focus, which would close the list.
    element.addEventListener("mousedown", (event) => {
      event.preventDefault();
      this.accept(index);
    });
    return element;
  }

  /** @param {number} index */
  choose(index) {
    this.active = index;
    [...this.list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === index)));
    const active = this.list.children[index];
    if (active) {
      this.input.setAttribute("aria-activedescendant", active.id);
      active.scrollIntoView({ block: "nearest" });
    } else this.input.removeAttribute("aria-activedescendant");
  }

  /** @param {number} index */
  accept(index) {
    const { text, kind } = this.options[index];
    const caret = this.input.selectionStart ?? this.input.value.length;
    this.input.setRangeText(kind === "value" ? `${text} ` : text, this.start, caret, "end");
    this.input.dispatchEvent(new Event("input", { bubbles: true }));
    if (kind === "value") this.close();
  }

  suggestSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.suggest(), WAIT_MS);
  }

  async suggest() {
    const before = this.input.value.slice(0, this.input.selectionStart ?? 0);
    const { start, field, prefix } = wordAtCaret(before);
    if (!field && !prefix && before.trim()) return this.close();
    const signal = this.latest.next();
    try {
      const options = field ? await valueOptions(field, prefix, signal) : await fieldOptions(prefix);
      if (signal.aborted || document.activeElement !== this.input) return;
      this.start = start;
      this.show(options.filter((option) => option.text !== prefix));
    } catch (error) {
      if (!isAbort(error)) this.close();
    }
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const isOpen = !this.list.hidden;
    const last = this.options.length - 1;
    if (event.key === "ArrowDown" && !isOpen) void this.suggest();
    else if (event.key === "ArrowDown") this.choose(this.active < last ? this.active + 1 : -1);
    else if (event.key === "ArrowUp" && isOpen) this.choose(this.active < 0 ? last : this.active - 1);
    else if (event.key === "Escape" && isOpen) this.close();
    else if ((event.key === "Enter" || event.key === "Tab") && isOpen && this.active >= 0) this.accept(this.active);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** @param {HTMLInputElement} input @returns {{close: () => void}} */
export function prepareCompletion(input) {
  return new Completion(input);
}
