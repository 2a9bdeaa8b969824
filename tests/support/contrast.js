// Every text, dot and edge on the page with its contrast (WCAG 2.2, relative luminance) and the least that is AA.
const parse = (text) => { const c = text.match(/[\d.]+/g).map(Number); return c.length < 4 ? [...c, 1] : c; };
const over = (a, b) => [0, 1, 2].map((n) => a[n] * a[3] + b[n] * (1 - a[3])).concat(1);
const ground = (e) => {
  const stack = [];
  for (let at = e; at; at = at.parentElement) stack.push(parse(getComputedStyle(at).backgroundColor));
  return stack.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
};
const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
const light = (c) => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
const ratio = (a, b) => {
  const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
  return (x + 0.05) / (y + 0.05);
};
const found = [];
document.querySelectorAll("details").forEach((d) => { d.open = true; });
for (const e of document.querySelectorAll("body *")) {
  const box = e.getBoundingClientRect(), style = getComputedStyle(e);
  if (!box.width || !box.height || style.visibility === "hidden" || box.right < 0) continue;
  const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (text && !e.matches("canvas, .dot")) {
    found.push(["text", `${e.tagName} ${e.textContent.trim().slice(0, 30)}`, ratio(over(parse(style.color), ground(e)), ground(e)), 4.5]);
  }
  if (e.matches(".dot")) {
    found.push(["dot", e.dataset.state, ratio(parse(style.borderColor), ground(e.parentElement)), 3]);
    if (e.textContent) found.push(["mark", e.dataset.state, ratio(parse(style.color), ground(e)), 3]);
  }
  if (e.matches("input, select, button")) {
    found.push(["edge", e.id || e.textContent, ratio(parse(style.borderColor), ground(e.parentElement)), e.disabled ? 0 : 3]);
  }
}
return found;
