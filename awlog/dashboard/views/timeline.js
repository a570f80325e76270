// Timeline: all buckets over any range. The server draws nothing and sends no more than the screen can show: pictures of ranges,
// with bars for few events and bins for many. While a sharper picture is on its way the last one is stretched.

import { get, path, withQuery } from "../api.js";
import { h, replace, setText, stored } from "../dom.js";
import { count, dateAndTime, DAY_S, dayAndYear, hours, HOUR_S, MINUTE_S, moment, plural, span, time, timeWithSeconds } from "../format.js";
import { follow, live, serverNow } from "../live.js";
import { openEvent } from "../event-dialog.js";
import { EventList } from "../event-list.js";
import { colour, isDark, onScheme } from "../palette.js";
import { drawAxis } from "../axis.js";
import { sized } from "../canvas.js";
import { FIRST_MS, LAST_MS } from "../ranges.js";

const TRACK_HEIGHT = 40;
const SPAN_MIN_MS = 10_000;
const SPAN_MAX_MS = LAST_MS - FIRST_MS;
// Rows that are drawn and fetched at once; the others when they come into sight.
const ROWS_AT_ONCE = 12;
// What is fetched reaches beyond the screen by this share on each side, so that a small pan shows no edge.
const MARGIN = 0.5;
const SETTLE_MS = 90;
const RENEW_MS = 10_000;
const TAIL_MS = 2_000;
const TIP_TEXT_MAX = 300;
const SPANS = [["15 min", 15 * MINUTE_S], ["Hour", HOUR_S], ["Day", DAY_S], ["Week", 7 * DAY_S], ["Month", 30 * DAY_S], ["Year", 365 * DAY_S]];

export function open(place, params) {
  return new Timeline(place, params).start();
}

class Timeline {
  constructor(place, params) {
    this.place = place;
    const end = Date.parse(params.get("end") ?? "") || serverNow().getTime();
    this.limitRange(Date.parse(params.get("start") ?? "") || end - DAY_S * 1000, end);
    this.selected = params.get("bucket");
    this.rows = [];
    this.turn = 0;
    this.abort = new AbortController();
    this.cleanups = [];
    this.frames = []; // durations of the last frames' work, in ms: the tests look at them
    place.timeline = this;
  }

  start() {
    this.build();
    if (this.selected !== null) this.ahead = this.asked(this.selected); // beside the list of buckets, which is needed to draw it
    this.load();
    return () => {
      this.abort.abort();
      clearTimeout(this.settling);
      cancelAnimationFrame(this.drawing);
      this.watching?.disconnect();
      for (const cleanup of this.cleanups) cleanup();
    };
  }

  build() {
    this.title = h("p", { class: "range", role: "status" });
    this.axis = h("canvas", { class: "axis", "aria-hidden": "true" });
    this.list = h("ul", {});
    this.tip = h("div", { class: "tip", hidden: true });
    this.tracks = h("div", { class: "tracks", tabIndex: 0, role: "group", "aria-label": "Timeline. Left and right move, plus and minus zoom, up and down choose a bucket, N and P step through its events, Enter opens one.", "aria-describedby": "chosen" },
      this.axis, this.list, this.tip);
    this.chosen = h("p", { class: "away", id: "chosen", role: "status" });
    this.spans = h("div", { class: "segments", role: "group", "aria-label": "Length of the range" },
      SPANS.map(([name, seconds]) => h("button", { type: "button", dataset: { seconds }, onclick: () => this.showSpan(seconds) }, name)),
      h("button", { type: "button", onclick: () => this.showAll() }, "All"));
    this.jump = h("input", { type: "datetime-local", id: "jump", onchange: () => this.jumpTo(this.jump.value) });
    this.events = new EventList({ openOne: (...which) => this.openOne(...which), jumpTo: (date) => this.jumpTo(date), signal: this.abort.signal });
    replace(this.place,
      h("div", { class: "view-head" }, h("h1", {}, "Timeline"), this.title),
      h("div", { class: "toolbar" }, this.spans,
        h("div", { class: "segments", role: "group", "aria-label": "Move" },
          h("button", { type: "button", "aria-label": "Earlier", onclick: () => this.pan(-0.8) }, "←"),
          h("button", { type: "button", onclick: () => this.showNow() }, "Now"),
          h("button", { type: "button", "aria-label": "Later", onclick: () => this.pan(0.8) }, "→")),
        h("div", { class: "segments", role: "group", "aria-label": "Zoom" },
          h("button", { type: "button", "aria-label": "Zoom out", onclick: () => this.zoom(2) }, "−"),
          h("button", { type: "button", "aria-label": "Zoom in", onclick: () => this.zoom(0.5) }, "+")),
        h("div", { class: "field beside" }, h("label", { htmlFor: "jump" }, "Go to"), this.jump)),
      this.tracks, this.chosen,
      h("p", { class: "hint quiet" }, "Drag to move, pinch or Ctrl + wheel to zoom, click an event to open it."),
      this.events.node);
    this.listen();
  }

  async load() {
    try {
      const status = live.status ?? (await get("status", this.abort.signal));
      this.setBuckets(status.buckets);
    } catch (error) {
      if (error.name !== "AbortError") replace(this.list, h("li", { class: "error" }, error.message));
      return;
    }
    this.draw();
    this.settled();
    const renewing = setInterval(() => this.renew(), RENEW_MS);
    this.cleanups.push(() => clearInterval(renewing), follow(() => this.tailed()));
  }

  /** While the present is on the screen, what comes in is drawn too. */
  renew() {
    const now = serverNow().getTime();
    if (document.hidden || now < this.begin || now > this.end + 3 * RENEW_MS) return;
    if (this.end - now < RENEW_MS) {
      const by = now - this.end;
      this.begin += by;
      this.end += by;
    }
    for (const row of this.rows) row.bucket = live.status?.buckets.find((each) => each.id === row.bucket.id) ?? row.bucket;
    this.draw();
    this.fetchPictures();
  }

  setBuckets(buckets) {
    this.buckets = buckets;
    if (!buckets.length) {
      replace(this.list, h("li", { class: "notice" }, "There is no bucket yet. Start a watcher, or import an export on the page “Buckets”."));
      return;
    }
    const newest = (bucket) => (bucket.tail === null ? -Infinity : Date.parse(bucket.tail.timestamp));
    const ordered = buckets.slice().sort((a, b) => (b.id === this.selected) - (a.id === this.selected) || newest(b) - newest(a));
    this.selected ??= ordered[0].id;
    this.rows = ordered.map((bucket, at) => {
      const canvas = h("canvas", { "aria-hidden": "true" });
      const says = h("span", { class: "says quiet" });
      const name = h("button", { type: "button", class: "plain track-name", onclick: () => this.select(bucket.id) }, stored(bucket.id));
      const node = h("li", { dataset: { bucket: bucket.id } }, h("div", { class: "track-head" }, name, says), canvas);
      return { bucket, canvas, node, says, name, pictures: [], visible: at < ROWS_AT_ONCE };
    });
    replace(this.list, this.rows.map((row) => row.node));
    this.watching?.disconnect();
    const watching = (this.watching = new IntersectionObserver((entries) => {
      const appeared = [];
      for (const entry of entries) {
        const row = this.rows.find((each) => each.node === entry.target);
        if (row === undefined) continue;
        if (entry.isIntersecting && !row.visible) appeared.push(row);
        row.visible = entry.isIntersecting;
      }
      if (appeared.length) this.moved();
    }, { rootMargin: "100px" }));
    for (const row of this.rows) watching.observe(row.node);
    this.select(this.selected, false);
  }

  // The range

  setRange(begin, end) {
    this.limitRange(begin, end);
    this.moved();
  }

  /** No shorter, longer, earlier or later than can be shown. */
  limitRange(begin, end) {
    const length = Math.min(SPAN_MAX_MS, Math.max(SPAN_MIN_MS, end - begin));
    this.begin = Math.min(LAST_MS - length, Math.max(FIRST_MS, (begin + end - length) / 2));
    this.end = this.begin + length;
  }

  pan(share) {
    const by = (this.end - this.begin) * share;
    this.setRange(this.begin + by, this.end + by);
  }

  /** By a factor, around an instant. */
  zoom(factor, around = (this.begin + this.end) / 2) {
    this.setRange(around - (around - this.begin) * factor, around + (this.end - around) * factor);
  }

  showSpan(seconds) {
    const now = serverNow().getTime();
    const sees = now >= this.begin && now <= this.end + 3 * RENEW_MS; // a page that was opened a moment ago shows the present still
    const end = sees ? now : (this.begin + this.end) / 2 + seconds * 500;
    this.setRange(end - seconds * 1000, end);
  }

  showNow() {
    const now = serverNow().getTime();
    this.setRange(now - (this.end - this.begin), now);
  }

  showAll() {
    const starts = this.buckets.filter((bucket) => bucket.start !== null).map((bucket) => Date.parse(bucket.start));
    if (!starts.length) return;
    const ends = this.buckets.filter((bucket) => bucket.tail !== null).map((bucket) => Date.parse(bucket.tail.timestamp) + bucket.tail.duration * 1000);
    const [first, last] = [Math.min(...starts), Math.max(...ends)];
    const edge = Math.max(5000, (last - first) * 0.01);
    this.setRange(first - edge, last + edge);
  }

  jumpTo(text) {
    const at = new Date(text).getTime();
    if (Number.isFinite(at)) this.setRange(at - (this.end - this.begin) / 2, at + (this.end - this.begin) / 2);
  }

  moved() {
    this.draw();
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.settled(), SETTLE_MS);
  }

  settled() {
    const [start, end] = [new Date(this.begin).toISOString(), new Date(this.end).toISOString()];
    const chosen = this.selected === null ? {} : { bucket: this.selected };
    history.replaceState(null, "", `#/timeline?${new URLSearchParams({ ...chosen, start, end })}`);
    const seconds = Math.round((this.end - this.begin) / 1000);
    for (const button of this.spans.children) button.setAttribute("aria-pressed", String(Math.abs(Number(button.dataset.seconds) - seconds) <= 1));
    this.fetchPictures();
    this.listEvents();
  }

  // Pictures

  pictureAddress(bucketId) {
    const length = this.end - this.begin;
    const begin = Math.max(FIRST_MS, this.begin - length * MARGIN);
    const end = Math.min(LAST_MS, this.end + length * MARGIN);
    const width = this.list.clientWidth || 1000;
    const bins = Math.min(2000, Math.max(60, Math.round(((end - begin) / length) * width * 0.5)));
    return withQuery(`${path("buckets", bucketId)}/timeline`, { start: new Date(begin).toISOString(), end: new Date(end).toISOString(), bins });
  }

  /** A picture that is on its way; null if it does not come, so that it is asked for again. */
  asked(bucketId) {
    const address = this.pictureAddress(bucketId);
    return { address, answer: get(address, this.abort.signal).catch(() => null) };
  }

  async fetchPictures() {
    const turn = (this.turn += 1);
    this.fetching?.abort();
    this.fetching = new AbortController();
    const signal = AbortSignal.any([this.abort.signal, this.fetching.signal]);
    const wanted = this.rows.filter((row) => row.visible && row.bucket.events > 0);
    for (const row of this.rows) if (row.bucket.events === 0) setText(row.says, "no events");
    const fetchOne = async (row) => {
      const address = this.pictureAddress(row.bucket.id);
      const ahead = this.ahead?.address === address ? await this.ahead.answer : null;
      this.ahead = null;
      const answer = ahead ?? (await get(address, signal));
      const [picture] = Object.values(answer.buckets);
      row.pictures = [{ ...picture, begin: Date.parse(answer.start), end: Date.parse(answer.end), binCount: answer.bin_count }, ...row.pictures.slice(0, 1)];
      this.draw();
    };
    // The first by itself, so that nothing keeps the server from it; then two at a time: it has about as many processes for this.
    const [first, ...waiting] = wanted.slice().sort((a, b) => (b.bucket.id === this.selected) - (a.bucket.id === this.selected));
    const work = async () => {
      for (let row = waiting.shift(); row !== undefined; row = waiting.shift()) await fetchOne(row);
    };
    try {
      if (first !== undefined) await fetchOne(first);
      await Promise.all([work(), work()]);
    } catch (error) {
      if (error.name === "AbortError" || turn !== this.turn) return;
      setText(this.chosen, error.message);
      setTimeout(() => turn === this.turn && !this.abort.signal.aborted && this.fetchPictures(), 2000);
      return;
    }
    if (turn === this.turn) this.place.dataset.settled = String(turn);
  }

  forgetPictures() {
    for (const row of this.rows) row.pictures = [];
    this.moved();
  }

  // Drawing

  draw() {
    cancelAnimationFrame(this.drawing);
    this.drawing = requestAnimationFrame(() => {
      const began = performance.now();
      setText(this.title, this.told());
      drawAxis(this.axis, this.begin, this.end);
      for (const row of this.rows) if (row.visible) this.drawRow(row);
      this.frames.push(performance.now() - began);
      if (this.frames.length > 500) this.frames.shift();
    });
  }

  told() {
    const [begin, end] = [new Date(this.begin), new Date(this.end)];
    const length = this.end - this.begin;
    if (length > 3 * DAY_S * 1000) return `${dayAndYear(begin)} – ${dayAndYear(end)}`;
    const clock = length < 10 * MINUTE_S * 1000 ? timeWithSeconds : time;
    return begin.toDateString() === end.toDateString() ? `${dayAndYear(begin)}, ${clock(begin)} – ${clock(end)}` : `${dayAndYear(begin)}, ${clock(begin)} – ${dayAndYear(end)}, ${clock(end)}`;
  }

  drawRow(row) {
    const width = this.list.clientWidth;
    const context = sized(row.canvas, width, TRACK_HEIGHT);
    const dark = isDark();
    context.clearRect(0, 0, width, TRACK_HEIGHT);
    context.fillStyle = dark ? "#212529" : "#eeece5";
    context.fillRect(0, 0, width, TRACK_HEIGHT);
    const scale = width / (this.end - this.begin);
    // The sharpest picture that covers the screen; an older one under a newer that does not.
    const [newest, older] = row.pictures;
    if (older !== undefined && newest !== undefined && (newest.begin > this.begin || newest.end < this.end)) this.drawPicture(context, older, scale, width);
    if (newest !== undefined) this.drawPicture(context, newest, scale, width);
    const now = (serverNow() - this.begin) * scale;
    if (now >= 0 && now <= width) {
      context.fillStyle = dark ? "#63cdbb" : "#0b6e63";
      context.fillRect(now - 0.5, 0, 1, TRACK_HEIGHT);
    }
    const stepped = newest?.bars?.id.indexOf(row.stepped) ?? -1;
    if (stepped >= 0) {
      const { left, right } = barAt(newest, stepped, this.begin, scale);
      context.lineWidth = 2;
      context.strokeStyle = dark ? "#e9e7e1" : "#1d1f23";
      context.strokeRect(left - 1, 1, Math.max(4, right - left + 2), TRACK_HEIGHT - 2);
    }
    if (newest !== undefined) setText(row.says, newest.events === 0 ? "nothing in this range" : newest.bars === undefined ? `${count(begunWithin(newest, this.begin, this.end))} events` : "");
  }

  drawPicture(context, picture, scale, width) {
    if (picture.events === 0) return;
    const colours = picture.names.map(colour);
    if (picture.bars !== undefined) this.drawBars(context, picture, colours, scale, width);
    else drawBins(context, picture, colours, this.begin, scale, width);
  }

  drawBars(context, picture, colours, scale, width) {
    const { offset_s: offsets, duration_s: durations, name: names } = picture.bars;
    const named = [];
    for (let at = 0; at < offsets.length; at += 1) {
      const { left, right } = barAt(picture, at, this.begin, scale);
      if (right < 0 || left > width) continue;
      context.fillStyle = colours[names[at]];
      const gap = right - left > 4 ? 1 : 0;
      context.fillRect(left, 4, Math.max(1.5, right - left - gap), TRACK_HEIGHT - 8);
      if (durations[at] > 0 && Math.min(right, width) - Math.max(left, 0) > 56) named.push([at, Math.max(left, 0), Math.min(right, width)]);
    }
    context.fillStyle = isDark() ? "#ffffff" : "#15171a";
    context.font = "12px Inter, system-ui, sans-serif";
    context.textBaseline = "middle";
    for (const [at, left, right] of named) {
      context.save();
      context.beginPath();
      context.rect(left + 6, 0, right - left - 12, TRACK_HEIGHT);
      context.clip();
      context.fillText(picture.names[names[at]], left + 7, TRACK_HEIGHT / 2);
      context.restore();
    }
  }

  // What is under the pointer

  hit(row, x) {
    const picture = row.pictures[0];
    if (picture === undefined || picture.events === 0) return null;
    const scale = this.list.clientWidth / (this.end - this.begin);
    if (picture.bars !== undefined) {
      // The shortest that is there, so that one inside another can be met.
      let best = null;
      for (let at = 0; at < picture.bars.id.length; at += 1) {
        const { left, right } = barAt(picture, at, this.begin, scale);
        if (x < left - 2 || x > Math.max(right, left + 2) + 2) continue;
        if (best === null || picture.bars.duration_s[at] < picture.bars.duration_s[best]) best = at;
      }
      return best === null ? null : { picture, bar: best };
    }
    const bin = Math.floor(((this.begin + x / scale - picture.begin) / (picture.end - picture.begin)) * picture.binCount);
    return picture.bins.count[bin] || picture.bins.covered_s[bin] ? { picture, bin } : null;
  }

  async showTip(row, x, y) {
    const found = this.hit(row, x);
    this.tracks.style.cursor = found === null ? "" : "pointer";
    if (found === null) {
      this.tip.hidden = true;
      return;
    }
    const { picture } = found;
    const lines = found.bar !== undefined ? tipOfBar(picture, found.bar) : tipOfBin(picture, found.bin);
    replace(this.tip, lines);
    this.tip.hidden = false;
    const left = Math.min(x + 14, this.tracks.clientWidth - this.tip.offsetWidth - 4);
    this.tip.style.transform = `translate(${Math.max(0, left)}px, ${y + 16}px)`;
    if (found.bar === undefined) return;
    const id = picture.bars.id[found.bar];
    const asked = (this.asked = id);
    await new Promise((resolve) => setTimeout(resolve, 90));
    if (asked !== this.asked || this.tip.hidden) return;
    try {
      const event = await get(withQuery(path("buckets", row.bucket.id, "events", id), { text_max: TIP_TEXT_MAX }), this.abort.signal);
      if (asked === this.asked && !this.tip.hidden) replace(this.tip, lines, dataLines(event.data));
    } catch {
      // the tip has its name and time all the same
    }
  }

  async openHit(row, x) {
    const found = this.hit(row, x);
    if (found === null) return;
    if (found.bar === undefined) {
      const at = this.begin + (x / this.list.clientWidth) * (this.end - this.begin);
      this.zoom(0.2, at);
      return;
    }
    await this.openOne(row.bucket.id, found.picture.bars.id[found.bar]);
  }

  async openOne(bucketId, eventId) {
    this.tip.hidden = true;
    const before = document.activeElement;
    if (await openEvent(bucketId, eventId)) this.forgetPictures();
    before?.focus?.();
  }

  // The chosen bucket

  select(bucketId, say = true) {
    this.selected = bucketId;
    for (const row of this.rows) {
      row.node.classList.toggle("selected", row.bucket.id === bucketId);
      row.name.setAttribute("aria-pressed", String(row.bucket.id === bucketId));
      row.stepped = undefined;
    }
    if (say) {
      setText(this.chosen, `${bucketId} is chosen`);
      this.moved();
    }
  }

  step(by) {
    const row = this.rows.find((each) => each.bucket.id === this.selected);
    const picture = row?.pictures[0];
    if (picture?.bars === undefined) {
      setText(this.chosen, "There are too many events to step through: zoom in");
      return;
    }
    const visible = [];
    picture.bars.offset_s.forEach((offset, at) => {
      const start = picture.begin + offset * 1000;
      if (start <= this.end && start + picture.bars.duration_s[at] * 1000 >= this.begin) visible.push(at);
    });
    if (!visible.length) return;
    // By its id: the next picture may have it in another place.
    const place = visible.indexOf(picture.bars.id.indexOf(row.stepped));
    const at = place < 0 ? visible.at(by > 0 ? 0 : -1) : visible[Math.min(visible.length - 1, Math.max(0, place + by))];
    row.stepped = picture.bars.id[at];
    const start = new Date(picture.begin + picture.bars.offset_s[at] * 1000);
    setText(this.chosen, `${picture.names[picture.bars.name[at]]}, ${moment(start)}, ${span(picture.bars.duration_s[at])}`);
    this.draw();
  }

  listEvents() {
    const bucket = this.rows.find((row) => row.bucket.id === this.selected)?.bucket;
    if (bucket !== undefined) this.events.show(bucket, this.begin, this.end);
  }

  /** What is recorded into the chosen bucket joins the list while the present is on the screen. */
  tailed() {
    const buckets = live.status?.buckets ?? this.buckets;
    if (buckets.length !== this.buckets.length || buckets.some((each, at) => each.id !== this.buckets[at].id)) {
      this.setBuckets(buckets);
      this.moved();
    }
    const bucket = buckets.find((each) => each.id === this.selected);
    const now = serverNow().getTime();
    const tail = JSON.stringify(bucket?.tail ?? null);
    if (tail === this.seenTail || document.hidden || now < this.begin || now > this.end + 3 * RENEW_MS || now < (this.tailedAt ?? 0) + TAIL_MS) return;
    if (this.seenTail !== undefined && bucket !== undefined) this.events.renew(bucket, this.begin, Math.max(now, this.end));
    [this.seenTail, this.tailedAt] = [tail, now];
  }

  // Pointer, wheel and keys

  listen() {
    const pointers = new Map();
    let dragged = 0;
    const xOf = (event) => event.clientX - this.list.getBoundingClientRect().left;
    const rowOf = (event) => this.rows.find((row) => row.canvas === event.target);
    this.list.addEventListener("pointerdown", (event) => {
      if (rowOf(event) === undefined || event.button !== 0) return;
      event.target.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event);
      dragged = 0;
    });
    this.list.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      const row = rowOf(event);
      if (before === undefined) {
        if (row === undefined) this.tip.hidden = true;
        else this.showTip(row, xOf(event), event.clientY - this.tracks.getBoundingClientRect().top);
        return;
      }
      const perPixel = (this.end - this.begin) / this.list.clientWidth;
      if (pointers.size === 1) {
        dragged += Math.abs(event.clientX - before.clientX);
        if (dragged > 3) this.setRange(this.begin - (event.clientX - before.clientX) * perPixel, this.end - (event.clientX - before.clientX) * perPixel);
      } else {
        dragged = Infinity;
        const other = [...pointers.values()].find((each) => each.pointerId !== event.pointerId);
        const [was, is] = [Math.abs(before.clientX - other.clientX), Math.abs(event.clientX - other.clientX)];
        if (was > 10 && is > 10) this.zoom(was / is, this.begin + (xOf(event) + xOf(other)) * 0.5 * perPixel);
      }
      pointers.set(event.pointerId, event);
      if (dragged > 3) this.tip.hidden = true;
    });
    this.list.addEventListener("pointerup", (event) => {
      const row = rowOf(event);
      if (pointers.delete(event.pointerId) && row !== undefined && dragged <= 3) {
        this.select(row.bucket.id);
        this.openHit(row, xOf(event));
      }
    });
    this.list.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
    this.list.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.tracks.addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) {
        event.preventDefault();
        this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.01), this.begin + (xOf(event) / this.list.clientWidth) * (this.end - this.begin));
      } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
        event.preventDefault();
        this.pan((event.deltaX || event.deltaY) / this.list.clientWidth);
      }
    }, { passive: false });
    const KEYS = {
      ArrowLeft: () => this.pan(-0.2), ArrowRight: () => this.pan(0.2), "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2),
      ArrowUp: () => this.selectBeside(-1), ArrowDown: () => this.selectBeside(1), Home: () => this.showAll(), End: () => this.showNow(),
      n: () => this.step(1), p: () => this.step(-1), Enter: () => this.openStep(),
    };
    this.tracks.addEventListener("keydown", (event) => {
      if (event.target !== this.tracks || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
      event.preventDefault();
      KEYS[event.key]();
    });
    let width = 0;
    const resized = new ResizeObserver(() => {
      if (width !== 0 && width !== this.tracks.clientWidth) this.moved();
      width = this.tracks.clientWidth;
    });
    resized.observe(this.tracks);
    this.cleanups.push(() => resized.disconnect(), onScheme(() => this.draw()));
  }

  selectBeside(by) {
    const at = this.rows.findIndex((row) => row.bucket.id === this.selected);
    const row = this.rows[Math.min(this.rows.length - 1, Math.max(0, at + by))];
    if (row === undefined) return;
    this.select(row.bucket.id);
    row.node.scrollIntoView({ block: "nearest" });
  }

  openStep() {
    const row = this.rows.find((each) => each.bucket.id === this.selected);
    if (row?.stepped !== undefined) this.openOne(row.bucket.id, row.stepped);
  }
}

function barAt(picture, at, begin, scale) {
  const start = picture.begin + picture.bars.offset_s[at] * 1000 - begin;
  return { left: start * scale, right: (start + picture.bars.duration_s[at] * 1000) * scale };
}

/** How many events begin in the bins that are on the screen. */
function begunWithin(picture, begin, end) {
  const binMs = (picture.end - picture.begin) / picture.binCount;
  const first = Math.max(0, Math.floor((begin - picture.begin) / binMs));
  const counts = picture.bins.count.slice(first, Math.max(first, Math.ceil((end - picture.begin) / binMs)));
  return counts.reduce((sum, each) => sum + each, 0);
}

/** Height: how much of the bin is covered. */
function drawBins(context, picture, colours, begin, scale, width) {
  const { covered_s: covered, count: counts, name } = picture.bins;
  const binMs = (picture.end - picture.begin) / picture.binCount;
  const binS = binMs / 1000;
  const step = binMs * scale;
  const first = Math.max(0, Math.floor((begin - picture.begin) / binMs));
  const last = Math.min(picture.binCount - 1, Math.ceil((begin + width / scale - picture.begin) / binMs));
  const high = TRACK_HEIGHT - 8;
  for (let bin = first; bin <= last; bin += 1) {
    if (!covered[bin] && !counts[bin]) continue;
    const height = Math.max(2, Math.min(1, covered[bin] / binS) * high);
    context.fillStyle = colours[name[bin]];
    context.fillRect((picture.begin + bin * binMs - begin) * scale, TRACK_HEIGHT - 4 - height, Math.max(1, step + 0.3), height);
  }
}

function tipOfBar(picture, at) {
  const start = new Date(picture.begin + picture.bars.offset_s[at] * 1000);
  return [h("strong", {}, stored(picture.names[picture.bars.name[at]])), h("div", { class: "quiet" }, `${dateAndTime(start)} · ${span(picture.bars.duration_s[at])}`)];
}

function tipOfBin(picture, bin) {
  const binMs = (picture.end - picture.begin) / picture.binCount;
  const start = new Date(picture.begin + bin * binMs);
  const { covered_s: covered, count: counts, name } = picture.bins;
  return [h("strong", {}, "Mostly ", stored(picture.names[name[bin]])),
    h("div", { class: "quiet" }, `${dateAndTime(start)}, ${span(binMs / 1000)}: ${plural(counts[bin], "event")}, ${hours(covered[bin])} covered. Click to zoom in.`)];
}

const dataLines = (data) => Object.entries(data).slice(0, 8).map(([key, value]) =>
  h("div", { class: "datum" }, stored(`${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`.slice(0, 300))));
