// The queries that the summary asks, and examples for the editor.

/** Can the query language say this text? It knows no escape but the quote's, so none there can end in a backslash. */
export const canBeQuoted = (text) => !text.endsWith("\\");

/** A text in the query language. */
export function quoted(text) {
  if (!canBeQuoted(text)) throw new Error(`A query cannot name what ends in a backslash, as “${text}” does`);
  return `"${text.replaceAll('"', '\\"')}"`;
}

/** By what a bucket's time can be added up; the first is what its kind is about. */
export function groupings(type) {
  const known = {
    currentwindow: [["app", "App"], ["title", "Title"], ["$category", "Category"]],
    afkstatus: [["status", "Status"]],
    "web.tab.current": [["$domain", "Domain"], ["title", "Title"], ["url", "Address"], ["$category", "Category"]],
    "app.editor.activity": [["project", "Project"], ["language", "Language"], ["file", "File"]],
    "general.stopwatch": [["label", "Label"]],
  };
  return Object.hasOwn(known, type) ? known[type] : null;
}

/** ActivityWatch's setting `classes` as rules of `categorize`; one that no query can say is left out. */
export function rulesOf(classes) {
  if (!Array.isArray(classes)) return [];
  return classes
    .filter((each) => Array.isArray(each?.name) && each.rule?.type === "regex" && each.rule.regex)
    .filter((each) => [...each.name, each.rule.regex].every((text) => canBeQuoted(String(text))))
    .map((each) => [each.name, { type: "regex", regex: each.rule.regex, ignore_case: each.rule.ignore_case === true }]);
}

function eventsOf({ bucket, key, rules, afkBucket }) {
  const lines = [`events = flood(query_bucket(${quoted(bucket)}));`];
  if (afkBucket) lines.push(`present = filter_keyvals(flood(query_bucket(${quoted(afkBucket)})), "status", ["not-afk"]);`, "events = filter_period_intersect(events, present);");
  if (key === "$domain") lines.push("events = split_url_events(events);");
  if (key === "$category") lines.push(`events = categorize(events, ${JSON.stringify(rules).replaceAll("\\\\", "\\")});`);
  return lines;
}

/** How long each value of a key was there, longest first. */
export const totals = (asked) => [
  ...eventsOf(asked),
  `merged = sort_by_duration(merge_events_by_keys(events, [${quoted(asked.key)}]));`,
  `RETURN = {"total": sum_durations(events), "top": limit_events(merged, ${asked.limit})};`,
];

/** `total` and `top` of each of several, in one program. */
export const glance = (all) => [
  ...all.flatMap((asked, at) => [...eventsOf(asked), `merged = sort_by_duration(merge_events_by_keys(events, [${quoted(asked.key)}]));`,
    `found${at} = {"total": sum_durations(events), "top": limit_events(merged, ${asked.limit})};`]),
  `RETURN = [${all.map((_, at) => `found${at}`).join(", ")}];`,
];

/** The newest events of a bucket that hold these words, in any case, under each of these keys. */
export const search = (bucket, keys, words, limit) => [
  `events = query_bucket(${quoted(bucket)});`,
  `RETURN = [${keys.map((key) => `limit_events(filter_keyvals_regex(events, ${quoted(key)}, ${quoted(`(?i)${literally(words)}`)}), ${limit})`).join(", ")}];`,
];

/** A pattern for just this text; it ends in a bracket, so never in a backslash. */
const literally = (text) => `(?:${text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")})`;

/** How long anything was there. */
export const sum = (asked) => [...eventsOf({ ...asked, key: "" }), "RETURN = sum_durations(events);"];

export function examples(buckets) {
  const named = (type, otherwise) => quoted(buckets.find((each) => each.type === type && each.tail !== null && canBeQuoted(each.id))?.id ?? otherwise);
  const window = named("currentwindow", "aw-watcher-window_");
  const afk = named("afkstatus", "aw-watcher-afk_");
  const web = named("web.tab.current", "aw-watcher-web-");
  return [
    ["Time per app", `events = flood(query_bucket(${window}));\nmerged = merge_events_by_keys(events, ["app"]);\nRETURN = sort_by_duration(merged);`],
    ["Time per app while not away", `events = flood(query_bucket(${window}));\npresent = filter_keyvals(flood(query_bucket(${afk})), "status", ["not-afk"]);\nevents = filter_period_intersect(events, present);\nRETURN = sort_by_duration(merge_events_by_keys(events, ["app"]));`],
    ["Domains", `events = split_url_events(flood(query_bucket(${web})));\nRETURN = limit_events(sort_by_duration(merge_events_by_keys(events, ["$domain"])), 20);`],
    ["A search with a pattern", `events = query_bucket(${window});\nRETURN = filter_keyvals_regex(events, "title", "(?i)awlog");`],
    ["The newest events", `RETURN = limit_events(query_bucket(${window}), 20);`],
    ["A sum", `RETURN = sum_durations(query_bucket(${afk}));`],
  ];
}
