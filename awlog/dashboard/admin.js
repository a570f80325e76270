// Tokens, privacy filters and retention: shown to those whom the server lets see them.

import { get, keepToken, path, post, put, remove } from "./api.js";
import { h, replace, stored } from "./dom.js";
import { count, moment, plural } from "./format.js";

export async function openAdmin(place, signal) {
  const panels = [tokens, filters, retention];
  // Who may not see the tokens is no admin, and is shown none of this.
  try {
    await get("tokens", signal);
  } catch {
    return;
  }
  for (const panel of panels) {
    const node = h("section", { class: "panel" });
    place.append(node);
    try {
      await panel(node, signal);
    } catch (error) {
      if (error.name !== "AbortError") replace(node, h("p", { class: "error" }, error.message));
    }
  }
}

const field = (words, id, input) => {
  input.id = id;
  return h("div", { class: "field" }, h("label", { htmlFor: id }, words), input);
};

/** A line that says what became of the last click. */
function makeNews() {
  const node = h("p", { class: "news", role: "status" });
  return {
    node,
    say(...words) {
      node.className = "news";
      replace(node, words);
    },
    async trying(act) {
      try {
        await act();
      } catch (error) {
        node.className = "news error";
        replace(node, error.message);
      }
    },
  };
}

/** A button that asks once more before it does what cannot be undone. */
function twice(words, again, act) {
  const confirm = h("button", { type: "button", class: "danger", hidden: true, onclick: () => {
    rest();
    act();
  } }, again);
  const first = h("button", { type: "button", class: "danger", onclick: () => {
    first.hidden = true;
    confirm.hidden = false;
    confirm.focus();
  } }, words);
  const rest = () => {
    first.hidden = false;
    confirm.hidden = true;
  };
  confirm.addEventListener("blur", rest);
  return [first, confirm];
}

/** Waits for a job of the server, telling how far it is. */
async function followed(job, news, signal) {
  let seen = job;
  while (seen.ended === null) {
    news.say(`${seen.done} of ${seen.total} steps …`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    seen = await get(path("jobs", job.id), signal);
  }
  if (seen.error !== null) throw new Error(seen.error);
  const counts = Object.entries(seen.counts).map(([name, number]) => `${name} ${count(number)}`).join(", ");
  news.say(`Done${counts ? `: ${counts}` : ": nothing had to be changed"}.`);
}

// Tokens

async function tokens(node, signal) {
  const news = makeNews();
  const name = h("input", { required: true, autocomplete: "off", spellcheck: false, placeholder: "laptop" });
  const scope = h("select", {}, [["append", "append: send events"], ["read", "read: see everything"], ["write", "write: append, edit, delete"], ["admin", "admin: everything"]].map(([value, words]) => h("option", { value }, words)));
  const prefix = h("input", { autocomplete: "off", spellcheck: false, placeholder: "all" });
  const list = h("div", {});

  async function show() {
    const { required, tokens: known } = await get("tokens", signal);
    replace(list, h("p", { class: "quiet" }, required ? "Every request needs a token. " : known.length ? "No request needs a token. " : "There are none: who reaches this server may do everything. From the first one on every request needs a token.",
      known.length ? h("button", { type: "button", class: "plain link", onclick: () => news.trying(async () => { await put("tokens", { required: !required }); await show(); }) }, required ? "Let in without" : "Need one again") : null),
      known.length ? h("div", { class: "scroll" }, h("table", {},
        h("thead", {}, h("tr", {}, ["Name", "May", "Made", "Last used", "Ends"].map((each) => h("th", { scope: "col" }, each)), h("th", { scope: "col" }, h("span", { class: "away" }, "What to do")))),
        h("tbody", {}, known.map((token) => h("tr", {}, h("td", {}, stored(token.name, { class: "cut" })), h("td", {}, stored(token.scopes.join(", "))), h("td", {}, moment(new Date(token.created))),
          h("td", {}, token.last_used === null ? "never" : moment(new Date(token.last_used))), h("td", {}, token.expires === null ? "never" : moment(new Date(token.expires))),
          h("td", { class: "does" }, h("button", { type: "button", class: "plain link", "aria-label": `Revoke ${token.name}`, onclick: () => news.trying(async () => {
            await remove(path("tokens", token.id));
            news.say("The token ", stored(token.name), " is revoked.");
            await show();
          }) }, "Revoke"))))))) : null);
  }

  const form = h("form", { class: "toolbar fields", onsubmit: (event) => {
    event.preventDefault();
    news.trying(async () => {
      const isFirst = !(await get("tokens", signal)).tokens.length;
      if (isFirst && (scope.value !== "admin" || prefix.value)) throw new Error("Make one for an admin first, for all buckets: from the first token on nobody comes in without one");
      const scopes = [prefix.value ? `${scope.value}:${prefix.value.replace(/\*$/, "")}*` : scope.value];
      const made = await post("tokens", { name: name.value, scopes });
      if (isFirst) keepToken(made.secret); // this page needs one from now on, and there is no other
      news.say("The token is shown this once: ", h("code", { class: "secret", tabIndex: 0 }, made.secret), isFirst ? " This tab uses it from now on." : "");
      form.reset();
      await show();
    });
  } }, field("Name", "token-name", name), field("May", "token-scope", scope), field("In buckets that begin with", "token-prefix", prefix), h("button", { class: "primary" }, "Make a token"));
  replace(node, h("h2", {}, "Tokens"), list, form, news.node);
  await show();
}

// Privacy filters

async function filters(node, signal) {
  const news = makeNews();
  const rows = h("div", { class: "rules" });
  const rules = (await get("settings/privacy_filters", signal)) ?? [];
  let serial = 0;

  function add(rule) {
    const id = `filter-${(serial += 1)}`;
    const enabled = h("input", { type: "checkbox", checked: rule.enabled, "aria-label": "Rule is on" });
    const key = h("input", { value: rule.field, spellcheck: false });
    const pattern = h("input", { value: rule.pattern, spellcheck: false, class: "code" });
    const prefix = h("input", { value: rule.bucket_prefix ?? "", spellcheck: false, placeholder: "all" });
    const action = h("select", { onchange: () => (replacement.disabled = action.value === "drop") }, [["drop", "drop the event"], ["redact", "replace the field"]].map(([value, words]) => h("option", { value, selected: rule.action === value }, words)));
    const replacement = h("input", { value: rule.replacement ?? "", spellcheck: false, disabled: rule.action === "drop" });
    const row = h("fieldset", { class: "rule toolbar fields" }, h("legend", { class: "away" }, "Rule"), h("label", { class: "check" }, enabled, "On"),
      field("If this field", `${id}-field`, key), field("has this pattern", `${id}-pattern`, pattern), field("in buckets that begin with", `${id}-prefix`, prefix), field("then", `${id}-action`, action), field("by", `${id}-by`, replacement),
      h("button", { type: "button", class: "plain link", onclick: () => row.remove() }, "Remove"));
    row.value = () => ({ enabled: enabled.checked, field: key.value, pattern: pattern.value, action: action.value,
      ...(prefix.value ? { bucket_prefix: prefix.value } : {}), ...(action.value === "redact" ? { replacement: replacement.value } : {}) });
    rows.append(row);
  }

  const values = () => [...rows.children].map((row) => row.value());
  const preview = async () => {
    const found = await post("privacy/preview", { rules: values() }, signal);
    news.say(`Of what is stored ${plural(found.dropped, "event")} would be dropped and ${count(found.redacted)} redacted.`,
      h("ul", { class: "samples" }, found.rules.flatMap((each) => (each.samples ?? []).slice(0, 3)).map((sample) => h("li", {}, stored(JSON.stringify(sample).slice(0, 300))))));
  };
  for (const rule of rules) add(rule);
  replace(node, h("h2", {}, "Privacy filters"),
    h("p", { class: "quiet" }, "What comes in is looked at by these rules in their order, before it is stored. A pattern is a regular expression; (?i) before it ignores case."),
    rows,
    h("div", { class: "toolbar" },
      h("button", { type: "button", onclick: () => add({ enabled: true, field: "title", pattern: "", action: "redact", replacement: "(private)" }) }, "Add a rule"),
      h("button", { type: "button", onclick: () => news.trying(preview) }, "Preview"),
      h("button", { type: "button", class: "primary", onclick: () => news.trying(async () => { await post("settings/privacy_filters", values()); news.say("Saved: the rules hold from now on."); }) }, "Save filters"),
      twice("Apply to what is stored …", "Change what is stored, for good", () => news.trying(async () => followed(await post("privacy/apply", {}), news, signal)))),
    news.node);
}

// Retention

const LIMITS = [["max_age_days", "keep for days", 1], ["max_events", "at most events", 1], ["max_bytes", "at most bytes", 1], ["min_duration_s", "only longer than seconds", "any"]];

async function retention(node, signal) {
  const news = makeNews();
  const rows = h("div", { class: "rules" });
  const known = await get("retention", signal);
  let serial = 0;

  function add(rule) {
    const id = `retention-${(serial += 1)}`;
    const prefix = h("input", { value: rule.bucket_prefix ?? "", spellcheck: false, placeholder: "all" });
    const limits = LIMITS.map(([name, words, step]) => ({ name, words, input: h("input", { type: "number", min: 0, step, value: rule[name] ?? "" }) }));
    const row = h("fieldset", { class: "rule toolbar fields" }, h("legend", { class: "away" }, "Rule"), field("Buckets that begin with", `${id}-prefix`, prefix),
      limits.map(({ name, words, input }) => field(words, `${id}-${name}`, input)), h("button", { type: "button", class: "plain link", onclick: () => row.remove() }, "Remove"));
    row.value = () => ({ bucket_prefix: prefix.value, ...Object.fromEntries(limits.filter(({ input }) => input.value !== "").map(({ name, input }) => [name, Number(input.value)])) });
    rows.append(row);
  }

  const values = () => [...rows.children].map((row) => row.value());
  const last = known.last_run;
  for (const rule of known.rules) add(rule);
  replace(node, h("h2", {}, "Retention"),
    h("p", { class: "quiet" }, known.rules.length ? "What these rules do not keep is removed. " : "Everything is kept for ever. ", last === null ? "" : `The last run began ${moment(new Date(last.started))} and removed ${plural(Object.values(last.removed).reduce((a, b) => a + b, 0), "event")}.`),
    rows,
    h("div", { class: "toolbar" },
      h("button", { type: "button", onclick: () => add({ bucket_prefix: "", max_age_days: 365 }) }, "Add a rule"),
      h("button", { type: "button", onclick: () => news.trying(async () => {
        const found = await post("retention/preview", { rules: values() }, signal);
        news.say(`${plural(found.would_remove, "event")} would be removed now.`, h("ul", { class: "samples" }, Object.entries(found.buckets).map(([id, events]) => h("li", {}, stored(id), `: ${count(events)}`))));
      }) }, "Preview"),
      h("button", { type: "button", class: "primary", onclick: () => news.trying(async () => { await post("settings/retention", values()); news.say("Saved."); }) }, "Save retention"),
      twice("Run now …", "Remove events, for good", () => news.trying(async () => followed(await post("retention/run", {}), news, signal)))),
    news.node);
}
