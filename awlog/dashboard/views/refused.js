// What was refused lately, why, and who sent it: a watcher that sends nonsense is seen here.

import { get } from "../api.js";
import { h, replace, stored } from "../dom.js";
import { count, moment } from "../format.js";
import { serverNow } from "../live.js";

const SHOWN_MAX = 10;

/** Gives a function that is told each status, and asks for more when something was refused since. */
export function showRefused(place, signal) {
  let seen = 0;
  return async ({ refused }) => {
    // Who may read some buckets only is not told how many there were: asks once a minute.
    const total = refused === null ? Math.floor(Date.now() / 60_000) : Object.values(refused).reduce((sum, times) => sum + times, 0);
    if (total === seen) return;
    seen = total;
    try {
      const found = total ? await get("refusals", signal) : [];
      replace(place, found.length ? list(found) : null);
    } catch {
      seen = 0; // told by the state of the connection; asked again
    }
  };
}

function list(found) {
  const hidden = found.length - SHOWN_MAX;
  return h("section", { class: "group refused" },
    h("h2", {}, "Refused lately", h("span", { class: "tally" }, "senders, as they call themselves")),
    h("ul", {}, found.slice(0, SHOWN_MAX).map((each) => h("li", {},
      h("span", { class: "why" }, stored(each.message ?? "The query has an error"), h("span", { class: "quiet" }, ` ${each.type}`)),
      h("span", { class: "who" }, who(each)),
      h("span", { class: "times" }, each.count > 1 ? `${count(each.count)} times` : "once"),
      h("span", { class: "when" }, moment(new Date(each.last), serverNow()))))),
    hidden > 0 ? h("p", { class: "quiet" }, `and ${count(hidden)} more kinds`) : null);
}

function who({ client, origin, bucket, method, route }) {
  return [client === null ? "a program without a name" : stored(client),
    ...(origin === null ? [] : [" on a page of ", stored(origin)]),
    ...(bucket === null ? [] : [" into ", stored(bucket)]),
    h("span", { class: "quiet" }, ` ${method} ${route === "none" ? "" : route}`)];
}
