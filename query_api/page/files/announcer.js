// @ts-check
/** Says things to who listens to the page instead of looking at it: the latest one, and not more often than is bearable. */

import { byId } from "./dom.js";

const PAUSE_MS = 1500;
let waiting = "";
let isPaused = false;

/** @param {string} text */
export function announce(text) {
  waiting = text;
  if (!isPaused) say();
}

function say() {
  if (!waiting) {
    isPaused = false;
    return;
  }
  byId("announcer").textContent = waiting;
  waiting = "";
  isPaused = true;
  setTimeout(say, PAUSE_MS);
}
