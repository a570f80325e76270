// The line of times above a timeline: marks at whole minutes, hours, days, months or years of the browser's calendar.

import { isDark } from "./palette.js";
import { sized } from "./canvas.js";
import { dayOf } from "./ranges.js";

const HEIGHT = 30;
const APART = 84;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const clock = { hour: "2-digit", minute: "2-digit" };
const form = (options) => {
  const formatter = new Intl.DateTimeFormat(undefined, options);
  return (date) => formatter.format(date);
};
const STEPS = [
  ...[1, 5, 15, 30].map((n) => ({ ms: n * 1000, say: form({ ...clock, second: "2-digit" }) })),
  ...[1, 5, 15, 30].map((n) => ({ ms: n * MINUTE, say: form(clock) })),
  ...[1, 3, 6, 12].map((n) => ({ ms: n * HOUR, say: form(clock), hours: n })),
  ...[1, 2, 7].map((n) => ({ ms: n * DAY, say: form({ weekday: "short", day: "numeric", month: "short" }), days: n })),
  ...[1, 3, 6].map((n) => ({ ms: n * 30.4 * DAY, say: form({ month: "short", year: "numeric" }), months: n })),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((n) => ({ ms: n * 365.25 * DAY, say: form({ year: "numeric" }), years: n })),
];
const fullDay = form({ weekday: "short", day: "numeric", month: "short" });

export function drawAxis(canvas, begin, end) {
  const width = canvas.parentElement.clientWidth;
  const context = sized(canvas, width, HEIGHT);
  context.clearRect(0, 0, width, HEIGHT);
  const scale = width / (end - begin);
  const step = STEPS.find((each) => each.ms * scale >= APART) ?? STEPS.at(-1);
  context.font = "12px Inter, system-ui, sans-serif";
  context.textBaseline = "middle";
  for (let mark = firstMark(new Date(begin), step), at = 0; mark <= end && at < 60; mark = nextMark(mark, step), at += 1) {
    const x = (mark - begin) * scale;
    const isMidnight = step.ms < DAY && mark.getHours() === 0 && mark.getMinutes() === 0 && mark.getSeconds() === 0;
    context.fillStyle = isDark() ? "#30353a" : "#dedbd2";
    context.fillRect(Math.round(x), 0, 1, HEIGHT);
    context.fillStyle = isMidnight ? (isDark() ? "#e9e7e1" : "#1d1f23") : isDark() ? "#a4a8ae" : "#5b5f67";
    context.fillText(isMidnight ? fullDay(mark) : step.say(mark), Math.round(x) + 6, HEIGHT / 2);
  }
}

function firstMark(date, step) {
  const at = new Date(date);
  if (step.years) return dayOf(Math.floor(at.getFullYear() / step.years) * step.years, 0, 1);
  if (step.months) return dayOf(at.getFullYear(), Math.floor(at.getMonth() / step.months) * step.months, 1);
  if (step.days) {
    at.setHours(0, 0, 0, 0);
    if (step.days === 7) at.setDate(at.getDate() - ((at.getDay() + 6) % 7));
    else at.setDate(at.getDate() - ((at.getDate() - 1) % step.days));
    return at;
  }
  if (step.hours) {
    at.setHours(Math.floor(at.getHours() / step.hours) * step.hours, 0, 0, 0);
    return at;
  }
  return new Date(Math.floor(date / step.ms) * step.ms);
}

function nextMark(mark, step) {
  const at = new Date(mark);
  if (step.years) at.setFullYear(at.getFullYear() + step.years);
  else if (step.months) at.setMonth(at.getMonth() + step.months);
  else if (step.days) at.setDate(at.getDate() + step.days);
  else if (step.hours) at.setHours(at.getHours() + step.hours);
  else at.setTime(at.getTime() + step.ms);
  return at;
}
