// Query: an editor for programs, what they answer, and what they cost.

import { get, post, saveText } from "../api.js";
import { h, replace, stored } from "../dom.js";
import { endOf } from "../event-list.js";
import { count, hours, moment, plural } from "../format.js";
import { live, serverNow } from "../live.js";
import { colour } from "../palette.js";
import { examples } from "../programs.js";
import { asPeriod, beginning, shifted } from "../ranges.js";

const HISTORY = "awlog-queries";
const HISTORY_MAX = 30;
const ROWS_MAX = 200;
const BARS_MAX = 40;
const TEXT_SHOWN_MAX = 500;

export function open(place, params) {
  const abort = new AbortController();
  build(place, params, abort.signal);
  return () => abort.abort();
}

function past() {
  try {
    const kept = JSON.parse(localStorage.getItem(HISTORY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((text) => typeof text === "string") : [];
  } catch {
    return [];
  }
}

function remember(text) {
  try {
    localStorage.setItem(HISTORY, JSON.stringify([text, ...past().filter((each) => each !== text)].slice(0, HISTORY_MAX)));
  } catch {
    // a browser that keeps nothing runs queries all the same
  }
}

const localDay = (date) => `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}`;

async function build(place, params, signal) {
  const status = live.status ?? (await get("status", signal).catch(() => ({ buckets: [] })));
  const known = examples(status.buckets);
  const editor = makeEditor(params.get("text") ?? past()[0] ?? known[0][1], () => run());
  const today = beginning(serverNow(), "day");
  const from = h("input", { type: "date", id: "from", value: localDay(shifted(today, "day", -6)) });
  const to = h("input", { type: "date", id: "to", value: localDay(today) });
  const explain = h("input", { type: "checkbox" });
  const example = h("select", { id: "example", onchange: () => pick(example, known.map(([, text]) => text)) });
  const earlier = h("select", { id: "earlier", onchange: () => pick(earlier, past()) });
  const results = h("section", { class: "results", "aria-live": "polite", "aria-label": "Result" });
  const button = h("button", { type: "button", class: "primary", onclick: () => run() }, "Run");

  function pick(choice, texts) {
    if (choice.value !== "") editor.set(texts[Number(choice.value)]);
    choice.value = "";
  }

  function fillChoices() {
    replace(example, h("option", { value: "" }, "Choose …"), known.map(([name], at) => h("option", { value: at }, name)));
    replace(earlier, h("option", { value: "" }, past().length ? "Choose …" : "None yet"), past().map((text, at) => h("option", { value: at }, text.replaceAll("\n", " ").slice(0, 70))));
  }

  async function run() {
    const [start, end] = [new Date(`${from.value}T00:00`), shifted(new Date(`${to.value}T00:00`), "day", 1)];
    editor.mark(null);
    if (Number.isNaN(start.getTime()) || Number.isNaN(end.getTime())) {
      replace(results, h("p", { class: "error", role: "alert" }, "Give a first and a last day."));
      return;
    }
    button.disabled = true;
    place.dataset.settled = "";
    const text = editor.text();
    const asked = { query: text.split("\n"), timeperiods: [asPeriod([start, end])] };
    try {
      const began = performance.now();
      const answer = await post(explain.checked ? "query?explain=1" : "query", asked, signal);
      const tookS = (performance.now() - began) / 1000;
      remember(text);
      fillChoices();
      const [value] = explain.checked ? answer.results : answer;
      showResult(results, value, tookS, explain.checked ? answer.explanation : null, text);
      if (isEmpty(value)) results.querySelector(".result").before(nothingFound(text));
    } catch (error) {
      if (error.name === "AbortError") return;
      editor.mark(error.line, error.column);
      replace(results, h("div", { class: "error", role: "alert" }, h("strong", {}, error.type), h("p", {}, error.message), frame(text, error)));
    } finally {
      button.disabled = false;
      place.dataset.settled = "yes";
    }
  }

  /** Why there may be nothing, and where there is something: the buckets that the program names. */
  function nothingFound(text) {
    const named = status.buckets.filter((bucket) => text.includes(`"${bucket.id}"`) || text.includes(`'${bucket.id}'`));
    const goTo = (bucket) => {
      const end = new Date(endOf(bucket));
      [from.value, to.value] = [localDay(shifted(beginning(end, "day"), "day", -6)), localDay(end)];
      run();
    };
    const lines = named.map((bucket) => h("p", {}, stored(bucket.id), bucket.tail === null ? " is empty." : [` holds events from ${moment(new Date(bucket.start))} to ${moment(new Date(endOf(bucket)))}. `,
      h("button", { type: "button", onclick: () => goTo(bucket) }, "Ask for the last seven days of it")]));
    return h("div", { class: "notice nothing" }, h("p", {}, "The answer is an empty list: no event of these days came through the program."), lines.length ? lines : h("p", {}, "It names no bucket that is here by its whole id."));
  }

  fillChoices();
  replace(place,
    h("div", { class: "view-head" }, h("h1", {}, "Query"), h("p", { class: "range" }, "ActivityWatch’s language, over any days")),
    h("div", { class: "toolbar fields" },
      h("div", { class: "field" }, h("label", { htmlFor: "from" }, "First day"), from),
      h("div", { class: "field" }, h("label", { htmlFor: "to" }, "Last day"), to),
      h("div", { class: "field" }, h("label", { htmlFor: "example" }, "Examples"), example),
      h("div", { class: "field" }, h("label", { htmlFor: "earlier" }, "Earlier queries"), earlier)),
    editor.node,
    h("div", { class: "toolbar" }, button, h("span", { class: "quiet keys" }, "Ctrl + Enter"), h("span", { class: "spring" }), h("label", { class: "check" }, explain, "Explain what it costs")),
    results);
}

/** A text field with numbered lines. */
function makeEditor(text, onRun) {
  const numbers = h("div", {});
  const field = h("textarea", { class: "code", spellcheck: false, wrap: "off", rows: 9, value: text, "aria-label": "Query. Ctrl and Enter run it." });
  let marked = null;
  const number = () => {
    const lines = field.value.split("\n").length;
    if (numbers.childElementCount !== lines) replace(numbers, Array.from({ length: lines }, (_, at) => h("span", {}, String(at + 1))));
    [...numbers.children].forEach((each, at) => each.classList.toggle("wrong", at + 1 === marked));
    field.rows = Math.max(9, Math.min(24, lines + 1));
    follow();
  };
  const follow = () => (numbers.style.transform = `translateY(${-field.scrollTop}px)`);
  field.addEventListener("input", () => {
    marked = null;
    field.removeAttribute("aria-invalid");
    number();
  });
  field.addEventListener("scroll", follow);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      onRun();
    }
  });
  number();
  return {
    node: h("div", { class: "editor" }, h("div", { class: "line-numbers", "aria-hidden": "true" }, numbers), field),
    text: () => field.value,
    set(newText) {
      field.value = newText;
      marked = null;
      number();
      field.focus();
    },
    /** Puts the cursor where something is wrong. */
    mark(line, column) {
      marked = line;
      number();
      if (line === null) {
        field.removeAttribute("aria-invalid");
        return;
      }
      field.setAttribute("aria-invalid", "true");
      const lines = field.value.split("\n");
      const at = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0) + inUnits(lines[line - 1] ?? "", (column ?? 1) - 1);
      field.focus();
      field.setSelectionRange(at, Math.min(field.value.length, at + 1));
    },
  };
}

/** Columns count characters; a text field counts halves of some of them. */
const inUnits = (line, characters) => [...line].slice(0, characters).join("").length;

/** The line that is wrong, with a mark under the place. */
function frame(text, { line, column }) {
  if (line === null) return null;
  const shown = text.split("\n")[line - 1] ?? "";
  return h("pre", { class: "frame" }, `${line} │ ${shown}\n${" ".repeat(String(line).length)} │ ${" ".repeat(Math.max(0, (column ?? 1) - 1))}^`);
}

const isEmpty = (value) => Array.isArray(value) && !value.length;
const isEvent = (value) => value !== null && typeof value === "object" && typeof value.timestamp === "string" && typeof value.duration === "number" && "data" in value;

/** The list of events in a value: itself, or the first in an object. */
function eventsIn(value) {
  const candidates = Array.isArray(value) ? [value] : Object.values(value ?? {});
  return candidates.find((each) => Array.isArray(each) && each.length > 0 && each.every(isEvent)) ?? null;
}

function showResult(place, value, tookS, explanation, text) {
  const events = eventsIn(value);
  const body = h("div", { class: "result" });
  const views = [["JSON", () => h("pre", { class: "json", tabIndex: 0, role: "region", "aria-label": "JSON" }, JSON.stringify(value, null, 2).slice(0, 200_000))]];
  if (events !== null) views.unshift(["Table", () => table(events)], ["Chart", () => chart(events)]);
  const tabs = h("div", { class: "segments", role: "group", "aria-label": "Show as" }, views.map(([name, make]) => h("button", { type: "button", onclick: () => choose(name, make) }, name)));
  function choose(name, make) {
    for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(tab.textContent === name));
    replace(body, make());
  }
  replace(place,
    h("div", { class: "toolbar" }, tabs, h("span", { class: "quiet" }, `${isEmpty(value) ? "An empty list" : events === null ? "A value" : plural(events.length, "event")} in ${tookS.toFixed(3)} s`), h("span", { class: "spring" }),
      events === null ? null : h("button", { type: "button", onclick: () => saveText(csv(events), "awlog-query.csv", "text/csv") }, "Save as CSV"),
      h("button", { type: "button", onclick: () => saveText(JSON.stringify(value, null, 2), "awlog-query.json", "application/json") }, "Save as JSON")),
    body, explanation === null ? null : costs(explanation, text));
  choose(...views[0]);
}

const keysOf = (events) => [...new Set(events.slice(0, ROWS_MAX).flatMap((event) => Object.keys(event.data)))];
/** What nobody reads to its end on a screen; CSV and JSON have all of it. */
const clipped = (text) => (text.length > TEXT_SHOWN_MAX ? `${text.slice(0, TEXT_SHOWN_MAX)} …` : text);
const shown = (value) => (value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));

function table(events) {
  const keys = keysOf(events);
  return h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Table" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Start"), h("th", { scope: "col", class: "number" }, "Hours"), keys.map((key) => h("th", { scope: "col" }, stored(key))))),
    h("tbody", {}, events.slice(0, ROWS_MAX).map((event) => h("tr", {}, h("td", { class: "start" }, moment(new Date(event.timestamp))), h("td", { class: "number" }, hours(event.duration)), keys.map((key) => h("td", {}, stored(clipped(shown(event.data[key]))))))))),
  events.length > ROWS_MAX ? h("p", { class: "quiet" }, `The first ${ROWS_MAX} of ${count(events.length)}; CSV and JSON have all of them.`) : null);
}

function chart(events) {
  const [key] = keysOf(events);
  const sums = new Map();
  for (const event of events) sums.set(shown(event.data[key]), (sums.get(shown(event.data[key])) ?? 0) + event.duration);
  const ranked = [...sums].sort((a, b) => b[1] - a[1]).slice(0, BARS_MAX);
  const longest = Math.max(1e-9, ranked[0]?.[1] ?? 0);
  return h("ol", { class: "ranking-list" }, ranked.map(([name, seconds]) => {
    const bar = h("span", { class: "bar" });
    bar.style.width = `${Math.max(0.4, (seconds / longest) * 100)}%`;
    bar.style.background = colour(name);
    return h("li", {}, stored(clipped(name) || "(without)", { class: "bar-name" }), h("span", { class: "bar-time" }, hours(seconds)), h("span", { class: "bar-ground", "aria-hidden": "true" }, bar));
  }));
}

function costs(explanation, text) {
  const lines = text.split("\n");
  return h("section", { class: "costs" }, h("h2", {}, `What it cost: ${explanation.seconds.toFixed(4)} s, ${plural(explanation.segments_read, "segment")} read`),
    h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "What it cost" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Line", "Statement"].map((name) => h("th", { scope: "col" }, name)), ["Runs", "Seconds", "Events in", "Events out"].map((name) => h("th", { scope: "col", class: "number" }, name)))),
      h("tbody", {}, explanation.statements.map((each) => h("tr", {}, h("td", {}, String(each.line)), h("td", { class: "code" }, (lines[each.line - 1] ?? "").slice(0, 90)),
        h("td", { class: "number" }, count(each.runs)), h("td", { class: "number" }, each.seconds.toFixed(4)), h("td", { class: "number" }, count(each.events_in)), h("td", { class: "number" }, count(each.events_out))))))));
}

/** RFC 4180. What begins like a formula gets a quote before it, so that no spreadsheet runs it. */
function csv(events) {
  const keys = [...new Set(events.flatMap((event) => Object.keys(event.data)))];
  const cell = (value) => {
    const text = /^[=+\-@\t\r]/.test(value) && Number.isNaN(Number(value)) ? `'${value}` : value;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = events.map((event) => [event.timestamp, String(event.duration), ...keys.map((key) => shown(event.data[key]))]);
  return [["timestamp", "duration", ...keys], ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
