// @ts-check
/** The one dialog of the page: with a title, and the focus back where it was when it closes. */

import { button, byId, make } from "./dom.js";

/** @type {() => void} */
let closed = () => {};

export function prepareDialog() {
  byId("dialog").addEventListener("close", () => {
    byId("dialog").replaceChildren();
    closed();
    closed = () => {};
  });
}

/** @param {string} title @param {HTMLElement} content @param {() => void} [onClose] */
export function openDialog(title, content, onClose = () => {}) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("dialog"));
  closed();
  closed = onClose;
  dialog.replaceChildren(make("div", { class: "dialog-head" }, make("h2", { id: "dialog-title" }, title),
    button("Close", () => dialog.close(), { class: "quiet" })), content);
  if (!dialog.open) dialog.showModal();
  /** @type {HTMLElement | null} */ (content.querySelector("input, select, button"))?.focus();
}

export function closeDialog() {
  byId("dialog").close();
}

/** @returns {boolean} */
export function isDialogOpen() {
  return byId("dialog").open;
}
