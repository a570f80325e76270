// Now: is it recording? Stopped watchers first, each bucket with what it holds at this moment.

import { get, hasToken, withQuery } from "../api.js";
import { h, replace, setText, stored, svg } from "../dom.js";
import { bytes, count, DAY_S, hours, moment, plural, rate, span } from "../format.js";
import { follow, live, serverNow } from "../live.js";
import { judge, STATES } from "../rhythm.js";
import { showRefused } from "./refused.js";
import { showToday } from "./today.js";

const SPARK_BINS = 96;
const SPARK_EVERY_MS = 60_000;
const SPARK_HEIGHT = 28;
const wait = (seconds) => (seconds < 1 ? `${Number((seconds * 1000).toPrecision(2))} ms` : `${seconds} s`);

export function open(place) {
  const headline = h("h1", {}, "…");
  const sentence = h("p", { class: "lede" }, "Asking the server what it records.");
  const tiles = makeTiles();
  const list = h("div", { class: "buckets" });
  const past = h("div", { class: "buckets" });
  const today = h("div", {});
  const refused = h("div", {});
  const start = h("div", {});
  replace(place, h("section", { class: "hero", "aria-live": "off" }, headline, sentence), start, tiles.node, list, today, past, refused);

  const abort = new AbortController();
  const renewToday = showToday(today, abort.signal);
  const renewRefused = showRefused(refused, abort.signal);
  const rows = new Map();
  let days = {};
  let hasShown = false;

  async function loadDays() {
    const end = serverNow();
    const start = new Date(end - DAY_S * 1000);
    try {
      days = (await get(withQuery("timeline", { start: start.toISOString(), end: end.toISOString(), bins: SPARK_BINS }))).buckets;
    } catch {
      return; // told by the state of the connection
    }
    for (const [id, row] of rows) row.showDay(days[id]);
  }

  function show() {
    if (live.status === null) {
      if (live.lostAt === null) return; // the first answer is on its way, or waits for a token
      tiles.node.forEach((node) => (node.hidden = true));
      setText(headline, live.refusal === null ? "Not reachable" : hasToken() ? "Not for this token" : "A token is needed");
      setText(sentence, live.refusal ?? "The server does not answer. This page tries again by itself.");
      return;
    }
    const nowMs = serverNow().getTime();
    const judged = live.status.buckets.map((bucket) => ({ bucket, ...judge(bucket, nowMs) }));
    const [title, words] = live.lostAt === null ? told(judged) : ["Not reachable", "What is shown is the last that was heard of the server. This page tries again by itself."];
    setText(headline, title);
    setText(sentence, words);
    place.dataset.state = live.lostAt === null ? overall(judged) : "lost";
    tiles.show(live.status);
    tiles.node.forEach((node) => (node.hidden = !judged.length));
    if (!judged.length !== Boolean(start.childElementCount)) replace(start, judged.length ? null : firstSteps());
    for (const id of rows.keys()) if (!judged.some((each) => each.bucket.id === id)) rows.delete(id);
    const isActive = ({ state }) => STATES[state].order < STATES.past.order;
    const [active, quiet] = [judged.filter(isActive), judged.filter((each) => !isActive(each))];
    const moved = [arrange(list, rows, active, true), arrange(past, rows, quiet, !active.length)];
    if (moved.some(Boolean)) for (const [id, row] of rows) row.showDay(days[id]);
    for (const each of judged) rows.get(each.bucket.id).show(each);
    renewRefused(live.status);
    if (!hasShown) renewToday();
    hasShown = true;
  }

  const unfollow = follow(show);
  const timer = setInterval(loadDays, SPARK_EVERY_MS);
  loadDays();
  return () => {
    abort.abort();
    unfollow();
    clearInterval(timer);
  };
}

function overall(judged) {
  const states = new Set(judged.map((each) => each.state));
  if (states.has("stopped")) return "stopped";
  if (states.has("late")) return "late";
  return states.has("recording") ? "recording" : "idle";
}

/** The answer to "is it recording?" in two sentences. */
function told(judged) {
  const of = (state) => judged.filter((each) => each.state === state);
  const recording = of("recording");
  const late = of("late");
  const halted = of("stopped");
  if (judged.length === 0) return ["Nothing yet", "The server is ready and waits for its first event."];
  const newest = Math.min(...judged.filter((each) => each.sinceMs !== null).map((each) => each.ageS));
  const active = judged.length - of("past").length - of("empty").length;
  const latest = Number.isFinite(newest) ? ` The newest event ended ${span(newest)} ago.` : "";
  if (halted.length) return [recording.length ? `${plural(halted.length, "watcher has stopped", "watchers have stopped")}` : "Not recording", `${recording.length} of ${plural(active, "watcher")} ${recording.length === 1 ? "is" : "are"} recording.${latest}`];
  if (late.length) return ["Recording, partly late", `${plural(late.length, "watcher is", "watchers are")} silent for longer than usual.${latest}`];
  if (recording.length) return ["Recording", `${active === 1 ? "The one watcher" : `All ${active} watchers`} that ${active === 1 ? "was" : "were"} active lately ${active === 1 ? "is" : "are"} heard of as often as usual.${latest}`];
  return ["Quiet", `Nothing was recorded in the last two weeks.${latest}`];
}

function makeTiles() {
  const tile = (name) => {
    const value = h("dd", { class: "figure" }, "–");
    const note = h("dd", { class: "note" });
    return { name, value, note, node: h("div", {}, h("dt", {}, name), value, note) };
  };
  const writes = tile("Writes per second");
  const chart = svg("svg", { class: "pulse", viewBox: "0 0 90 20", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("path", { d: "" }));
  writes.node.append(h("dd", { class: "chart" }, chart));
  const durable = tile("Last write on disk");
  const waits = tile("Half answered within");
  const events = tile("Events");
  const disk = tile("Room taken");
  const all = [writes, waits, durable, events, disk];
  const outcomes = h("p", { class: "outcomes quiet" });
  return {
    node: [h("dl", { class: "tiles" }, all.map((each) => each.node)), outcomes],
    show(status) {
      const nowMs = serverNow().getTime();
      setText(writes.value, live.rates.length ? rate(live.rates.at(-1)) : "–");
      // What is of the whole server is not told to who may read some buckets only.
      for (const each of [writes, waits, durable, disk, { node: outcomes }]) each.node.hidden = status.commits === null;
      setText(events.value, count(status.events));
      setText(events.note, `in ${plural(status.buckets.length, "bucket")}`);
      if (status.commits === null) return;
      setText(writes.note, status.busiest_second ? `${count(status.busiest_second)} in the busiest second` : "none since the start");
      drawRates(chart.firstChild);
      const { commits, waits: { p50, p99 } } = status;
      setText(waits.value, p50 === null ? "–" : wait(p50));
      setText(waits.note, p50 === null ? "none in the last 5 minutes" : `99 of 100 within ${wait(p99)}`);
      setText(durable.value, commits.at === null ? "all" : `${span((nowMs - Date.parse(commits.at)) / 1000)} ago`);
      durable.node.dataset.state = commits.is_writable ? "good" : "bad";
      setText(durable.note, !commits.is_writable ? "the disk refuses writes" : commits.at === null ? "nothing written since the start" : `synced in ${wait(commits.seconds)}`);
      setText(disk.value, bytes(status.disk.file_bytes));
      setText(disk.note, `${bytes(status.disk.free_bytes)} free`);
      setText(outcomes, outcomesOf(status, nowMs));
    },
  };
}

/** What became of what was sent since the start: watchers that send nonsense are seen here. */
function outcomesOf({ heartbeats, refused, uptime }, nowMs) {
  const { merged, inserted, unchanged } = heartbeats;
  const taken = merged + inserted + unchanged;
  const running = `Running for ${span(uptime)}, since ${moment(new Date(nowMs - uptime * 1000), new Date(nowMs))}. `;
  const beats = running + (taken ? `${plural(taken, "heartbeat")} since the start: ${count(merged)} continued an event, ${count(inserted)} began one, ${count(unchanged)} changed nothing.` : "No heartbeat since the start.");
  const kinds = Object.entries(refused).sort(([, a], [, b]) => b - a);
  const total = kinds.reduce((sum, [, times]) => sum + times, 0);
  return total ? `${beats} ${plural(total, "request was", "requests were")} refused: ${kinds.map(([kind, times]) => `${count(times)} ${kind}`).join(", ")}.` : beats;
}

function drawRates(path) {
  const top = Math.max(1, ...live.rates);
  const first = 90 - live.rates.length;
  path.setAttribute("d", live.rates.map((value, at) => `M${first + at} 20v${-Math.max(value > 0 ? 1 : 0, (value / top) * 20)}h.7V20z`).join(""));
}

/** Puts the rows under the headings of their states; true if any row is new or moved. */
function arrange(list, rows, judged, hasColumns) {
  const wanted = judged.slice().sort((a, b) => STATES[a.state].order - STATES[b.state].order);
  const key = [hasColumns, ...wanted.map((each) => `${each.state} ${each.bucket.id}`)].join("\n");
  if (list.dataset.key === key) return false;
  list.dataset.key = key;
  const focused = document.activeElement?.closest?.("[data-bucket]")?.dataset.bucket;
  const groups = [];
  for (const state of Object.keys(STATES).sort((a, b) => STATES[a].order - STATES[b].order)) {
    const members = wanted.filter((each) => each.state === state);
    if (!members.length) continue;
    groups.push(h("section", { class: "group", dataset: { state } },
      h("h2", {}, STATES[state].words, h("span", { class: "tally" }, count(members.length))),
      h("ul", {}, members.map(({ bucket }) => {
        if (!rows.has(bucket.id)) rows.set(bucket.id, makeRow(bucket));
        return rows.get(bucket.id).node;
      }))));
  }
  replace(list, hasColumns && wanted.some((each) => each.state !== "empty") ? columns() : null, groups);
  if (focused !== undefined) rows.get(focused)?.node.querySelector("a").focus();
  return true;
}

/** What stands under each other: seen, and said by the words in each row. */
const columns = () => h("p", { class: "columns", "aria-hidden": "true" }, ["", "newest event", "ended", "a minute", "last 24 hours"].map((words) => h("span", {}, words)));

/** For whoever has just started it. */
const firstSteps = () => h("section", { class: "notice first" },
  h("p", {}, "Three ways to begin:"),
  h("ul", {},
    h("li", {}, "Start a watcher of ActivityWatch. It looks for a server at port 5600, or 5666 in testing mode; this one is at ", h("code", {}, location.host), "."),
    h("li", {}, "Bring what is there already: ", h("code", {}, "awlog import --from-activitywatch"), ", or drop an export on the page ", h("a", { href: "#/buckets" }, "Buckets"), "."),
    h("li", {}, "Send something yourself: the ", h("a", { href: new URL("../docs/api/", import.meta.url).href }, "manual"), " shows how."))); // as this page links to it

function makeRow(bucket) {
  const name = stored("", { class: "value-name" });
  const detail = stored("", { class: "value-detail" });
  const age = h("span", { class: "age" });
  const perMinute = h("span", { class: "per-minute" });
  const day = h("span", { class: "day" });
  const node = h("li", { dataset: { bucket: bucket.id } },
    h("a", { href: `#/timeline?${new URLSearchParams({ bucket: bucket.id })}`, class: "bucket-id" }, h("span", { class: "lamp", "aria-hidden": "true" }), stored(bucket.id)),
    stored([bucket.type, bucket.hostname].filter(Boolean).join(" · "), { class: "origin" }),
    h("span", { class: "value" }, name, detail), age, perMinute, day);
  return {
    node,
    show({ bucket: current, state, ageS, sinceMs }) {
      node.dataset.state = state;
      setText(name, current.tail?.name ?? "no events");
      setText(detail, current.tail?.detail ?? "");
      const since = sinceMs === null ? "" : moment(new Date(sinceMs), serverNow());
      setText(age, state === "empty" ? "" : state === "stopped" || state === "past" ? `since ${since} (${span(ageS)})` : `${span(ageS)} ago`);
      setText(perMinute, state === "empty" || state === "past" ? "" : `${rate(current.events_per_minute)}/min`);
    },
    showDay(picture) {
      if (picture !== undefined) replace(day, drawDay(picture));
    },
  };
}

/** 24 hours: how much of each quarter was covered; where nothing was, the line is bare. */
function drawDay(picture) {
  const covered = picture.bins?.covered_s ?? [];
  const counts = picture.bins?.count ?? [];
  const binS = DAY_S / SPARK_BINS;
  let d = "";
  let sum = 0;
  covered.forEach((seconds, at) => {
    sum += seconds;
    if (!seconds && !counts[at]) return;
    const height = Math.max(3, Math.min(1, seconds / binS) * (SPARK_HEIGHT - 2));
    d += `M${at} ${SPARK_HEIGHT - 1}v${-height.toFixed(1)}h1V${SPARK_HEIGHT - 1}z`;
  });
  const says = picture.events ? `last 24 hours: ${plural(picture.events, "event")}, ${hours(sum)} hours covered` : "last 24 hours: nothing";
  return svg("svg", { class: "spark", viewBox: `0 0 ${SPARK_BINS} ${SPARK_HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": says },
    svg("path", { class: "ground", d: `M0 ${SPARK_HEIGHT - 0.5}H${SPARK_BINS}` }), svg("path", { class: "covered", d }));
}
