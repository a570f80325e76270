// Days, weeks, months and years of the browser's calendar, with the hour at which a day begins.

const part = { day: "Date", month: "Month" };

/** The beginning of the period that holds `date`. `startHour`: at which a day begins. */
export function beginning(date, period, startHour = 0) {
  const at = new Date(date);
  at.setHours(at.getHours() - startHour);
  const start = new Date(at.getFullYear(), period === "year" ? 0 : at.getMonth(), period === "day" || period === "week" ? at.getDate() : 1, startHour);
  if (period === "week") start.setDate(start.getDate() - ((start.getDay() + 6) % 7));
  return start;
}

/** The same hour so many periods later; of another length where clocks are changed in between. */
export function shifted(date, period, count) {
  const at = new Date(date);
  if (period === "week") at.setDate(at.getDate() + 7 * count);
  else if (period === "year") at.setFullYear(at.getFullYear() + count);
  else if (period === "hour") at.setTime(at.getTime() + count * 3_600_000);
  else at[`set${part[period]}`](at[`get${part[period]}`]() + count);
  return at;
}

/** The parts that a heat map of a period shows: hours of a day, else days. */
export function cells(start, period) {
  const step = period === "day" ? "hour" : "day";
  const end = shifted(start, period, 1);
  const found = [];
  for (let at = start; at < end; ) {
    const next = shifted(at, step, 1);
    found.push([at, next < end ? next : end]);
    at = next;
  }
  return found;
}

export const asPeriod = ([start, end]) => `${start.toISOString()}/${end.toISOString()}`;
