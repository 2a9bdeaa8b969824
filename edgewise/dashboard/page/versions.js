// The versions with what each came from, and the way back to one.
import { $, clock, element, fill, metricName, metricValue } from "./words.js";

let token = "";
let rows = [];
let metrics = [];

const storage = { get: () => { try { return sessionStorage.getItem("edgewise-token") ?? ""; } catch { return ""; } }, set: (value) => { try { sessionStorage.setItem("edgewise-token", value); } catch { /* for this page alone then */ } } };

export function begin() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) history.replaceState(null, "", location.pathname); // out of the address bar, the history and every screenshot
  useToken(given || storage.get());
  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useToken($("token").value.trim());
    $("token").value = "";
    $("versions-say").textContent = token ? "The token is used from now on." : "No token: the page is read-only.";
  });
}

function useToken(value) {
  token = value;
  storage.set(value);
  show();
}

export function showVersions(found, names) {
  rows = found;
  metrics = names;
  show();
}

function lineage() {
  const parents = new Map(rows.map((row) => [row.version, row.parent]));
  const line = new Set();
  for (let at = rows[0]?.version; at != null && !line.has(at); at = parents.get(at)) line.add(at);
  return line;
}

function show() {
  $("versions-note").textContent = token ? "" : "read-only: rolling back needs the token";
  const line = lineage();
  const newest = rows[0]?.version;
  fill($("versions"), [rows, Boolean(token), metrics], () => [
    element("thead", {}, element("tr", {}, ...["version", "made from", "round", ...metrics.map(metricName), "made", ""].map((name) => element("th", {}, name)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {},
      element("td", {}, element("span", { class: "tree", "aria-hidden": "true" }, line.has(row.version) ? (row.parent == null ? "┴" : row.version === newest ? "┬" : "│") : "╵"),
        `${row.version} `, row.version === newest ? element("span", { class: "tag" }, "newest") : "", !line.has(row.version) ? element("span", { class: "sub" }, "left behind") : ""),
      element("td", {}, row.parent == null ? "–" : `${row.parent}${row.round_id == null ? " (rolled back)" : ""}`),
      element("td", {}, row.round == null ? "–" : `${row.round}`),
      ...metrics.map((name) => element("td", {}, metricValue(name, row.metrics[name]))),
      element("td", {}, clock(row.created)),
      element("td", {}, row.version === newest ? "" : element("button", { type: "button", disabled: !token, title: token ? "" : "needs the token", "aria-label": `Roll back to version ${row.version}`, onclick: () => ask(row.version) }, "Roll back")),
    ))),
  ]);
}

function ask(version) {
  const dialog = $("confirm");
  $("confirm-say").textContent = `Version ${version} becomes the newest once more, and rounds go on from it. A round that is under way is abandoned. Nothing is deleted.`;
  dialog.returnValue = "";
  dialog.addEventListener("close", () => { if (dialog.returnValue === "yes") rollBack(version); }, { once: true });
  dialog.showModal();
}

async function rollBack(version) {
  const say = $("versions-say");
  say.textContent = `Rolling back to version ${version} …`;
  try {
    const answer = await fetch("/api/rollback", { method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${token}` }, body: JSON.stringify({ version }) });
    const found = await answer.json();
    say.textContent = answer.ok ? `Version ${found.version} is version ${version} again; rounds go on from it.` : `Not rolled back: ${found.error}.`;
  } catch {
    say.textContent = "Not rolled back: the dashboard does not answer.";
  }
}
