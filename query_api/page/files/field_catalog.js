// @ts-check
/** Which fields there are in the shown range, and which values they have, asked for once and kept for a while. */

import { shown } from "./address.js";
import { ask, isAbsent, queryString } from "./api.js";
import { fieldName } from "./filter_text.js";
import { isNested } from "./exact_json.js";
import { resolved } from "./times.js";

const KEPT_MS = 60_000;
/** @typedef {{name: string, events: number, types?: string[]}} FieldFound */
/** @typedef {{fields: FieldFound[], isOfShownRows: boolean, scannedUntil: string | null}} Catalog */

/** Fields of the events in the list, for where the API cannot say which there are. @type {Map<string, number>} */
const seen = new Map();
/** @type {{key: string, at: number, answer: Promise<Catalog>} | null} */
let kept = null;

/** @param {any[]} events Remembers which attributes they have. */
export function noteFields(events) {
  for (const event of events) {
    if (event.attributes) note(event.attributes, [], 0);
  }
}

/** @param {any} value @param {(string | number)[]} path @param {number} depth */
function note(value, path, depth) {
  if (seen.size > 500 || depth > 6) return;
  if (!isNested(value)) {
    if (path.length) seen.set(fieldName(path), (seen.get(fieldName(path)) ?? 0) + 1);
  } else if (Array.isArray(value)) {
    if (value.some((element) => !isNested(element))) note(null, path, depth);
  } else {
    for (const key of Object.keys(value).slice(0, 200)) note(value[key], [...path, key], depth + 1);
  }
}

/**
 * @param {string} [q] The filter that they are counted under. @param {AbortSignal} [signal]
 * @returns {Promise<Catalog>}
 */
export function catalog(q = "", signal = undefined) {
  const { range, severities } = shown();
  const key = JSON.stringify([range, severities, q]);
  if (kept?.key === key && Date.now() - kept.at < KEPT_MS) return kept.answer;
  const answer = asked(q, signal);
  kept = { key, at: Date.now(), answer };
  answer.catch(() => {
    if (kept?.answer === answer) kept = null;
  });
  return answer;
}

/** Forgets what was kept: the same is asked anew. */
export function forgetCatalog() {
  kept = null;
}

/** @param {string} q @param {AbortSignal} [signal] @returns {Promise<Catalog>} */
async function asked(q, signal) {
  const { start, end } = resolved(shown().range);
  const about = { start_time: start, end_time: end, severity: shown().severities, q, limit: 100 };
  try {
    const body = await ask(`/api/v1/logs/fields${queryString(about)}`, { signal });
    return { fields: body.fields, isOfShownRows: false, scannedUntil: body.scanned_until };
  } catch (error) {
    if (!isNoRoute(error)) throw error;
    return { fields: seenFields(), isOfShownRows: true, scannedUntil: null };
  }
}

/** @param {any} error A path under `logs` that is no route is taken for the id of an event. */
export function isNoRoute(error) {
  return isAbsent(error) || error?.body?.parameter === "id" || /known are timestamp$/.test(error?.body?.detail ?? "");
}

/** @returns {FieldFound[]} */
function seenFields() {
  const attributes = [...seen].sort((one, other) => other[1] - one[1]).map(([name, events]) => ({ name, events }));
  return [{ name: "severity", events: 0 }, { name: "source", events: 0 }, ...attributes];
}

/** @returns {Promise<FieldFound[]>} For completion: those of the last filter, or those that were seen. */
export async function knownFields() {
  try {
    const { fields } = await (kept?.answer ?? catalog());
    const names = new Set(fields.map((field) => field.name));
    return [...fields, { name: "message", events: 0 }, ...seenFields()].filter((field) => {
      const isNew = !names.has(field.name) || fields.includes(field);
      names.add(field.name);
      return isNew;
    });
  } catch {
    return seenFields();
  }
}

/** @param {string} field @param {number} limit @param {AbortSignal} [signal] @param {string} [q] */
export async function topValues(field, limit, signal, q = "") {
  const { start, end } = resolved(shown().range);
  const about = { start_time: start, end_time: end, severity: shown().severities, q, field, limit };
  return ask(`/api/v1/logs/top${queryString(about)}`, { signal });
}

/** @type {Map<string, {at: number, values: {value: string, count: number}[]}>} */
const values = new Map();

/** @param {string} field @param {number} limit @param {AbortSignal} signal For completion, kept for a while. */
export async function valuesOf(field, limit, signal) {
  const key = JSON.stringify([field, shown().range, shown().severities]);
  const known = values.get(key);
  if (known && Date.now() - known.at < KEPT_MS) return known.values;
  const answer = await topValues(field, limit, signal);
  if (values.size > 50) values.clear();
  values.set(key, { at: Date.now(), values: answer.values });
  return /** @type {{value: string, count: number}[]} */ (answer.values);
}
