// The server's status as it changes, and whether the server is there: one small request at a time, again and again.

import { get, stream } from "./api.js";

const WITH_FEED_MS = 2000;
const WITHOUT_FEED_MS = 500;
const READ_ON_MS = 250;
const RETRY_MS = 1000;
const TELL_MS = 1000;
const SAMPLES_MAX = 90;

/**
 * `status`: the newest answer. `rates`: writes per second, oldest first. `lostAt`: since when there is none, or null; `refusal`:
 * why, where the server said no.
 */
export const live = { status: null, rates: [], peak: 0, lostAt: null, refusal: null, clockAheadMs: 0 };

const listeners = new Set();
let sampled = null;
let hasFeed = false;
let hasNews = false;
let wake = () => {};

/** `listener` is called after each answer or failure, until the function that this gives is called. */
export function follow(listener) {
  listeners.add(listener);
  if (live.status !== null || live.lostAt !== null) listener();
  return () => listeners.delete(listener);
}

/** Now, by the server's clock. */
export const serverNow = () => new Date(Date.now() - live.clockAheadMs);

/** For ever: asks when the change feed says that something changed, and now and then; more often where there is no feed. */
export async function run() {
  followChanges();
  setInterval(tell, TELL_MS);
  for (;;) {
    if (!document.hidden) await once();
    if (!hasNews || live.lostAt !== null || document.hidden) await pause(live.lostAt !== null ? RETRY_MS : hasFeed ? WITH_FEED_MS : WITHOUT_FEED_MS);
  }
}

/** A page that nobody looks at follows nothing: a browser has few connections for one server. */
async function followChanges() {
  for (;;) {
    if (live.status === null || live.lostAt !== null) {
      await new Promise((resolve) => setTimeout(resolve, READ_ON_MS)); // no token yet, or no server
      continue;
    }
    if (document.hidden) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
      continue;
    }
    const abort = new AbortController();
    const leave = () => document.hidden && abort.abort();
    document.addEventListener("visibilitychange", leave);
    try {
      await stream("changes", changed, abort.signal);
    } catch {
      // the next one may come through
    }
    document.removeEventListener("visibilitychange", leave);
    hasFeed = false;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** What changed is not looked at: the status says it in a few bytes. Reading on waits, so a busy server is not hurried. */
async function changed() {
  hasFeed = true;
  hasNews = true;
  wake();
  await new Promise((resolve) => setTimeout(resolve, READ_ON_MS));
}

async function once() {
  hasNews = false;
  try {
    const status = await get("status");
    live.clockAheadMs = Date.now() - new Date(status.now);
    sample(status);
    live.status = status;
    live.lostAt = null;
    live.refusal = null;
  } catch (error) {
    live.lostAt ??= Date.now();
    live.refusal = error.status >= 400 && error.status < 500 ? error.message : null;
  }
  tell();
}

function tell() {
  for (const listener of [...listeners]) listener();
}

/** A rate for each second or so; a restart begins anew. */
function sample(status) {
  if (status.acknowledged === null) return;
  if (sampled !== null && status.uptime >= sampled.uptime) {
    const seconds = status.uptime - sampled.uptime;
    if (seconds < 0.9) return;
    live.rates.push((status.acknowledged - sampled.acknowledged) / seconds);
    if (live.rates.length > SAMPLES_MAX) live.rates.shift();
    live.peak = Math.max(live.peak, live.rates.at(-1));
  }
  sampled = { uptime: status.uptime, acknowledged: status.acknowledged };
}

/** Ends early when something changed, or when the page is looked at again. */
const pause = (ms) =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    document.addEventListener("visibilitychange", done);
    wake = done;
  });
