// The newest events of one bucket in a range, as a table that can be searched and saved: for readers, for keyboards, and to find a title.

import { download, get, path, post, withQuery } from "./api.js";
import { h, replace, setText, stored } from "./dom.js";
import { moment, plural, span } from "./format.js";
import { canBeQuoted, search } from "./programs.js";

const LISTED_MAX = 50;
const TEXT_MAX = 400;
const TYPED_MS = 300;
const SEARCHED_KEYS_MAX = 12;

export class EventList {
  /** `openOne(bucketId, eventId)` shows an event, `jumpTo(date)` another range. */
  constructor({ openOne, jumpTo, signal }) {
    this.openOne = openOne;
    this.jumpTo = jumpTo;
    this.signal = signal;
    this.bucket = null;
    this.keys = new Set();
    this.title = h("h2", {});
    this.about = h("p", { class: "quiet" });
    this.sought = h("input", { type: "search", id: "sought", autocomplete: "off", spellcheck: false, oninput: () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.list(), TYPED_MS);
    } });
    const save = (form, words) => h("button", { type: "button", onclick: () => this.save(form) }, words);
    this.tools = h("div", { class: "toolbar fields" },
      h("div", { class: "field beside" }, h("label", { htmlFor: "sought" }, "Find in this range"), this.sought),
      h("span", { class: "spring" }),
      h("div", { class: "field beside" }, h("span", { class: "quiet" }, "Save this range as"),
        h("div", { class: "segments", role: "group", "aria-label": "Save this range as" }, save("csv", "CSV"), save("json", "JSON"))));
    this.rows = h("div", { class: "rows" });
    this.node = h("section", { class: "listed", "aria-label": "Events of the chosen bucket", hidden: true }, this.title, this.about, this.tools, this.rows);
  }

  /** Lists what `bucket`, of the status, holds from `begin` to `end`, in ms. */
  show(bucket, begin, end) {
    if (bucket.id !== this.bucket?.id) {
      this.keys.clear();
      this.sought.value = "";
    }
    [this.bucket, this.begin, this.end] = [bucket, begin, end];
    this.node.hidden = false;
    replace(this.title, "Events of ", stored(bucket.id));
    setText(this.about, bucket.tail === null ? "" : `${plural(bucket.events, "event")} in all, from ${moment(new Date(bucket.start))} to ${moment(new Date(endOf(bucket)))}`);
    return this.list();
  }

  /** Something was recorded, or the time went on: unless somebody is at work in the table. */
  renew(bucket, begin, end) {
    if (this.node.contains(document.activeElement) && document.activeElement !== document.body) return;
    this.show(bucket, begin, end);
  }

  async list() {
    const { bucket } = this;
    const words = this.sought.value.trim();
    const turn = (this.turn = Symbol(bucket.id));
    try {
      const events = words === "" ? await get(this.address({ limit: LISTED_MAX, text_max: TEXT_MAX }), this.signal) : await this.find(words);
      if (turn !== this.turn) return;
      for (const event of events.slice(0, 5)) for (const [key, value] of Object.entries(event.data)) if (typeof value === "string" && canBeQuoted(key)) this.keys.add(key);
      const content = events.length ? this.table(events, words) : words === "" ? await this.nothingHere() : h("p", { class: "quiet" }, "Nothing in this range holds that text. ", h("button", { type: "button", onclick: () => this.forget() }, "Show all"));
      if (turn === this.turn) replace(this.rows, content);
    } catch (error) {
      if (error.name !== "AbortError" && turn === this.turn) replace(this.rows, h("p", { class: "error", role: "alert" }, error.message));
    }
  }

  forget() {
    this.sought.value = "";
    this.sought.focus();
    this.list();
  }

  address(values) {
    return withQuery(path("buckets", this.bucket.id, "events"), { start: new Date(this.begin).toISOString(), end: new Date(this.end).toISOString(), ...values });
  }

  /** The newest that hold these words under any key that was seen; found under two keys, an event is still one. */
  async find(words) {
    const keys = [...this.keys].slice(0, SEARCHED_KEYS_MAX);
    if (!keys.length) return [];
    const period = `${new Date(this.begin).toISOString()}/${new Date(this.end).toISOString()}`;
    const [found] = await post(withQuery("query", { text_max: TEXT_MAX }), { query: search(this.bucket.id, keys, words, LISTED_MAX), timeperiods: [period] }, this.signal);
    const byId = new Map(found.flat().map((event) => [event.id, event]));
    return [...byId.values()].sort((a, b) => Date.parse(b.timestamp) - Date.parse(a.timestamp)).slice(0, LISTED_MAX);
  }

  table(events, words) {
    const all = events.length < LISTED_MAX;
    return [h("p", { class: "quiet", role: "status" }, `${all ? plural(events.length, "event") : `The newest ${LISTED_MAX}`}${words === "" ? "" : " with this text"} in this range`),
      h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Events" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Start"), h("th", { scope: "col", class: "number" }, "Lasts"), h("th", { scope: "col" }, "Data"))),
        h("tbody", {}, events.map((event) => h("tr", {},
          h("td", {}, h("button", { type: "button", class: "plain link", onclick: () => this.openOne(this.bucket.id, event.id) }, moment(new Date(event.timestamp)))),
          h("td", { class: "number" }, span(event.duration)),
          h("td", { class: "data" }, stored(Object.entries(event.data).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(" · ").slice(0, TEXT_MAX))))))))];
  }

  async nothingHere() {
    const { bucket } = this;
    if (bucket.tail === null) return h("p", { class: "quiet" }, "The bucket is empty: nothing was ever recorded into it, or all was deleted.");
    const earlier = await get(withQuery(path("buckets", bucket.id, "events"), { end: new Date(this.begin).toISOString(), limit: 1, text_max: 1 }), this.signal).catch(() => []);
    const nearest = earlier.length ? new Date(earlier[0].timestamp) : new Date(bucket.start);
    return h("p", { class: "quiet" }, "Nothing was recorded in this range. ",
      h("button", { type: "button", onclick: () => this.jumpTo(nearest) }, `Go to the nearest event: ${moment(nearest)}`));
  }

  save(form) {
    const name = `${this.bucket.id}.${form}`;
    download(this.address(form === "csv" ? { format: form, spreadsheet: 1 } : { format: form }), name).catch((error) => replace(this.rows, h("p", { class: "error", role: "alert" }, error.message)));
  }
}

export const endOf = (bucket) => Date.parse(bucket.tail.timestamp) + bucket.tail.duration * 1000;
