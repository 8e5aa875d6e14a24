// @ts-check
/** Takes all events of a search away as a file: asked for, followed while it comes, and cancelled. */

import { access, ask, isAbort, Problem, request } from "./api.js";
import { announce } from "./announcer.js";
import { button, make, number } from "./dom.js";
import { openDialog } from "./dialog.js";
import { isNoRoute } from "./field_catalog.js";

const FOLLOW_MS = 700;
const SUFFIXES = /** @type {Record<string, string>} */ ({ none: "", gzip: ".gz", zstd: ".zst" });

/** @param {() => Record<string, any>} asked @returns {HTMLElement} */
export function exportButton(asked) {
  return button("Export", () => openExport(asked()), { "aria-haspopup": "dialog" });
}

/** @param {string} name @param {string} label @param {[string, string][]} options */
function choice(name, label, options) {
  return make("label", {}, make("span", {}, label),
    make("select", { name }, ...options.map(([value, text]) => make("option", { value }, text))));
}

/** @param {Record<string, any>} asked */
function openExport(asked) {
  const progress = make("div", { class: "progress", role: "status" });
  const form = /** @type {HTMLFormElement} */ (make("form", { class: "dialog-form" },
    make("p", {}, "All events of this search, also those that are not shown, as one file."),
    choice("format", "Format", [["ndjson", "NDJSON: one event a line"], ["csv", "CSV: safe to open in a spreadsheet"], ["parquet", "Parquet"]]),
    choice("compression", "Compression", [["none", "none"], ["gzip", "gzip"], ["zstd", "zstd"]]),
    make("p", { class: "dialog-buttons" }, make("button", { type: "submit", class: "primary" }, "Export")), progress));
  const stopping = new AbortController();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const values = new FormData(form);
    const body = { ...asked, format: values.get("format"), compression: values.get("compression") };
    void run(body, progress, stopping.signal);
  });
  openDialog("Export", form, () => stopping.abort());
}

/** @param {Record<string, any>} body @param {HTMLElement} progress @param {AbortSignal} signal */
async function run(body, progress, signal) {
  progress.replaceChildren("Asking for it…");
  try {
    const name = fileName(body);
    const place = access.key ? await placeFor(name) : null;
    const made = await ask("/api/v1/exports", {
      method: "POST", signal, headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...body, severity: body.severity?.length ? body.severity : undefined, q: body.q || undefined }),
    });
    await take(made, { name, place }, progress, signal);
  } catch (error) {
    if (isAbort(error)) progress.replaceChildren("Cancelled.");
    else progress.replaceChildren(reason(error));
  }
}

/** @param {unknown} error */
function reason(error) {
  if (isNoRoute(error)) return "This query API has no exports.";
  return error instanceof Error ? error.message : String(error);
}

/** @param {Record<string, any>} body */
function fileName({ start_time, format, compression }) {
  const suffix = format === "parquet" ? "" : SUFFIXES[compression];
  return `threatlog-${start_time.slice(0, 19).replace(/:/g, "")}Z.${format}${suffix}`;
}

/** @typedef {{name: string, place: any}} Target A file's name, and where the reader chose to put it. */

/** @param {string} name Where this browser can write to a file itself. Raises AbortError where the reader does not want to. */
async function placeFor(name) {
  const picker = /** @type {any} */ (globalThis).showSaveFilePicker;
  if (!picker) return null;
  return picker({ suggestedName: name }).catch((/** @type {unknown} */ error) => (isAbort(error) ? Promise.reject(error) : null));
}

/** @param {any} made @param {Target} target @param {HTMLElement} progress @param {AbortSignal} signal */
async function take(made, target, progress, signal) {
  const url = `/api/v1/exports/${encodeURIComponent(made.id)}`;
  const saving = new AbortController();
  signal.addEventListener("abort", () => saving.abort());
  const told = make("span", {}, "Starting…");
  const cancelling = button("Cancel the export", () => {
    saving.abort();
    void ask(url, { method: "DELETE" }).then(() => told.replaceChildren("Cancelled."), (error) => told.replaceChildren(reason(error)));
    cancelling.remove();
  });
  progress.replaceChildren(make("p", {}, told), make("p", {}, cancelling));
  const rows = made.rows_url ?? `${url}/rows`;
  const saved = access.key ? save(rows, target, saving.signal) : Promise.resolve(link(rows, target.name));
  try {
    await Promise.all([followProgress(url, told, saving.signal), saved]);
  } finally {
    saving.abort();
    cancelling.remove();
  }
}

/** @param {string} url @param {HTMLElement} told @param {AbortSignal} signal Until it is whole. */
async function followProgress(url, told, signal) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
    const stands = await ask(url, { signal });
    const share = Math.floor(100 * (stands.progress ?? 0));
    told.replaceChildren(`${number(stands.rows ?? 0)} events, ${share} %${stands.reason ? `: ${stands.reason}` : ""}`);
    if (stands.status === "completed" || share === 100) {
      told.replaceChildren(`Done: ${number(stands.rows ?? 0)} events.`);
      announce("The export is done");
      return;
    }
    if (["cancelled", "interrupted"].includes(stands.status)) {
      throw new Problem({ detail: `The export was ${stands.status}${stands.reason ? `: ${stands.reason}` : ""}.` });
    }
  }
}

/** @param {string} url @param {string} name The browser takes it by itself, however large it is. */
function link(url, name) {
  const anchor = make("a", { href: url, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
}

/** @param {string} url @param {Target} target @param {AbortSignal} signal With the key, which a link cannot show. */
async function save(url, { name, place }, signal) {
  const answer = await request(url, { signal });
  if (place) return /** @type {ReadableStream} */ (answer.body).pipeTo(await place.createWritable(), { signal });
  const address = URL.createObjectURL(await answer.blob());
  link(address, name);
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
