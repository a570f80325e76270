// Days, weeks, months and years of the browser's calendar, with the hour at which a day begins.

// What the server knows: years 1 to 9999, less a day at each end for whatever time zone.
export const FIRST_MS = Date.parse("0001-01-02T00:00:00Z");
export const LAST_MS = Date.parse("9999-12-30T00:00:00Z");

/** Midnight or another hour of the browser's calendar. `new Date(year, …)` takes the year 1 for 1901. */
export function dayOf(year, month, day, hour = 0) {
  const at = new Date(2000, 0, 1, hour);
  at.setFullYear(year, month, day);
  at.setHours(hour);
  return at;
}

const part = { day: "Date", month: "Month" };

/** The beginning of the period that holds `date`. `startHour`: at which a day begins. */
export function beginning(date, period, startHour = 0) {
  const at = new Date(date);
  at.setHours(at.getHours() - startHour);
  const start = dayOf(at.getFullYear(), period === "year" ? 0 : at.getMonth(), period === "day" || period === "week" ? at.getDate() : 1, startHour);
  if (period === "week") start.setDate(start.getDate() - ((start.getDay() + 6) % 7));
  return start;
}

/**
 * So many periods later, of another length where clocks are changed in between. `hour`: at which days begin; the one of `date`
 * is a later one where the clocks leave that hour out.
 */
export function shifted(date, period, count, hour = new Date(date).getHours()) {
  const at = new Date(date);
  if (period === "week") at.setDate(at.getDate() + 7 * count);
  else if (period === "year") at.setFullYear(at.getFullYear() + count);
  else if (period === "hour") at.setTime(at.getTime() + count * 3_600_000);
  else at[`set${part[period]}`](at[`get${part[period]}`]() + count);
  if (period !== "hour") at.setHours(hour);
  return at;
}

/** The parts that a heat map of a period shows: hours of a day, else days. */
export function cells(start, period, startHour) {
  const step = period === "day" ? "hour" : "day";
  const end = shifted(start, period, 1, startHour);
  const found = [];
  for (let at = start; at < end; ) {
    const next = shifted(at, step, 1, startHour);
    found.push([at, next < end ? next : end]);
    at = next;
  }
  return found;
}

export const asPeriod = (period) => period.map(known).join("/");

/** As the server takes it: the nearest instant that it knows. */
export const known = (date) => new Date(Math.min(LAST_MS, Math.max(FIRST_MS, date))).toISOString();
