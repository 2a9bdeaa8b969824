// The round as it moves: its phases, and a dot for each device.
import { $, counted, element, fill, whole } from "./words.js";

const STATES = {
  offline: ["", "offline"], waiting: ["", "online, not ready"], available: ["", "available"], assigned: ["…", "assigned"],
  training: ["", "training"], evaluating: ["", "evaluating"], uploading: ["↑", "uploading"], reported: ["✓", "reported"], failed: ["×", "dropped out"],
};
const PHASES = ["selection", "configuration", "reporting", "closing", "committed"];
const NAMED = 24; // devices up to which each dot has its name under it
const LINGER = 2500; // milliseconds that a finished round's dots stay, or nobody would see who reported

let kept = null; // the last round's participants
const dots = new Map();

// Who measures a version trains nothing: it has a colour of its own.
function seen(state, kind) {
  return state === "training" && kind === "evaluate" ? "evaluating" : state;
}

function devicesOf(status) {
  const round = status.round;
  const states = new Map(status.fleet_devices.map((d) => [d.device, { device: d.device, state: d.state === "at work" ? "assigned" : d.state, reason: "" }]));
  if (round?.participants?.length) kept = { id: round.id, kind: round.kind, participants: round.participants, seen: Date.now() };
  else if (kept && round?.phase === "selection" && Date.now() - kept.seen > LINGER) kept = null;
  for (const p of kept?.participants ?? []) {
    if (p.state === "reported" || p.state === "failed" || round?.participants?.length) states.set(p.device, { ...p });
  }
  for (const device of dots.keys()) if (!states.has(device)) states.set(device, { device, state: "offline", reason: "" });
  return [...states.values()].sort((a, b) => (a.device < b.device ? -1 : 1));
}

function showPhases(status, last) {
  const round = status.round;
  const abandoned = !round && last?.phase === "abandoned";
  const at = round ? PHASES.indexOf(round.phase) : abandoned ? -1 : last ? 4 : -1;
  for (const item of $("phases").children) {
    const place = PHASES.indexOf(item.dataset.phase);
    item.className = place < at ? "done" : place === at ? "now" : "";
    if (place === at) item.setAttribute("aria-current", "step"); else item.removeAttribute("aria-current");
    if (item.dataset.phase === "committed") {
      item.firstChild.textContent = abandoned ? "Abandoned" : "Committed";
      if (abandoned) item.className = "bad";
    }
  }
}

export function showRound(status, rows) {
  const round = status.round;
  $("round-h").textContent = round ? (round.kind === "evaluate" ? `Evaluation of version ${status.version}` : `Round ${round.number}`) : "Round";
  $("doing").textContent = status.doing.replace(/^(training|evaluating): /, "");
  showPhases(status, rows.at(-1));
  const devices = devicesOf(status);
  const kind = kept?.kind;
  const holder = $("dots");
  holder.classList.toggle("many", devices.length > NAMED);
  for (const { device, state, reason } of devices) {
    let item = dots.get(device);
    if (!item) {
      item = element("li", {}, element("i", { class: "dot", "aria-hidden": "true" }), element("span", {}, device));
      dots.set(device, item);
      const after = [...dots.keys()].filter((name) => name > device).sort()[0];
      holder.insertBefore(item, after ? dots.get(after) : null);
    }
    if (item.dataset.state === `${state} ${kind}`) continue;
    item.dataset.state = `${state} ${kind}`;
    const dot = item.firstChild;
    dot.dataset.state = seen(state, kind);
    dot.textContent = STATES[state][0];
    const words = `${device}: ${STATES[seen(state, kind)][1]}${reason ? ` (${reason})` : ""}`;
    item.title = words;
    item.setAttribute("aria-label", words);
  }
  const tally = new Map();
  for (const device of devices) {
    const state = seen(device.state, kind);
    tally.set(state, (tally.get(state) ?? 0) + 1);
  }
  const parts = Object.keys(STATES).filter((s) => tally.has(s)).map((s) => `${whole(tally.get(s))} ${STATES[s][1]}`);
  const hidden = status.devices.online - status.fleet_devices.length;
  $("devices-summary").textContent = devices.length
    ? `${counted(devices.length, "device")}: ${parts.join(", ")}${hidden > 0 ? `; ${whole(hidden)} more are online` : ""}`
    : "no devices yet";
  fill($("devices"), devices, () => [
    element("thead", {}, element("tr", {}, element("th", {}, "device"), element("th", { class: "left" }, "state"), element("th", { class: "left" }, "why"))),
    element("tbody", {}, ...devices.map((d) => element("tr", {}, element("td", {}, d.device), element("td", { class: "left" }, STATES[seen(d.state, kind)][1]), element("td", { class: "why" }, d.reason)))),
  ]);
}

fill($("legend"), "legend", () => Object.entries(STATES).map(([state, [mark, word]]) =>
  element("li", {}, element("i", { class: "dot", "data-state": state, "aria-hidden": "true" }, mark), word)));
