// One stream of events brings everything that changes; each part of the page is shown by a module of its own.
import { draw, redraw } from "./charts.js";
import * as keyboard from "./keyboard.js";
import { showRound } from "./round.js";
import * as versions from "./versions.js";
import { $, bytes, counted, element, fill, isShare, metricName, metricValue, number, percent, whole } from "./words.js";

const NOT_NEEDED = "the round has enough reports"; // over-selection at work, and no drop-out
const LATE = "too late for its round"; // the other half of over-selection
let about = { metrics: [], ready: false, keyboard: "" };
let status = null;
let rows = [];
let found = [];

async function learn() {
  try {
    about = await (await fetch("/api/about")).json();
  } catch {
    return;
  }
  keyboard.begin(about.keyboard);
  show();
  versions.showVersions(found, about.metrics);
}

function shares() {
  return about.metrics.filter(isShare);
}

function show() {
  if (status) {
    showRound(status, rows);
    showTiles();
    showLink();
    showDrops();
    showPrivacy();
  }
}

function showLink() {
  const over = !status.round && status.version >= status.rounds_wanted;
  const pill = $("link");
  $("fleet").textContent = status.fleet;
  document.title = `${status.fleet}: version ${status.version} – edgewise`;
  pill.dataset.state = over ? "over" : status.ill ? "ill" : "live";
  pill.textContent = over ? "finished" : status.ill ? "not well" : "live";
  $("notice").hidden = over || !status.ill;
  $("notice").textContent = status.ill ? `The coordinator is not well: ${status.ill}.` : "";
}

function showTiles() {
  const measured = rows.filter((row) => about.metrics.some((name) => name in row));
  const name = shares()[0] ?? "loss";
  const [first, last] = [measured.at(0), measured.at(-1)];
  $("t-version").textContent = `version ${status.version}`;
  $("t-version-sub").textContent = `of ${status.rounds_wanted}; ${counted(status.rounds.committed, "round")} committed, ${status.rounds.abandoned} abandoned`;
  $("t-online").textContent = whole(status.devices.online);
  $("t-online-sub").textContent = `${whole(status.devices.available)} available, ${whole(status.devices.known)} known`;
  $("t-metric-name").textContent = isShare(name) ? `${metricName(name)} recall` : metricName(name);
  $("t-metric").textContent = metricValue(name, last?.[name]);
  $("t-metric-sub").textContent = first ? `${metricValue(name, first[name])} before` : "not measured yet";
  const totals = ["up", "down"].map((way) => Math.max(status.bytes[way], rows.reduce((sum, row) => sum + row[`bytes_${way}`], 0)));
  $("t-up").textContent = bytes(totals[0]);
  $("t-down").textContent = bytes(totals[1]);
}

function showCurves() {
  const measured = rows.filter((row) => row.phase !== "abandoned");
  const rounds = measured.map((row) => row.round);
  const values = (name) => measured.map((row) => row[name] ?? null);
  const names = shares();
  const colours = ["--accent", "--blue", "--purple", "--amber"];
  const others = about.metrics.filter((name) => name !== "loss" && !isShare(name));
  $("recall-h").textContent = names.some((name) => name.startsWith("top")) ? "Recall on the devices’ held-out text" : "Metrics on the devices’ held-out examples";
  const curves = names.length ? names : others;
  draw("recall", rounds, curves.map((name, n) => ({ label: metricName(name), colour: colours[n % 4], values: measured.map((row) => (row[name] == null ? null : names.length ? 100 * row[name] : row[name])) })),
    (value) => (value == null ? "–" : names.length ? `${value.toFixed(2)} %` : number(value)));
  draw("loss", rounds, [{ label: "held-out", colour: "--accent", values: values("loss") }, { label: "while training", colour: "--amber", values: values("train_loss"), dash: [6, 4] }], number);
  const trained = rows.filter((row) => row.round);
  draw("bytes", trained.map((row) => row.round), [
    { label: "up", colour: "--blue", bars: -1, values: trained.map((row) => row.bytes_up / 1e6) },
    { label: "down", colour: "--amber", bars: 1, values: trained.map((row) => row.bytes_down / 1e6) },
  ], (value) => (value == null ? "–" : `${value.toFixed(2)} MB`));
  const epsilons = trained.map((row) => row.privacy?.epsilon ?? null);
  $("epsilon").hidden = !epsilons.some((value) => value != null);
  if (!$("epsilon").hidden) draw("epsilon", trained.map((row) => row.round), [{ label: "ε", colour: "--purple", values: epsilons }], (value) => number(value, 2));
}

function bars(entries, total) {
  return element("ul", { class: "bars" }, ...entries.map(([reason, count, bad]) => element("li", { class: bad ? "bad" : "" },
    element("span", {}, reason), element("strong", {}, whole(count)), element("progress", { max: total, value: count, "aria-label": reason }))));
}

// Assignments first, and their parts add up; what was refused are messages, often of devices that were let go above.
function showDrops() {
  const trained = rows.filter((row) => row.round);
  const tally = new Map();
  for (const row of trained) for (const [reason, count] of Object.entries(row.failed ?? {})) tally.set(reason, (tally.get(reason) ?? 0) + count);
  const entries = [...tally].sort((a, b) => b[1] - a[1]).map(([reason, count]) => [reason === NOT_NEEDED ? "not needed: the round had its reports" : reason, count, reason !== NOT_NEEDED]);
  const refused = Object.entries({ ...status.refused, ...status.broker_refused }).map(([reason, count]) => [reason, count, reason !== LATE]);
  const selected = trained.reduce((sum, row) => sum + row.selected, 0);
  const reported = trained.reduce((sum, row) => sum + row.reported, 0);
  fill($("drops"), [entries, refused, selected, reported], () => [
    element("p", { class: "sub" }, selected ? `${whole(reported)} of ${counted(selected, "assignment")} ended in a report${entries.length ? "; the others:" : ": nobody dropped out."}` : "No round has ended yet."),
    entries.length ? bars(entries, selected) : "",
    tally.has(NOT_NEEDED) ? element("p", { class: "sub" }, "Some are not needed by intent: a round asks more devices than it needs (over-selection), so that it need not wait for the slowest.") : "",
    refused.length ? element("h3", { class: "apart" }, "Messages that were not taken") : "",
    refused.length ? bars(refused, Math.max(...refused.map((entry) => entry[1]))) : "",
    refused.some((entry) => entry[0] === LATE) ? element("p", { class: "sub" }, "What came too late is of devices that were let go above; it is counted once there.") : "",
  ]);
}

function showPrivacy() {
  const last = rows.findLast((row) => row.privacy?.delta != null)?.privacy;
  const spent = status.privacy?.delta != null ? status.privacy : last;
  fill($("privacy"), spent ?? {}, () => {
    if (!spent) return [element("p", { class: "empty" }, "No differential privacy in this run: nothing is spent and nothing is promised. Text stays on the devices, but an update can say something about it.")];
    const how = `${spent.mechanism}, noise multiplier ${spent.noise_multiplier}, clipping norm ${spent.clip_norm}; after ${counted(spent.releases, "release")}`;
    if (spent.epsilon == null) return [element("p", {}, "No guarantee without noise."), element("p", { class: "sub" }, how)];
    const budget = spent.budget == null ? "" : ` of ${number(spent.budget, 2)}`;
    return [
      element("p", {}, element("strong", { class: "figure" }, `ε ${number(spent.epsilon, 2)}`), `${budget} at δ ${spent.delta.toExponential(0)}`, spent.zcdp == null ? "" : `; zCDP ${number(spent.zcdp, 3)}`),
      spent.budget == null ? "" : element("progress", { class: "budget", max: spent.budget, value: Math.min(spent.epsilon, spent.budget), "aria-label": "Share of the privacy budget that is spent" }),
      element("p", { class: "sub" }, how),
      element("p", { class: "sub" }, `Assumes ${spent.assumes}`),
    ];
  });
}

function showTable() {
  const names = about.metrics;
  fill($("rounds"), [rows.length, names], () => [
    element("thead", {}, element("tr", {}, ...["round", "phase", "asked", "reports", ...names.map(metricName), "up", "down", "seconds", "why"].map((name) => element("th", {}, name)))),
    element("tbody", {}, ...rows.toReversed().map((row) => element("tr", {},
      ...[row.round, row.round ? row.phase : "before", row.selected || "–", row.reported || "–", ...names.map((name) => metricValue(name, row[name])), bytes(row.bytes_up), bytes(row.bytes_down), number(row.seconds, 1)].map((cell) => element("td", {}, `${cell}`)),
      element("td", { class: "why" }, row.reason ?? "")))),
  ]);
}

function listen() {
  const stream = new EventSource("/api/events");
  const on = (name, act) => stream.addEventListener(name, (event) => act(JSON.parse(event.data)));
  on("status", (news) => {
    const ready = about.ready;
    status = news;
    show();
    if (!ready) learn();
  });
  on("rounds", (news) => {
    rows = [...rows.slice(0, news.from), ...news.rows];
    showCurves();
    showTable();
    show();
  });
  on("versions", (news) => {
    found = news;
    versions.showVersions(found, about.metrics);
    keyboard.showKeyboard(found);
  });
  stream.onerror = () => {
    const pill = $("link");
    pill.dataset.state = "ill";
    pill.textContent = "connection lost";
    const where = about.directory ? ` To look at the run again: edgewise dashboard --dir ${about.directory}` : "";
    $("notice").hidden = false;
    $("notice").textContent = `The dashboard's server does not answer.${where}`;
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
  stream.onopen = () => { $("notice").hidden = true; learn().then(() => { showCurves(); showTable(); }); };
}

function themeButton() {
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => { $("theme").textContent = dark() ? "Light" : "Dark"; $("theme").setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours"); };
  $("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("edgewise-theme", root.dataset.theme); } catch { /* until the page is closed then */ }
    name();
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { name(); redraw(); });
  name();
}

versions.begin();
themeButton();
listen();
