import { h, replace } from "../dom.js";
export function open(place) { replace(place, h("h1", {}, "…")); }
