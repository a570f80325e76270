// Tokens, privacy filters and retention: shown to those whom the server lets.

import { replace } from "./dom.js";

export function openAdmin(place) {
  replace(place);
}
