// Is a bucket being recorded? Judged by its own rhythm: a window watcher that is silent for ten minutes has stopped, a log of
// commits has not.

const LATE_MIN_S = 90;
const STOPPED_MIN_S = 600;
const LATE_SILENCES = 4;
const STOPPED_SILENCES = 20;
const PAST_MIN_S = 14 * 86400;

export const STATES = {
  recording: { words: "Recording", order: 2 },
  late: { words: "Late", order: 1 },
  stopped: { words: "Stopped", order: 0 },
  past: { words: "Not recorded any more", order: 3 },
  empty: { words: "Empty", order: 4 },
};

/** `{state, ageS, sinceMs}` of a bucket of `/status`, at an instant of the server's clock. */
export function judge(bucket, nowMs) {
  if (bucket.tail === null) return { state: "empty", ageS: 0, sinceMs: null };
  const sinceMs = Date.parse(bucket.tail.timestamp) + bucket.tail.duration * 1000;
  const ageS = Math.max(0, (nowMs - sinceMs) / 1000);
  const usual = bucket.usual_silence ?? 0;
  const stoppedS = Math.max(STOPPED_MIN_S, STOPPED_SILENCES * usual);
  let state = "recording";
  if (ageS > Math.max(PAST_MIN_S, stoppedS)) state = "past";
  else if (ageS > stoppedS) state = "stopped";
  else if (ageS > Math.max(LATE_MIN_S, LATE_SILENCES * usual)) state = "late";
  return { state, ageS, sinceMs };
}
