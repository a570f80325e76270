// The server's status as it changes, and whether the server is there: one small request at a time, again and again.

import { get } from "./api.js";

const EVERY_MS = 500;
const RETRY_MS = 1000;
const SAMPLES_MAX = 90;

/** `status`: the newest answer. `rates`: writes per second, oldest first. `lostAt`: since when there is no answer, or null. */
export const live = { status: null, rates: [], peak: 0, lostAt: null, clockAheadMs: 0 };

const listeners = new Set();
let sampled = null;

/** `listener` is called after each answer or failure, until the function that this gives is called. */
export function follow(listener) {
  listeners.add(listener);
  if (live.status !== null || live.lostAt !== null) listener();
  return () => listeners.delete(listener);
}

/** Now, by the server's clock. */
export const serverNow = () => new Date(Date.now() - live.clockAheadMs);

export async function run() {
  for (;;) {
    if (!document.hidden) await once();
    await pause(live.lostAt === null ? EVERY_MS : RETRY_MS);
  }
}

async function once() {
  try {
    const status = await get("status");
    live.clockAheadMs = Date.now() - new Date(status.now);
    sample(status);
    live.status = status;
    live.lostAt = null;
  } catch {
    live.lostAt ??= Date.now();
  }
  for (const listener of [...listeners]) listener();
}

/** A rate for each second or so; a restart begins anew. */
function sample(status) {
  if (sampled !== null && status.uptime >= sampled.uptime) {
    const seconds = status.uptime - sampled.uptime;
    if (seconds < 0.9) return;
    live.rates.push((status.acknowledged - sampled.acknowledged) / seconds);
    if (live.rates.length > SAMPLES_MAX) live.rates.shift();
    live.peak = Math.max(live.peak, live.rates.at(-1));
  }
  sampled = { uptime: status.uptime, acknowledged: status.acknowledged };
}

/** Ends early when the page is looked at again. */
const pause = (ms) =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    document.addEventListener("visibilitychange", done);
  });
