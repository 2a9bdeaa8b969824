// Two versions of the model, asked for the next word after the same text.
import { $, element, fill } from "./words.js";

const PAUSE = 120; // milliseconds without a key before the models are asked
let versions = [];
let follows = true; // whether "after" stays with the newest version
let timer = 0;
let asked = 0;
let ready = false;

export function begin(missing) {
  ready = !missing;
  $("typed").disabled = !ready;
  if (missing) $("keyboard-say").textContent = missing;
  else $("keyboard-say").textContent = "";
  if (ready) suggest();
}

export function showKeyboard(found) {
  const before = $("before").value || "0";
  versions = found.map((row) => row.version).sort((a, b) => a - b);
  if (!versions.length) return;
  const newest = `${versions.at(-1)}`;
  const after = follows ? newest : $("after").value;
  for (const [id, chosen] of [["before", versions.includes(Number(before)) ? before : `${versions[0]}`], ["after", after]]) {
    const select = $(id);
    fill(select, versions, () => versions.map((v) => element("option", { value: v }, v === 0 ? "version 0" : `version ${v}`)));
    if (select.value !== chosen) select.value = chosen;
  }
  if (ready && $("after").dataset.asked !== `${$("before").value} ${$("after").value}`) suggest();
}

async function suggest() {
  const [before, after] = [Number($("before").value), Number($("after").value)];
  if (!ready || !versions.length) return;
  $("after").dataset.asked = `${before} ${after}`;
  const mine = ++asked;
  try {
    const answer = await fetch("/api/suggest", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ text: $("typed").value, versions: before === after ? [before] : [before, after] }) });
    const found = await answer.json();
    if (mine !== asked) return;
    $("keyboard-say").textContent = answer.ok ? "" : found.error;
    if (!answer.ok) return;
    show("before-words", found[before]);
    show("after-words", found[after]);
  } catch {
    if (mine === asked) $("keyboard-say").textContent = "The dashboard does not answer.";
  }
}

function show(id, words) {
  fill($(id), words, () => words.map(({ word, probability }) =>
    element("button", { type: "button", "aria-label": `${word}, ${(100 * probability).toFixed(1)} per cent`, onclick: () => take(word) },
      element("b", {}, word), element("small", {}, `${(100 * probability).toFixed(1)} %`), element("progress", { max: 1, value: probability, "aria-hidden": "true" }))));
}

function take(word) {
  const typed = $("typed");
  typed.value = `${typed.value.trimEnd()} ${word} `.trimStart();
  typed.focus();
  suggest();
}

$("typed").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(suggest, PAUSE); });
$("keyboard").addEventListener("submit", (event) => { event.preventDefault(); $("after-words").querySelector("button")?.click(); });
$("before").addEventListener("change", suggest);
$("after").addEventListener("change", () => { follows = Number($("after").value) === versions.at(-1); suggest(); });
