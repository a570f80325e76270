// Today in one glance: how long anything was there, and the five values of each kind of bucket that were there longest.

import { get, path, post, withQuery } from "../api.js";
import { h, replace, stored } from "../dom.js";
import { hours, hoursAndMinutes, moment } from "../format.js";
import { keysOf, presenceOf, valueWords } from "../grouping.js";
import { live, serverNow } from "../live.js";
import { colour } from "../palette.js";
import { canBeQuoted, glance } from "../programs.js";
import { asPeriod, beginning, shifted } from "../ranges.js";

const CARDS_MAX = 6;
const TOP = 5;
const EVERY_MS = 60_000;
const FIRST = ["currentwindow", "web.tab.current", "app.editor.activity"];

/** Fills `place` once the status is known, and again each minute, until `signal` aborts. */
export function showToday(place, signal) {
  const keys = new Map();
  let startHour = null;

  async function show() {
    if (live.status === null || live.lostAt !== null || document.hidden) return;
    startHour ??= Number.parseInt((await get(path("settings", "startOfDay"), signal).catch(() => null)) ?? "0", 10) || 0;
    const start = beginning(serverNow(), "day", startHour);
    const period = [start, shifted(start, "day", 1, startHour)];
    const { buckets } = live.status;
    const held = buckets.filter((each) => each.tail !== null && canBeQuoted(each.id));
    const chosen = held.filter((each) => endOf(each) > start.getTime() && Date.parse(each.tail.timestamp) < period[1].getTime()).sort(byKind).slice(0, CARDS_MAX);
    if (!chosen.length) {
      replace(place, held.length ? nothingToday(held) : null);
      return;
    }
    const asked = [];
    for (const bucket of chosen) {
      if (!keys.has(bucket.id)) keys.set(bucket.id, (await keysOf(bucket, [], signal))[0]);
      asked.push({ bucket: bucket.id, key: keys.get(bucket.id)[0], rules: [], afkBucket: presenceOf(bucket, buckets)?.id ?? null, limit: TOP });
    }
    const [found] = await post(withQuery("query", { text_max: 200 }), { query: glance(asked), timeperiods: [asPeriod(period)] }, signal);
    const cards = chosen.map((bucket, at) => card(bucket, keys.get(bucket.id), asked[at], found[at])).filter(Boolean);
    replace(place, h("section", { class: "today", "aria-label": "Today" }, h("h2", {}, "Today", active(chosen, found)), h("div", { class: "cards" }, cards)));
  }

  const again = () => show().catch(() => {}); // without the right to ask, or while the server is away, there is nothing to add
  const timer = setInterval(again, EVERY_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  return again;
}

const endOf = (bucket) => Date.parse(bucket.tail.timestamp) + bucket.tail.duration * 1000;
const rank = (bucket) => (FIRST.includes(bucket.type) ? FIRST.indexOf(bucket.type) : bucket.type === "afkstatus" ? 99 : 9);
const byKind = (a, b) => rank(a) - rank(b) || endOf(b) - endOf(a);

/** How long somebody was there, if a bucket knows. */
function active(chosen, found) {
  const at = chosen.findIndex((bucket) => bucket.type === "afkstatus");
  const present = at < 0 ? undefined : found[at].top.find((event) => event.data.status === "not-afk");
  return present === undefined ? null : h("span", { class: "tally" }, `${hoursAndMinutes(present.duration)} hours active`);
}

function card(bucket, [, words], asked, { total, top }) {
  if (!top.length || bucket.type === "afkstatus") return null;
  const longest = Math.max(...top.map((event) => event.duration), 1e-9);
  return h("section", { class: "card" },
    h("h3", {}, h("a", { href: `#/summary?${new URLSearchParams({ bucket: bucket.id })}` }, words === bucket.type ? stored(words) : [stored(words), h("span", { class: "away" }, " in ", stored(bucket.id))]),
      h("span", { class: "card-total" }, hours(total))),
    h("p", { class: "card-origin" }, stored(bucket.id), asked.afkBucket ? ", while not away" : ""),
    h("ol", {}, top.map((event) => {
      const value = valueWords(event.data[asked.key]);
      const bar = h("span", { class: "bar" });
      bar.style.width = `${Math.max(0.8, (event.duration / longest) * 100)}%`;
      bar.style.background = colour(value);
      return h("li", {}, stored(value, { class: "bar-name" }), h("span", { class: "bar-time" }, hours(event.duration)), h("span", { class: "bar-ground", "aria-hidden": "true" }, bar));
    })));
}

function nothingToday(held) {
  const newest = held.reduce((a, b) => (endOf(b) > endOf(a) ? b : a));
  const when = new Date(endOf(newest));
  return h("section", { class: "today", "aria-label": "Today" }, h("h2", {}, "Today"),
    h("p", { class: "quiet" }, "Nothing was recorded today. The newest event ended ", moment(when, serverNow()), ": ",
      h("a", { href: `#/summary?${new URLSearchParams({ bucket: newest.id, date: when.toISOString() })}` }, "look at that day"), "."));
}
