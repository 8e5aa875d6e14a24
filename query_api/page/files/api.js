// @ts-check
/** Asks the API: with the key where one is needed, answers read exactly, and errors as the problems that they are. */

import { parseExact } from "./exact_json.js";
import { learnClock } from "./times.js";

const KEPT = "threatlog.key";
/** @type {{key: string | null, onRefused: (problem: Problem) => void, onAnswer: (body: any) => void}} */
export const access = { key: keptKey(), onRefused: () => {}, onAnswer: () => {} };
/** What is known of this key. While nothing is, one request tries it and the others wait: each failure is counted. */
const standing = {
  isAdmitted: false,
  /** @type {Problem | null} */ refusal: null,
  /** @type {Promise<void> | null} */ trial: null,
};

/** What the API, or the way to it, says is wrong (RFC 9457). */
export class Problem extends Error {
  /** @param {any} body @param {number | null} retryAfterS */
  constructor(body, retryAfterS = null) {
    super(body.detail ?? body.title ?? "The answer says no more.");
    /** @type {number} 0: there was no answer. */
    this.status = body.status ?? 0;
    /** @type {string} */
    this.code = body.code ?? "unknown";
    /** @type {any} */
    this.body = body;
    this.retryAfterS = retryAfterS;
    this.isAboutKey = this.status === 401 || this.code === "wrong_scope" || this.code === "too_many_failures";
  }
}

function keptKey() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

/** @param {string | null} key @param {boolean} isKept Also after a reload of this tab. */
export function useKey(key, isKept) {
  access.key = key;
  Object.assign(standing, { isAdmitted: false, refusal: null });
  try {
    sessionStorage.removeItem(KEPT);
    if (key && isKept) sessionStorage.setItem(KEPT, key);
  } catch {
    // Without storage it is known until the page is left.
  }
}

/** @param {Record<string, string | number | null | undefined | string[]>} values @returns {string} */
export function queryString(values) {
  const written = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    const text = Array.isArray(value) ? value.join(",") : value;
    if (text !== null && text !== undefined && text !== "") written.set(name, String(text));
  }
  const text = written.toString();
  return text && `?${text}`;
}

/**
 * One request, whose answer may be a stream.
 * @param {string} path @param {RequestInit} [options]
 * @returns {Promise<Response>} Raises Problem, and AbortError where it was given up.
 */
export async function request(path, options = {}) {
  while (standing.trial) await standing.trial;
  if (standing.refusal) throw standing.refusal;
  const answer = sent(path, options);
  if (!standing.isAdmitted) {
    const ended = () => void (standing.trial = null);
    standing.trial = answer.then(ended, ended);
  }
  return answer;
}

/** @param {string} path @param {RequestInit} options @returns {Promise<Response>} */
async function sent(path, options) {
  const headers = new Headers(options.headers);
  if (access.key) headers.set("Authorization", `Bearer ${access.key}`);
  /** @type {Response} */
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem({ code: "unreachable", detail: "The query API does not answer. Is it running, and is the network there?" });
  }
  learnClock(answer.headers.get("date"));
  const problem = answer.ok ? null : await problemOf(answer);
  const isRefused = answer.status === 401 || problem?.code === "too_many_failures";
  Object.assign(standing, { isAdmitted: !isRefused, refusal: isRefused ? problem : null });
  if (!problem) return answer;
  if (problem.isAboutKey) access.onRefused(problem);
  throw problem;
}

/** @param {Response} answer */
async function problemOf(answer) {
  const retryAfter = Number(answer.headers.get("retry-after")) || null;
  try {
    return new Problem(await answer.json(), retryAfter);
  } catch {
    return new Problem({ status: answer.status, code: "no_problem", detail: `${answer.status} ${answer.statusText}` }, retryAfter);
  }
}

/** @param {string} path @param {RequestInit} [options] @returns {Promise<any>} The body. Raises as `request`. */
export async function ask(path, options = {}) {
  const answer = await request(path, options);
  const text = await answer.text();
  const body = text ? parseExact(text) : null;
  if (body) access.onAnswer(body);
  return body;
}

/** @param {unknown} error Whether it only says that nobody waits for the answer any more. */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/** @param {unknown} error Whether this server has no such route. */
export function isAbsent(error) {
  return error instanceof Problem && (error.code === "not_found" || error.code === "method_not_allowed");
}

/** Gives up the questions before with each new one. */
export class Latest {
  #controller = new AbortController();

  /** @returns {AbortSignal} */
  next() {
    this.#controller.abort();
    this.#controller = new AbortController();
    return this.#controller.signal;
  }

  stop() {
    this.#controller.abort();
  }
}
