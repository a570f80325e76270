// The only place that talks to the server. A key that the server asks for stays in this tab and goes nowhere else.

// Beside the folder of these files, wherever that is.
const BASE = new URL("../api/0/", import.meta.url).href;
const KEY = "awlog-token";
const NEEDS_TOKEN = { type: "Unauthorized", message: "This server asks for a token" };

/** What the server said no to, or that it could not be reached (`status` 0). */
export class ApiError extends Error {
  constructor(status, body) {
    super(body.message ?? "The server does not answer");
    this.status = status;
    this.type = body.type ?? "Unreachable";
    this.line = body.line ?? null;
    this.column = body.column ?? null;
  }
}

let askForToken = async () => null;
let asking = null;
let hasDeclined = false;

/** `ask` shows a form and gives the token that was entered. */
export function onTokenNeeded(ask) {
  askForToken = ask;
}

/** `?token=` in the address is kept for this tab, and taken out of the address. */
export function takeTokenFromAddress() {
  const address = new URL(location.href);
  const token = address.searchParams.get("token");
  if (token === null) return;
  keepToken(token);
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}

export const keepToken = (token) => sessionStorage.setItem(KEY, token);
export const hasToken = () => sessionStorage.getItem(KEY) !== null;

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token === null ? more : { ...more, Authorization: `Bearer ${token}` };
}

export const path = (...segments) => segments.map(encodeURIComponent).join("/");

export function withQuery(address, values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return given.length ? `${address}?${new URLSearchParams(given)}` : address;
}

/** The answer to a request, decoded. Raises ApiError; a 401 is asked about once, for all that wait, and not again by itself. */
export async function request(method, address, { body, signal, raw } = {}) {
  for (;;) {
    const used = sessionStorage.getItem(KEY);
    const response = await send(method, address, body, signal);
    if (response.status === 401 && !(await isRefusedDelete(response))) {
      if (sessionStorage.getItem(KEY) === used) {
        if (hasDeclined) throw new ApiError(401, NEEDS_TOKEN);
        asking ??= askForToken(used !== null).finally(() => (asking = null));
        const token = await asking;
        hasDeclined = token === null;
        if (hasDeclined) throw new ApiError(401, NEEDS_TOKEN);
        keepToken(token);
      }
      continue;
    }
    if (!response.ok && response.status !== 304) throw new ApiError(response.status, await decoded(response));
    return raw ? response : decoded(response);
  }
}

/** A stream of the server: calls `onPart` whenever some of it has come, and reads on when that is done. Ends as the stream does. */
export async function stream(address, onPart, signal) {
  const response = await fetch(BASE + address, { headers: headers({ Accept: "text/event-stream" }), signal });
  if (!response.ok) throw new ApiError(response.status, {});
  const reader = response.body.getReader();
  while (!(await reader.read()).done) await onPart();
}

async function send(method, address, body, signal) {
  const sent = { method, signal, headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }) };
  if (body !== undefined) sent.body = JSON.stringify(body);
  try {
    return await fetch(BASE + address, sent);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, {});
  }
}

/** Deleting a bucket without `force` is a 401 as well: not one that a token mends. */
const isRefusedDelete = async (response) => (await response.clone().json().catch(() => ({}))).type === "DeleteBucketUnauthorized";

async function decoded(response) {
  const text = await response.text();
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    return { message: `The server answered with status ${response.status} and no JSON` };
  }
}

export const get = (address, signal) => request("GET", address, { signal });
export const post = (address, body, signal) => request("POST", address, { body, signal });
export const put = (address, body) => request("PUT", address, { body });
export const remove = (address) => request("DELETE", address);

/** Sends a file to `/import`; `onProgress` is told the share that is on its way. */
export function upload(file, onProgress) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", `${BASE}import`);
    for (const [name, value] of Object.entries(headers({ "Content-Type": "application/json" }))) sending.setRequestHeader(name, value);
    sending.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress(event.loaded / event.total));
    sending.addEventListener("load", () => {
      let body = {};
      try {
        body = JSON.parse(sending.responseText) ?? {};
      } catch {
        // an answer that is no JSON is told by its status
      }
      if (sending.status === 200) resolve();
      else reject(new ApiError(sending.status, { message: `The server answered with status ${sending.status}`, ...body }));
    });
    sending.addEventListener("error", () => reject(new ApiError(0, {})));
    sending.send(file);
  });
}

/** Saves an answer as a file: as it comes where no token is needed, else by way of this page. */
export async function download(address, name) {
  const link = document.createElement("a");
  link.download = name;
  if (hasToken()) {
    const response = await request("GET", address, { raw: true });
    link.href = URL.createObjectURL(await response.blob());
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } else {
    link.href = BASE + address;
  }
  link.click();
}

export function saveText(text, name, type) {
  const link = document.createElement("a");
  link.download = name;
  link.href = URL.createObjectURL(new Blob([text], { type }));
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  link.click();
}
