// How numbers and things are written, everywhere on the page.
export const $ = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export const percent = (value) => (value == null ? "–" : `${(100 * value).toFixed(2)} %`);
export const number = (value, digits = 3) => (value == null ? "–" : value.toFixed(digits));
export const whole = (value) => (value == null ? "–" : Math.round(value).toLocaleString("en"));
export const counted = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
export const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export function bytes(count) {
  if (count == null) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (count >= 1000 && at < units.length - 1) { count /= 1000; at += 1; }
  return `${at ? count.toFixed(count < 10 ? 2 : 1) : count} ${units[at]}`;
}

const METRICS = { top1: "top-1", top3: "top-3" };
export const metricName = (name) => METRICS[name] ?? name;
export const isShare = (name) => /^(top\d+|accuracy)$/.test(name);
export const metricValue = (name, value) => (name === "loss" || !isShare(name) ? number(value) : percent(value));

// Fills a list or a table only where something changed; whoever is on a button in it stays on the button of that name.
export function fill(parent, key, build) {
  const text = JSON.stringify(key);
  if (parent.dataset.key === text) return;
  parent.dataset.key = text;
  const at = document.activeElement;
  const name = parent.contains(at) ? at.getAttribute("aria-label") : null;
  parent.replaceChildren(...build());
  if (name) parent.querySelector(`[aria-label="${CSS.escape(name)}"]`)?.focus({ preventScroll: true });
}
