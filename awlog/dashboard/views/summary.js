// Summary: how long what was there, in a day, week, month or year of the browser's calendar. All of it from queries.

import { get, path, post, withQuery } from "../api.js";
import { h, replace, stored } from "../dom.js";
import { keysOf, presenceOf, valueWords } from "../grouping.js";
import { day, dayAndYear, DAY_S, hours, hoursAndMinutes, moment, time } from "../format.js";
import { live, serverNow } from "../live.js";
import { colour } from "../palette.js";
import { rulesOf, sum, totals } from "../programs.js";
import { asPeriod, beginning, cells, known, shifted } from "../ranges.js";

const PERIODS = [["day", "Day"], ["week", "Week"], ["month", "Month"], ["year", "Year"]];
const LIMIT = 25;
const TEXT_MAX = 300;

export function open(place, params) {
  const abort = new AbortController();
  new Summary(place, params, abort.signal).start();
  return () => abort.abort();
}

class Summary {
  constructor(place, params, signal) {
    this.place = place;
    this.params = params;
    this.signal = signal;
    this.period = params.get("period") ?? "day";
    if (!PERIODS.some(([name]) => name === this.period)) this.period = "day";
  }

  async start() {
    replace(this.place, h("div", { class: "view-head" }, h("h1", {}, "Summary")), h("p", { class: "quiet" }, "Loading …"));
    try {
      const [status, settings] = await Promise.all([live.status ?? get("status", this.signal), get("settings", this.signal).catch(() => ({}))]);
      this.buckets = status.buckets;
      this.rules = rulesOf(settings.classes);
      this.startHour = Number.parseInt(typeof settings.startOfDay === "string" ? settings.startOfDay : "0", 10) || 0;
    } catch (error) {
      this.fail(error);
      return;
    }
    this.build();
    await this.show();
  }

  fail(error) {
    if (error.name !== "AbortError") replace(this.place, h("div", { class: "view-head" }, h("h1", {}, "Summary")), h("p", { class: "error", role: "alert" }, error.message));
  }

  build() {
    const held = this.buckets.filter((bucket) => bucket.tail !== null);
    this.title = h("p", { class: "range", role: "status" });
    if (!held.length) {
      replace(this.place, h("div", { class: "view-head" }, h("h1", {}, "Summary")),
        h("p", { class: "notice" }, "There is nothing to sum up: no bucket holds an event. Start a watcher, or import an export on the page “Buckets”."));
      return;
    }
    const newest = held.slice().sort((a, b) => (b.type === "currentwindow") - (a.type === "currentwindow") || Date.parse(b.tail.timestamp) - Date.parse(a.tail.timestamp));
    this.bucket = held.find((bucket) => bucket.id === this.params.get("bucket")) ?? newest[0];
    const given = Date.parse(this.params.get("date") ?? "");
    this.date = Number.isNaN(given) ? serverNow() : new Date(given);

    this.periods = h("div", { class: "segments", role: "group", "aria-label": "Period" },
      PERIODS.map(([name, words]) => h("button", { type: "button", dataset: { period: name }, onclick: () => this.change({ period: name }) }, words)));
    this.bucketChoice = h("select", { id: "bucket", onchange: () => this.change({ bucket: held.find((each) => each.id === this.bucketChoice.value), key: null }) },
      held.map((bucket) => h("option", { value: bucket.id, selected: bucket.id === this.bucket.id }, bucket.id)));
    this.keyChoice = h("select", { id: "key", onchange: () => this.change({ key: this.keyChoice.value }) });
    this.present = h("input", { type: "checkbox", checked: true, onchange: () => this.show() });
    this.presentLabel = h("label", { class: "check" }, this.present, "Only while not away");
    const startHour = h("select", { id: "start-hour", onchange: () => this.setStartHour(Number(startHour.value)) },
      Array.from({ length: 24 }, (_, hour) => h("option", { value: hour, selected: hour === this.startHour }, `${String(hour).padStart(2, "0")}:00`)));
    this.result = h("div", { class: "sums" });
    replace(this.place,
      h("div", { class: "view-head" }, h("h1", {}, "Summary"), this.title),
      h("div", { class: "toolbar" }, this.periods,
        h("div", { class: "segments", role: "group", "aria-label": "Move" },
          h("button", { type: "button", "aria-label": "Earlier", onclick: () => this.move(-1) }, "←"),
          h("button", { type: "button", onclick: () => this.change({ date: serverNow() }) }, "Today"),
          h("button", { type: "button", "aria-label": "Later", onclick: () => this.move(1) }, "→"))),
      h("div", { class: "toolbar fields" },
        h("div", { class: "field" }, h("label", { htmlFor: "bucket" }, "Bucket"), this.bucketChoice),
        h("div", { class: "field" }, h("label", { htmlFor: "key" }, "By"), this.keyChoice),
        h("div", { class: "field" }, h("label", { htmlFor: "start-hour" }, "A day begins at"), startHour),
        this.presentLabel),
      this.result);
  }

  change(to) {
    Object.assign(this, to);
    return this.show();
  }

  move(by) {
    return this.change({ date: shifted(this.start, this.period, by) });
  }

  async setStartHour(hour) {
    this.startHour = hour;
    this.show();
    // Under the name that ActivityWatch's web UI uses, so that both agree.
    await post(path("settings", "startOfDay"), `${String(hour).padStart(2, "0")}:00`).catch(() => {}); // without the right to, it holds for this page
  }

  async show() {
    if (this.result === undefined) return;
    const turn = (this.turn = Symbol(this.period));
    this.start = beginning(this.date, this.period, this.startHour);
    this.end = shifted(this.start, this.period, 1, this.startHour);
    replace(this.title, this.told());
    for (const button of this.periods.children) button.setAttribute("aria-pressed", String(button.dataset.period === this.period));
    this.place.dataset.settled = "";
    try {
      const keys = await keysOf(this.bucket, this.rules, this.signal);
      if (turn !== this.turn) return;
      if (!keys.some(([key]) => key === this.key)) this.key = keys[0][0];
      replace(this.keyChoice, keys.map(([key, words]) => h("option", { value: key, selected: key === this.key }, words)));
      const afk = presenceOf(this.bucket, this.buckets);
      this.presentLabel.hidden = afk === null;
      const asked = { bucket: this.bucket.id, key: this.key, rules: this.rules, afkBucket: afk !== null && this.present.checked ? afk.id : null, limit: LIMIT };
      const parts = cells(this.start, this.period, this.startHour);
      const [[answer], sums] = await Promise.all([
        post(withQuery("query", { text_max: TEXT_MAX }), { query: totals(asked), timeperiods: [asPeriod([this.start, this.end])] }, this.signal),
        post("query", { query: sum(asked), timeperiods: parts.map(asPeriod) }, this.signal),
      ]);
      if (turn !== this.turn) return;
      history.replaceState(null, "", `#/summary?${new URLSearchParams({ bucket: this.bucket.id, period: this.period, date: this.start.toISOString() })}`);
      if (answer.total === 0 && answer.top.length === 0) replace(this.result, await this.nothing(asked));
      else replace(this.result, this.total(answer, asked), this.bars(answer, asked), this.map(parts, sums));
      this.place.dataset.settled = "yes";
    } catch (error) {
      if (error.name !== "AbortError" && turn === this.turn) replace(this.result, h("p", { class: "error", role: "alert" }, error.message));
    }
  }

  told() {
    if (this.period === "day") return dayAndYear(this.start);
    if (this.period === "year") return String(this.start.getFullYear());
    if (this.period === "month") return this.start.toLocaleDateString(undefined, { month: "long", year: "numeric" });
    return `${day(this.start)} – ${dayAndYear(new Date(this.end - DAY_S * 500))}`;
  }

  total(answer, asked) {
    return h("p", { class: "total" }, h("strong", {}, hours(answer.total)), ` hours in `, stored(this.bucket.id), asked.afkBucket ? " while not away" : "");
  }

  bars(answer, asked) {
    const longest = Math.max(...answer.top.map((event) => event.duration), 1);
    const rows = answer.top.map((event, at) => {
      const value = event.data[this.key];
      const name = valueWords(value);
      const bar = h("span", { class: "bar" });
      bar.style.width = `${Math.max(0.4, (event.duration / longest) * 100)}%`;
      bar.style.background = colour(Array.isArray(value) ? value[0] : name);
      const isCut = [value].flat().some((each) => typeof each === "string" && each.length === TEXT_MAX && each.endsWith("…"));
      const whole = isCut ? h("button", { type: "button", class: "plain link", "aria-label": "The whole text", onclick: () => this.showWhole(asked, at) }, "whole text") : null;
      return h("li", {}, h("span", { class: "bar-name" }, stored(name), whole), h("span", { class: "bar-time" }, hours(event.duration)),
        h("span", { class: "bar-share quiet" }, `${Math.round((event.duration / Math.max(answer.total, 1e-9)) * 100)} %`), h("span", { class: "bar-ground", "aria-hidden": "true" }, bar));
    });
    return h("section", { class: "ranking" }, h("h2", {}, answer.top.length === LIMIT ? `The longest ${LIMIT}` : "All of it"), h("ol", {}, rows));
  }

  /** A name that was too long to be sent, in a window of its own. */
  async showWhole(asked, at) {
    const text = h("pre", { class: "json", tabIndex: 0 }, "Loading …");
    const dialog = h("dialog", { "aria-labelledby": "whole-title" }, h("h2", { id: "whole-title" }, "The whole text"), text,
      h("form", { method: "dialog", class: "actions" }, h("button", {}, "Close")));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    try {
      const [{ top }] = await post("query", { query: totals({ ...asked, limit: at + 1 }), timeperiods: [asPeriod([this.start, this.end])] }, this.signal);
      replace(text, stored(valueWords(top[at]?.data[asked.key])));
    } catch (error) {
      replace(text, error.message);
    }
  }

  /** The period in cells: hours of a day, days of a week or month; a year by weekday and week. */
  map(parts, sums) {
    const most = Math.max(...sums, 1);
    const level = (at) => (sums[at] === 0 ? 0 : Math.ceil((sums[at] / most) * 5));
    const isYear = this.period === "year";
    const say = this.period === "day" ? ([start]) => time(start) : ([start]) => day(start);
    const cellOf = (part, at) => {
      const words = this.period === "month" ? String(part[0].getDate()) : say(part);
      const amount = sums[at] ? hoursAndMinutes(sums[at]) : "";
      return h("td", { title: `${say(part)}: ${hours(sums[at])}`, dataset: { level: level(at) } },
        isYear ? h("span", { class: "away" }, `${words} ${amount}`) : [h("span", {}, words), " ", h("span", { class: "amount" }, amount)]);
    };
    const blanks = this.period === "month" || isYear ? (this.start.getDay() + 6) % 7 : 0;
    const all = [...Array.from({ length: blanks }, () => h("td", { class: "blank" })), ...parts.map(cellOf)];
    const width = { day: 6, week: 7, month: 7 }[this.period];
    const rows = isYear
      ? Array.from({ length: 7 }, (_, weekday) => all.filter((_cell, at) => at % 7 === weekday))
      : Array.from({ length: Math.ceil(all.length / width) }, (_, row) => all.slice(row * width, (row + 1) * width));
    return h("section", { class: `when when-${this.period}` }, h("h2", {}, "When"),
      h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "When" },
        h("table", { class: `heat heat-${this.period}` }, isYear ? monthNames(parts, blanks) : null, h("tbody", {}, rows.map((row) => h("tr", {}, row))))));
  }

  /** Why there is nothing, and where the nearest thing is. */
  async nothing(asked) {
    const events = path("buckets", this.bucket.id, "events");
    const range = { start: known(this.start), end: known(this.end) };
    const inRange = await get(withQuery(`${events}/count`, range), this.signal);
    if (inRange > 0 && asked.afkBucket) {
      return h("div", { class: "notice" }, h("p", {}, `The bucket holds ${inRange} events in this range, but nobody was there: `, stored(asked.afkBucket), " says “not-afk” at none of these times."),
        h("p", { class: "actions" }, h("button", { type: "button", onclick: () => { this.present.checked = false; this.show(); } }, "Show them all the same")));
    }
    if (inRange > 0) return h("p", { class: "notice" }, `The bucket holds ${inRange} events in this range, and all of them are without length.`);
    const before = await get(withQuery(events, { end: range.start, limit: 1, text_max: 1 }), this.signal);
    const first = this.bucket.start === null ? null : new Date(this.bucket.start);
    const nearest = before.length ? new Date(before[0].timestamp) : first;
    return h("div", { class: "notice" }, h("p", {}, "Nothing was recorded into ", stored(this.bucket.id), " in this range."),
      nearest === null ? null : h("p", { class: "actions" }, h("button", { type: "button", onclick: () => this.change({ date: nearest }) }, `Go to the nearest: ${moment(nearest)}`)));
  }
}

/** Above the week in which each month begins. */
function monthNames(parts, blanks) {
  const weeks = Math.ceil((parts.length + blanks) / 7);
  const names = Array.from({ length: weeks }, () => "");
  parts.forEach(([start], at) => {
    if (start.getDate() === 1) names[Math.floor((at + blanks) / 7)] = start.toLocaleDateString(undefined, { month: "short" });
  });
  return h("thead", { "aria-hidden": "true" }, h("tr", {}, names.map((name) => h("td", { class: "month" }, h("span", {}, name)))));
}
