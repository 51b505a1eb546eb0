"use strict";
const find = (id) => document.getElementById(id);
const facts = JSON.parse(find("facts").textContent);
const groups = JSON.parse(find("groups").textContent);
const [search, first, last, level, verdict, truncated, right] =
  ["search", "first", "last", "level", "verdict", "truncated", "right"].map(find);
const main = document.querySelector("main");
const PAGE = 10;
const [INDEX, TEXT, TOKENS, FINISH, VERDICT, REASON, FOUND, PARTS, REWARD, BONUS, WEIGHT, ADVANTAGE] = Array(12).keys();
const escaped = facts.leftOut.replace(/[[\].*+?^${}()|\\]/g, "\\$&");
const mark = new RegExp("<(/?)(" + facts.tags.join("|") + ")>|" + escaped + "[\\d,]+ characters left out \\.\\.\\.\\]", "g");
// Predictions have no step, and so no advantages and no weights.
const trained = groups.some((group) => group.s !== null);
let shown = [];
let place = 0;
let words = [];

function made(name, text, kind) {
  const element = document.createElement(name);
  if (text !== undefined && text !== null) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function marked(text, kind) {
  const block = made("pre", undefined, kind);
  const put = (piece, name) => piece && block.append(made("span", piece, name));
  let ground = "ink";
  let end = 0;
  for (const found of text.matchAll(mark)) {
    put(text.slice(end, found.index), ground);
    put(found[0], found[2] ? found[2] + "-tag" : "faint");
    if (found[2]) ground = found[1] ? "ink" : found[2] + "-text";
    end = found.index + found[0].length;
  }
  put(text.slice(end), ground);
  return block;
}

function number(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : value;
}

function named(pairs) {
  const list = made("dl");
  for (const [name, value] of pairs) {
    if (value === undefined) continue;
    const pair = made("div");
    pair.append(made("dt", name), made("dd", value === null ? "\u2013" : number(value)));
    list.append(pair);
  }
  return list;
}

function said(value) {
  return value === null ? "not kept" : value;
}

function passRate(group) {
  return group.r !== null ? group.r : group.c.filter((one) => one[VERDICT] === "correct").length / group.c.length;
}

function wants(group) {
  if (first.value !== "" && group.s < Number(first.value)) return false;
  if (last.value !== "" && group.s > Number(last.value)) return false;
  if (level.value !== "" && String(group.l) !== level.value) return false;
  if (!right.value) return true;
  const share = passRate(group);
  return right.value === (share === 0 ? "none" : share === 1 ? "all" : "some");
}

function texts(group) {
  if (!group.words) {
    group.words = [group.q, group.g, group.i].filter(Boolean).join("\n").toLowerCase();
    for (const one of group.c) one.words = [one[TEXT], one[REASON], one[FOUND]].filter(Boolean).join("\n").toLowerCase();
  }
  return group.words;
}

function matches(group, one) {
  if (verdict.value && one[VERDICT] !== verdict.value) return false;
  if (truncated.value && (one[FINISH] === "length") !== (truncated.value === "yes")) return false;
  return words.every((word) => texts(group).includes(word) || one.words.includes(word));
}

function filter() {
  words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = groups.filter((group) => wants(group) && group.c.some((one) => matches(group, one)));
  place = 0;
  draw();
}

function completion(group, one) {
  const box = made("div", undefined, "completion " + one[VERDICT]);
  if (!matches(group, one)) box.classList.add("other");
  const head = made("p");
  head.append(made("b", one[VERDICT], "verdict-" + one[VERDICT]));
  if (trained) head.append(" ", made("b", "advantage " + said(number(one[ADVANTAGE]))));
  if (one[FINISH] === "length") head.append(" ", made("span", "truncated", "cut"));
  box.append(head);
  box.append(named([["completion", one[INDEX]], ["tokens", said(one[TOKENS])], ["reward", said(one[REWARD])],
    ["bonus", said(one[BONUS])], ["weight", trained ? said(one[WEIGHT]) : undefined]]));
  box.append(named(Object.entries(one[PARTS])));
  const found = one[FOUND] === null ? "no answer found" : "answer found: " + one[FOUND];
  box.append(made("p", one[REASON] ? found + " \u00b7 " + one[REASON] : found, "faint"));
  box.append(one[TEXT].trim() ? marked(one[TEXT]) : made("p", one[TEXT] ? "(nothing but blanks)" : "(no text)", "faint"));
  return box;
}

function picture(one) {
  if (one.length < 2) return made("p", "picture: " + one[0], "fault");
  const figure = made("figure");
  const image = made("img");
  image.alt = "picture of the question";
  image.addEventListener("load", () => image.classList.toggle("small", Math.max(image.naturalWidth, image.naturalHeight) < facts.small));
  image.src = facts.pictures[one[0]];
  figure.append(image, made("figcaption", one[1]));
  return figure;
}

function prompt(group) {
  if (group.t === null) return made("p", "prompt: not kept", "faint");
  const details = made("details");
  details.append(made("summary", "prompt, as the model was given it"));
  for (const [role, text] of group.t) details.append(made("p", role, "faint"), marked(text, "question"));
  return details;
}

function article(group) {
  const card = made("article");
  card.tabIndex = -1;
  const left = made("div");
  if (group.p === null) left.append(made("p", "pictures: not kept", "faint"));
  else if (!group.p.length) left.append(made("p", "no picture", "faint"));
  else left.append(...group.p.map(picture));
  const question = group.q === null ? "not kept" : group.p && group.p.length > 1 ? group.q : group.q.replace("<image>", "");
  left.append(marked(question.trim(), "question"));
  const gold = made("p", undefined, "gold");
  gold.append(made("span", "gold answer ", "faint"), made("b", said(group.g)));
  left.append(gold, named([["step", trained ? group.s : undefined], ["level", said(group.l)],
    ["pass rate", trained ? said(group.r) : passRate(group)], ["row", group.i]]), prompt(group));
  const side = made("div", undefined, "group");
  side.append(...group.c.map((one) => completion(group, one)));
  card.append(left, side);
  return card;
}

function draw() {
  const start = place - (place % PAGE);
  main.replaceChildren(...shown.slice(start, start + PAGE).map(article));
  main.dataset.start = start;
  const count = shown.reduce((sum, group) => sum + group.c.length, 0);
  find("count").textContent = shown.length + " of " + groups.length + " groups, " + count + " completions";
  find("page").textContent = "page " + (shown.length ? start / PAGE + 1 : 0) + " of " + Math.ceil(shown.length / PAGE);
}

function go(to) {
  if (to < 0 || to >= shown.length) return;
  place = to;
  if (Number(main.dataset.start) !== place - (place % PAGE)) draw();
  for (const card of main.children) card.classList.remove("here");
  const card = main.children[place % PAGE];
  card.classList.add("here");
  card.focus({ preventScroll: true });
  document.documentElement.style.scrollPaddingTop = document.querySelector("header").offsetHeight + 8 + "px";
  card.scrollIntoView({ block: "start" });
}

function step(by) {
  go(document.querySelector("article.here") ? place + by : place);
}

function page(by) {
  const to = place - (place % PAGE) + by * PAGE;
  if (to >= 0 && to < shown.length) go(to);
}

function reset() {
  for (const field of [search, first, last, level, verdict, truncated, right]) field.value = "";
  filter();
}

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.matches("input")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const acts = {
    j: () => step(1),
    k: () => step(-1),
    n: () => page(1),
    p: () => page(-1),
    o: () => document.querySelectorAll("article.here details").forEach((one) => (one.open = !one.open)),
    "/": () => search.focus(),
    x: reset,
  };
  if (Object.hasOwn(acts, event.key) && !event.target.matches("select")) {
    event.preventDefault();
    acts[event.key]();
  }
}

function options(select, values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
  for (const value of Array.from(counts.keys()).sort((one, other) => (one > other ? 1 : -1))) {
    select.add(new Option((select === level ? "level " : "") + value + " (" + counts.get(value) + ")", String(value)));
  }
}

first.closest("label").hidden = !trained;
options(level, groups.map((group) => group.l).filter((value) => value !== null));
options(verdict, groups.flatMap((group) => group.c.map((one) => one[VERDICT])));
let waiting = 0;
search.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(filter, groups.length > 500 ? 150 : 0);
});
for (const field of [first, last, level, verdict, truncated, right]) field.addEventListener("change", filter);
find("reset").addEventListener("click", reset);
find("back").addEventListener("click", () => page(-1));
find("on").addEventListener("click", () => page(1));
document.addEventListener("keydown", pressed);
filter();
