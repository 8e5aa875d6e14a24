// @ts-check
/** Puts the page together: what the address says is what is shown. */

import { followAddress, onShown, shown, show, written } from "./address.js";
import { followCompleteness, showCompleteness } from "./completeness.js";
import { contextList, showContext, stopContext } from "./context_view.js";
import { byId } from "./dom.js";
import { prepareDialog } from "./dialog.js";
import { isExact } from "./exact_json.js";
import { prepareKeyboard } from "./keyboard.js";
import { prepareKey } from "./key_dialog.js";
import { liveList, startLive, stopLive } from "./live_view.js";
import { startOverview, stopOverview } from "./overview.js";
import { preparePreferences } from "./preferences.js";
import { shownList, startSearch, stopSearch } from "./results.js";
import { fillSearchBox, prepareSearchBox } from "./search_box.js";
import { fillSeverities } from "./severity_choice.js";
import { fillTimeRange, prepareTimeRange } from "./time_range.js";

/** @param {import("./address.js").Shown} what What is asked, apart from what is open in the page. */
function question({ view, q, range, severities, around }) {
  return JSON.stringify([view, q, range, severities, around]);
}

let answered = "";

/** Asks for what is shown, in the way of its view. */
function start() {
  const what = shown();
  answered = question(what);
  stopSearch();
  stopContext();
  stopLive();
  stopOverview();
  const isOverview = what.view === "overview";
  byId("overview").hidden = !isOverview;
  byId("results").hidden = isOverview;
  byId("fields").hidden = what.view !== "search";
  byId("histogram").hidden = what.view !== "search" || what.around !== null;
  byId("time").hidden = what.view === "live";
  if (isOverview) startOverview();
  else if (what.view === "live") void startLive();
  else if (what.around) void showContext(what.around);
  else startSearch();
}

/** Names what is shown, everywhere where it is named. */
function name() {
  const what = shown();
  fillSearchBox();
  fillTimeRange();
  fillSeverities();
  for (const view of /** @type {const} */ (["search", "live", "overview"])) {
    const link = byId(`view-${view}`);
    link.href = written({ ...what, view, around: null, open: null }) || "#";
    if (view === what.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const about = what.q || { search: "Search", live: "Live", overview: "Overview" }[what.view];
  document.title = `${about.slice(0, 60)} · ThreatLog`;
}

function prepareViews() {
  for (const view of /** @type {const} */ (["search", "live", "overview"])) {
    byId(`view-${view}`).addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      show({ view, around: null, open: null });
    });
  }
}

/** @returns {import("./event_list.js").EventList | null} */
function currentList() {
  if (shown().view === "live") return liveList();
  if (shown().view === "overview") return null;
  return shown().around ? contextList() : shownList();
}

/** An address of its own for the jump would be an address without the search. */
function prepareSkip() {
  document.querySelector(".skip")?.addEventListener("click", (event) => {
    event.preventDefault();
    const line = /** @type {HTMLElement | null} */ (byId("results").querySelector(".line[tabindex='0']"));
    (line ?? byId("results")).focus();
  });
}

function prepare() {
  prepareDialog();
  preparePreferences(() => {
    name();
    showCompleteness();
    start();
  });
  prepareKey(start);
  prepareSearchBox(start);
  prepareTimeRange();
  prepareViews();
  prepareSkip();
  prepareKeyboard(currentList);
  onShown((what) => {
    name();
    if (question(what) !== answered) start();
  });
  followAddress();
  followCompleteness();
  if (!isExact) byId("completeness").append(" · This browser rounds integers above 2^53.");
}

prepare();
