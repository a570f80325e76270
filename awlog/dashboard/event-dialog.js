// One event, to look at, change and delete.

import { get, path, post, remove } from "./api.js";
import { h, replace, stored } from "./dom.js";
import { dateAndTime, span } from "./format.js";

/** Shows it; gives true when it was changed or deleted, once the form is closed. */
export async function openEvent(bucketId, eventId) {
  const dialog = h("dialog", { class: "event", "aria-labelledby": "event-title" }, h("h2", { id: "event-title" }, "Event"), h("p", { class: "quiet" }, "Loading …"));
  document.body.append(dialog);
  dialog.showModal();
  let changed = false;
  const closed = new Promise((resolve) => dialog.addEventListener("close", () => {
    dialog.remove();
    resolve(changed);
  }));
  const done = () => {
    changed = true;
    dialog.close();
  };
  try {
    const event = await get(path("buckets", bucketId, "events", eventId));
    fill(dialog, bucketId, event, done);
  } catch (error) {
    replace(dialog, h("h2", { id: "event-title" }, "Event"), h("p", { class: "error", role: "alert" }, error.message), closeButton(dialog));
  }
  return closed;
}

const closeButton = (dialog) => h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Close"));

function fill(dialog, bucketId, event, done) {
  const start = new Date(event.timestamp);
  const timestamp = h("input", { id: "event-start", value: event.timestamp, spellcheck: false });
  const duration = h("input", { id: "event-duration", type: "number", step: "any", min: 0, value: String(event.duration) });
  const data = h("textarea", { id: "event-data", class: "code", rows: 9, spellcheck: false, value: JSON.stringify(event.data, null, 2) });
  const trouble = h("p", { class: "error", role: "alert", hidden: true });
  const fail = (message) => {
    trouble.hidden = false;
    replace(trouble, message);
  };
  const address = path("buckets", bucketId, "events");

  async function save(submitted) {
    submitted.preventDefault();
    let body;
    try {
      body = { id: event.id, timestamp: timestamp.value, duration: Number(duration.value), data: JSON.parse(data.value) };
    } catch (error) {
      fail(`The data are no JSON: ${error.message}`);
      data.focus();
      return;
    }
    try {
      await post(address, body);
      done();
    } catch (error) {
      fail(error.message);
    }
  }

  const confirm = h("button", { type: "button", class: "danger", hidden: true }, "Delete for good");
  const remover = h("button", { type: "button", class: "danger" }, "Delete …");
  remover.addEventListener("click", () => {
    remover.hidden = true;
    confirm.hidden = false;
    confirm.focus();
  });
  confirm.addEventListener("click", async () => {
    try {
      await remove(`${address}/${event.id}`);
      done();
    } catch (error) {
      fail(error.message);
    }
  });

  replace(dialog,
    h("h2", { id: "event-title" }, "Event in ", stored(bucketId)),
    h("p", { class: "quiet" }, `${dateAndTime(start)} · ${span(event.duration)} · number ${event.id}`),
    h("form", { onsubmit: save },
      h("div", { class: "pair" },
        h("div", { class: "field" }, h("label", { htmlFor: "event-start" }, "Start"), timestamp),
        h("div", { class: "field" }, h("label", { htmlFor: "event-duration" }, "Seconds"), duration)),
      h("div", { class: "field" }, h("label", { htmlFor: "event-data" }, "Data, as JSON"), data),
      trouble,
      h("div", { class: "actions" }, remover, confirm, h("span", { class: "spring" }),
        h("button", { type: "button", onclick: () => dialog.close() }, "Close"), h("button", { class: "primary" }, "Save"))));
}
