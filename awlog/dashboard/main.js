// The frame around the views: which one is shown, the state of the connection, and the form that asks for a token.

import { keepToken, onTokenNeeded, takeTokenFromAddress } from "./api.js";
import { h, replace, setText } from "./dom.js";
import { span } from "./format.js";
import { follow, live, run } from "./live.js";

const VIEWS = {
  now: { title: "Now", load: () => import("./views/now.js") },
  timeline: { title: "Timeline", load: () => import("./views/timeline.js") },
  summary: { title: "Summary", load: () => import("./views/summary.js") },
  query: { title: "Query", load: () => import("./views/query.js") },
  buckets: { title: "Buckets", load: () => import("./views/buckets.js") },
};

const main = document.getElementById("main");
const linkState = document.getElementById("link-state");
const otherToken = document.getElementById("other-token");
let leave = () => {};
let shown = null;

/** `#/timeline?bucket=x` → the view and its parameters. */
function route() {
  const [name, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { name: Object.hasOwn(VIEWS, name) ? name : "now", params: new URLSearchParams(query ?? "") };
}

async function show() {
  if (location.hash === "#main") return;
  const { name, params } = route();
  const turn = (shown = Symbol(name));
  const view = await VIEWS[name].load();
  if (turn !== shown) return;
  leave();
  const place = h("div", { class: `view view-${name}` });
  replace(main, place);
  document.title = `${VIEWS[name].title} · awlog`;
  for (const link of document.querySelectorAll(".masthead .views a")) {
    if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  leave = view.open(place, params) ?? (() => {});
}

function showConnection() {
  const lost = live.lostAt !== null;
  linkState.dataset.state = lost ? "lost" : "live";
  otherToken.hidden = live.refusal === null;
  setText(linkState, live.refusal !== null ? "No access" : lost ? `No answer for ${span((Date.now() - live.lostAt) / 1000)}; trying again` : "Live");
}

function askForToken(again) {
  return new Promise((resolve) => {
    const field = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
    const dialog = h("dialog", { class: "ask", "aria-labelledby": "token-title" },
      h("form", { method: "dialog" },
        h("h2", { id: "token-title" }, "This server asks for a token"),
        h("p", {}, again ? "The one that this tab has is not taken, or not any more. " : "", "It stays in this tab until you close it. ",
          h("code", {}, "awlog token create"), " makes one."),
        h("label", { htmlFor: "token" }, "Token"), field,
        h("div", { class: "actions" }, h("button", { class: "primary" }, "Go on"))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(field.value.trim() || null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

otherToken.addEventListener("click", async () => {
  const token = await askForToken(false);
  if (token === null) return;
  keepToken(token);
  location.reload();
});
takeTokenFromAddress();
onTokenNeeded(askForToken);
addEventListener("hashchange", show);
follow(showConnection);
show();
run();
