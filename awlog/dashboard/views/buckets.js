// Buckets: what there is, how large; make, export, import and delete.

import { download, get, path, post, remove, upload } from "../api.js";
import { h, replace, stored } from "../dom.js";
import { bytes, count, moment, plural } from "../format.js";
import { FIRST_MS, LAST_MS } from "../ranges.js";
import { openAdmin } from "../admin.js";

export function open(place) {
  const abort = new AbortController();
  new Buckets(place, abort.signal).start();
  return () => abort.abort();
}

class Buckets {
  constructor(place, signal) {
    this.place = place;
    this.signal = signal;
  }

  start() {
    this.table = h("div", { class: "bucket-table" }, h("p", { class: "quiet" }, "Loading …"));
    this.summary = h("p", { class: "range", role: "status" });
    this.news = h("p", { role: "status", class: "news" });
    const file = h("input", { type: "file", id: "import-file", accept: ".json,application/json", class: "away", onchange: () => file.files.length && this.importFile(file.files[0]) });
    this.drop = h("div", { class: "drop" }, h("p", {}, "Drop an export here, of awlog or of ActivityWatch, or "), file, h("label", { htmlFor: "import-file", class: "button" }, "Choose a file"));
    this.listen();
    const admin = h("div", {});
    replace(this.place,
      h("div", { class: "view-head" }, h("h1", {}, "Buckets"), this.summary),
      h("div", { class: "toolbar" }, h("button", { type: "button", onclick: () => this.create() }, "New bucket …"),
        h("button", { type: "button", onclick: () => download("export", "aw-buckets-export.json").catch((error) => this.tell(error.message, true)) }, "Export all")),
      this.table, this.drop, this.news, admin);
    this.load();
    openAdmin(admin, this.signal);
  }

  tell(words, isError = false) {
    this.news.className = isError ? "news error" : "news";
    replace(this.news, words);
  }

  async load() {
    try {
      const [buckets, status, sizes] = await Promise.all([get("buckets/", this.signal), get("status", this.signal), get("sizes", this.signal)]);
      const counts = new Map(status.buckets.map((bucket) => [bucket.id, bucket.events]));
      const all = Object.values(buckets);
      replace(this.summary, `${plural(all.length, "bucket")}, ${plural(status.events, "event")}${status.disk === null ? "" : `, ${bytes(status.disk.file_bytes)} on the disk`}`);
      replace(this.table, all.length ? this.rows(all, counts, sizes) : h("p", { class: "notice" }, "There is no bucket yet. A watcher makes its own when it starts; an import brings others."));
      this.place.dataset.settled = String(Number(this.place.dataset.settled ?? 0) + 1);
    } catch (error) {
      if (error.name !== "AbortError") replace(this.table, h("p", { class: "error", role: "alert" }, error.message));
    }
  }

  rows(all, counts, sizes) {
    return h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Buckets" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Bucket", "Type", "Host"].map((name) => h("th", { scope: "col" }, name)), ["Events", "Size"].map((name) => h("th", { scope: "col", class: "number" }, name)),
        ["First", "Last"].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, h("span", { class: "away" }, "What to do")))),
      h("tbody", {}, all.map((bucket) => h("tr", { dataset: { bucket: bucket.id } },
        h("td", {}, h("a", { href: `#/timeline?${new URLSearchParams({ bucket: bucket.id, ...this.rangeOf(bucket) })}` }, stored(bucket.id, { class: "cut" }))),
        h("td", {}, stored(bucket.type, { class: "cut" })), h("td", {}, stored(bucket.hostname, { class: "cut" })),
        h("td", { class: "number" }, count(counts.get(bucket.id) ?? 0)), h("td", { class: "number" }, bytes(sizes[bucket.id] ?? 0)),
        h("td", { class: "moment" }, bucket.metadata.start === null ? "–" : moment(new Date(bucket.metadata.start))),
        h("td", { class: "moment" }, bucket.metadata.end === null ? "–" : moment(new Date(bucket.metadata.end))),
        h("td", { class: "does" },
          h("button", { type: "button", class: "plain link", "aria-label": `Export ${bucket.id}`, onclick: () => download(path("buckets", bucket.id, "export"), "").catch((error) => this.tell(error.message, true)) }, "Export"),
          h("button", { type: "button", class: "plain link danger", "aria-label": `Delete ${bucket.id}`, onclick: () => this.remove(bucket, counts.get(bucket.id) ?? 0) }, "Delete")))))));
  }

  /** A day around the newest event, where a bucket is an old one. */
  rangeOf(bucket) {
    if (bucket.metadata.end === null) return {};
    const end = Date.parse(bucket.metadata.end) + 60_000;
    return { start: new Date(Math.max(FIRST_MS, end - 86_400_000)).toISOString(), end: new Date(Math.min(end, LAST_MS)).toISOString() };
  }

  create() {
    const fields = [["Name", "new-id", "my-bucket"], ["Type", "new-type", "general.note"], ["Client", "new-client", "dashboard"], ["Host", "new-host", "!local"]].map(([words, id, value]) => {
      const input = h("input", { id, value: id === "new-id" ? "" : value, required: id === "new-id", spellcheck: false, autocomplete: "off" });
      return { input, node: h("div", { class: "field" }, h("label", { htmlFor: id }, words), input) };
    });
    const [name, type, client, host] = fields.map((each) => each.input);
    this.ask("New bucket", fields.map((each) => each.node), "Create", async () => {
      const response = await post(path("buckets", name.value), { type: type.value, client: client.value, hostname: host.value });
      if (response === null) throw new Error("There is a bucket of this name already");
      this.tell(`The bucket ${name.value} was made.`);
    });
  }

  remove(bucket, events) {
    const typed = h("input", { id: "typed", autocomplete: "off", spellcheck: false });
    const dialog = this.ask(`Delete ${bucket.id}`, [
      h("p", {}, `${plural(events, "event")} will be gone for good. There is no way back but an export or a backup.`),
      h("div", { class: "field" }, h("label", { htmlFor: "typed" }, "Type the name of the bucket to go on"), typed),
    ], "Delete for good", async () => {
      if (typed.value !== bucket.id) throw new Error("That is not the name of the bucket");
      await remove(`${path("buckets", bucket.id)}?force=1`);
      this.tell(`The bucket ${bucket.id} was deleted.`);
    });
    dialog.querySelector("button.primary").className = "danger";
  }

  /** A form that stays open until `act` has worked. */
  ask(title, content, words, act) {
    const trouble = h("p", { class: "error", role: "alert", hidden: true });
    const dialog = h("dialog", { class: "ask", "aria-labelledby": "ask-title" }, h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          await act();
          dialog.close();
          this.load();
        } catch (error) {
          trouble.hidden = false;
          replace(trouble, error.message);
        }
      },
    }, h("h2", { id: "ask-title" }, stored(title)), content, trouble,
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "primary" }, words))));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    return dialog;
  }

  listen() {
    const over = (event) => {
      event.preventDefault();
      this.drop.classList.add("over");
    };
    this.drop.addEventListener("dragenter", over);
    this.drop.addEventListener("dragover", over);
    this.drop.addEventListener("dragleave", () => this.drop.classList.remove("over"));
    this.drop.addEventListener("drop", (event) => {
      event.preventDefault();
      this.drop.classList.remove("over");
      if (event.dataTransfer.files.length) this.importFile(event.dataTransfer.files[0]);
    });
  }

  async importFile(file) {
    const progress = h("progress", { max: 1, value: 0, "aria-label": "Import" });
    this.tell([`Sending ${file.name}, ${bytes(file.size)} … `, progress]);
    try {
      await upload(file, (share) => (progress.value = share));
      this.tell(`${file.name} was imported. What was there already was left as it was.`);
      this.load();
    } catch (error) {
      this.tell(`${file.name} was not imported, and nothing of it was kept: ${error.message}`, true);
    }
  }
}
