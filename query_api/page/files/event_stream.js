// @ts-check
/** Server-sent events over fetch, which can show a key: read, kept open, and taken up again where they ended. */

import { isAbort, Problem, request } from "./api.js";

const [FIRST_WAIT_MS, MOST_WAIT_MS] = [500, 15_000];

/** @typedef {{id: string | null, event: string, data: string}} Message */

/** Lines to messages, as https://html.spec.whatwg.org/multipage/server-sent-events.html says. */
export class MessageParser {
  #rest = "";
  /** @type {string[]} */ #data = [];
  #event = "";
  /** @type {string | null} */ #id = null;

  /** @param {string} text The next piece. @returns {Message[]} Those that it ends. */
  take(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.#line(line));
  }

  /** @param {string} line @returns {Message[]} */
  #line(line) {
    if (line === "") {
      const message = { id: this.#id, event: this.#event || "message", data: this.#data.join("\n") };
      const isWhole = this.#data.length > 0;
      this.#data = [];
      this.#event = "";
      return isWhole ? [message] : [];
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id") this.#id = value;
    return [];
  }
}

/**
 * @typedef {object} Listener
 * @property {(message: Message) => void} onMessage
 * @property {(state: "connecting" | "open" | "waiting", waitMs?: number, error?: unknown) => void} onState
 */

/** @param {unknown} error Whether asking again cannot help. */
function isFinal(error) {
  return error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429 && error.status !== 408;
}

/**
 * Reads until `signal` says stop; after an interruption from the last id on.
 * @param {string} url @param {AbortSignal} signal @param {Listener} listener
 * @returns {Promise<void>} Raises Problem where asking again cannot help, and AbortError at the stop.
 */
export async function follow(url, signal, listener) {
  let [lastId, wait] = ["", FIRST_WAIT_MS];
  for (;;) {
    let trouble;
    try {
      listener.onState("connecting");
      const answer = await request(url, { signal, headers: lastId ? { "Last-Event-ID": lastId } : {} });
      let isOpen = false;
      for await (const message of messages(answer)) {
        // The first one says from where on nothing is missed; before it the stream has not begun.
        if (!isOpen) listener.onState("open");
        isOpen = true;
        wait = FIRST_WAIT_MS;
        if (message.id !== null) lastId = message.id;
        listener.onMessage(message);
      }
    } catch (error) {
      if (isAbort(error) || signal.aborted || isFinal(error)) throw error;
      trouble = error;
    }
    const waitMs = wait * (0.5 + Math.random());
    listener.onState("waiting", waitMs, trouble);
    await pause(waitMs, signal);
    wait = Math.min(MOST_WAIT_MS, wait * 2);
  }
}

/** @param {Response} answer */
async function* messages(answer) {
  if (!(answer.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
    throw new Problem({ status: 415, code: "no_stream", detail: "The answer is no stream of events." });
  }
  const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).pipeThrough(new TextDecoderStream()).getReader();
  const parser = new MessageParser();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield* parser.take(piece.value);
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} Raises AbortError. */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    }, { once: true });
  });
}
