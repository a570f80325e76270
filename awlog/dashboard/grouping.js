// By what a bucket's time can be added up.

import { get, path, withQuery } from "./api.js";
import { canBeQuoted, groupings } from "./programs.js";

/** `[key, words]` of each way, the one that its kind is about first; for a kind that is not known, by its newest event. */
export async function keysOf(bucket, rules, signal) {
  const known = groupings(bucket.type);
  if (known !== null) return known.filter(([key]) => key !== "$category" || rules.length);
  const [event] = await get(withQuery(path("buckets", bucket.id, "events"), { limit: 1, text_max: 100 }), signal);
  const keys = Object.entries(event?.data ?? {}).filter(([key, value]) => typeof value !== "object" && canBeQuoted(key)).map(([key]) => [key, key]);
  return keys.length ? keys : [["app", "app"]];
}

/** The bucket of the same device that knows when somebody was there. */
export function presenceOf(bucket, buckets) {
  if (bucket.type === "afkstatus") return null;
  return buckets.find((each) => each.type === "afkstatus" && each.hostname === bucket.hostname && each.tail !== null && canBeQuoted(each.id)) ?? null;
}

export function valueWords(value) {
  if (value === undefined) return "(without)";
  return Array.isArray(value) ? value.join(" › ") : String(value) || "(empty)";
}
