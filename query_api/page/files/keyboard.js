// @ts-check
/** The keys of the whole page. While something is typed they are letters. */

import { shown, show } from "./address.js";
import { byId, make } from "./dom.js";
import { isDialogOpen, openDialog } from "./dialog.js";
import { togglePause } from "./live_view.js";

const KEYS = [
  ["/", "to the filter"], ["j, k", "to the next, the previous event"], ["Enter", "open and close an event; search"],
  ["Esc", "close what is open; leave the filter; back from surrounding events"], ["p", "pause and resume the live view"],
  ["1, 2, 3", "Search, Live, Overview"], ["?", "these keys"],
  ["↓ ↑ Tab", "in the filter: choose a completion, and take it"], ["← → Shift Enter", "in the histogram: choose bars, and zoom"],
];

export function showKeys() {
  const rows = KEYS.map(([keys, what]) => make("div", {}, make("dt", {}, ...keys.split(/,? /).map((key) => make("kbd", {}, key))), make("dd", {}, what)));
  openDialog("Keys", make("dl", { class: "keys" }, ...rows));
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  const element = /** @type {HTMLElement} */ (target);
  return element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);
}

/** @param {() => import("./event_list.js").EventList | null} list */
export function prepareKeyboard(list) {
  /** @type {Record<string, () => void>} */
  const actions = {
    "/": () => {
      byId("q").focus();
      byId("q").select();
    },
    j: () => list()?.step(1),
    k: () => list()?.step(-1),
    p: togglePause,
    "?": showKeys,
    1: () => show({ view: "search", around: null }),
    2: () => show({ view: "live", around: null }),
    3: () => show({ view: "overview", around: null }),
    Escape: leave,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || isDialogOpen()) return;
    const isLeaving = event.key === "Escape";
    if (isTyping(event.target) && !isLeaving) return;
    const act = Object.hasOwn(actions, event.key) ? actions[event.key] : null;
    if (!act) return;
    if (!isLeaving) event.preventDefault();
    act();
  });
  byId("help").addEventListener("click", showKeys);
}

function leave() {
  const active = /** @type {HTMLElement | null} */ (document.activeElement);
  if (active?.id === "q") {
    const line = /** @type {HTMLElement | null} */ (byId("results").querySelector(".line[tabindex='0']"));
    if (line) line.focus();
    else active.blur();
  } else if (shown().around) show({ around: null });
}
