// Numbers, times and spans as people read them, in the browser's language and time zone.

const whole = new Intl.NumberFormat();
const oneDigit = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const clockSeconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayOfWeek = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
const dayWithYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

export const MINUTE_S = 60;
export const HOUR_S = 3600;
export const DAY_S = 86400;

export const count = (number) => whole.format(number);
export const rate = (number) => (number >= 100 ? whole.format(Math.round(number)) : oneDigit.format(number));
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** `0.4 s`, `12 s`, `5 min`, `3 h 20 min`, `12 d`: two units at most. */
export function span(seconds) {
  if (seconds < 1) return `${oneDigit.format(Math.max(0, seconds))} s`;
  if (seconds < MINUTE_S) return `${Math.floor(seconds)} s`;
  if (seconds < HOUR_S) return `${Math.floor(seconds / MINUTE_S)} min`;
  if (seconds < DAY_S) return two(seconds, HOUR_S, "h", MINUTE_S, "min");
  if (seconds < 14 * DAY_S) return two(seconds, DAY_S, "d", HOUR_S, "h");
  if (seconds < 730 * DAY_S) return `${count(Math.floor(seconds / DAY_S))} d`;
  return `${oneDigit.format(seconds / DAY_S / 365.25)} years`;
}

/** A sum of time: `2:05:09`, hours of any number. */
export function hours(seconds) {
  const all = Math.floor(seconds + 1e-6);
  const pad = (number) => String(number).padStart(2, "0");
  return `${Math.floor(all / HOUR_S)}:${pad(Math.floor(all / MINUTE_S) % 60)}:${pad(all % 60)}`;
}

/** A sum of time where there is little room: `2:05`. */
export const hoursAndMinutes = (seconds) => hours(seconds).slice(0, -3);

function two(seconds, large, largeName, small, smallName) {
  const rest = Math.floor((seconds % large) / small);
  return `${Math.floor(seconds / large)} ${largeName}${rest ? ` ${rest} ${smallName}` : ""}`;
}

export function bytes(number) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let place = 0;
  let left = number;
  while (left >= 1000 && place < units.length - 1) {
    left /= 1000;
    place += 1;
  }
  return place === 0 ? `${count(number)} bytes` : `${left >= 100 ? whole.format(Math.round(left)) : oneDigit.format(left)} ${units[place]}`;
}

/** When it was, as short as it stays clear: a time of today, else with the day. */
export function moment(date, now = new Date()) {
  const days = Math.abs(now - date) / 1000 / DAY_S;
  if (date.toDateString() === now.toDateString()) return clock.format(date);
  if (days < 6) return `${dayOfWeek.format(date)} ${clock.format(date)}`;
  return date.getFullYear() === now.getFullYear() ? `${dayOfYear.format(date)}, ${clock.format(date)}` : dayWithYear.format(date);
}

export const day = (date) => dayOfYear.format(date);
export const dayAndYear = (date) => dayWithYear.format(date);
export const time = (date) => clock.format(date);
export const timeWithSeconds = (date) => clockSeconds.format(date);
export const dateAndTime = (date) => `${dayWithYear.format(date)}, ${clockSeconds.format(date)}`;
