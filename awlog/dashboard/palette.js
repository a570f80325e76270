// A colour for each name: always the same one, of equal strength in all, lighter on dark ground.

const HUES = [195, 255, 50, 330, 100, 225, 20, 150, 295, 75, 275, 125];
const darkScheme = matchMedia("(prefers-color-scheme: dark)");

export const isDark = () => darkScheme.matches;

/** Tells when the page turns dark or light, until the function that this gives is called. */
export function onScheme(listener) {
  darkScheme.addEventListener("change", listener);
  return () => darkScheme.removeEventListener("change", listener);
}

function hash(text) {
  let value = 2166136261;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 16777619);
  return value >>> 0;
}

const QUIET = new Set(["afk", "(no data)", "Uncategorized", "unknown"]);
const ACCENT = new Set(["not-afk"]);

export function colour(name) {
  const dark = isDark();
  if (QUIET.has(name)) return dark ? "oklch(0.45 0.01 250)" : "oklch(0.79 0.01 90)";
  if (ACCENT.has(name)) return dark ? "oklch(0.56 0.07 185)" : "oklch(0.73 0.07 185)";
  const number = hash(name);
  const hue = HUES[number % HUES.length] + ((number >>> 8) % 3) * 6 - 6;
  const shade = ((number >>> 12) % 3) * 0.035;
  return dark ? `oklch(${0.55 + shade} 0.085 ${hue})` : `oklch(${0.7 + shade} 0.085 ${hue})`;
}
