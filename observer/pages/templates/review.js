"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const rows = Array.from(document.querySelectorAll("article"));
const find = (id) => document.getElementById(id);
const [search, decided] = ["search", "decided"].map(find);
const filters = Array.from(document.querySelectorAll("select[data-filter]"));
const store = "observer decisions " + facts.ladder;
let decisions = new Map();
let here = null;

function warn(text) {
  find("warning").textContent = text;
  find("warning").hidden = false;
}

function restore() {
  try {
    decisions = new Map(JSON.parse(localStorage.getItem(store) || "[]"));
  } catch (error) {
    warn("This browser keeps no decisions of this page: export them before you close it.");
  }
}

function keep() {
  try {
    localStorage.setItem(store, JSON.stringify(Array.from(decisions)));
  } catch (error) {
    warn("This browser keeps no decisions of this page: export them before you close it.");
  }
}

function options(select) {
  const counts = new Map();
  for (const row of rows) counts.set(row.dataset[select.id], (counts.get(row.dataset[select.id]) || 0) + 1);
  for (const [value, count] of counts) select.add(new Option(value + " (" + count + ")", value));
}

function mark(row) {
  const place = rows.indexOf(row);
  const decision = decisions.get(facts.ids[place]);
  const said = row.querySelector(".decision");
  if (!said) return;
  row.dataset.choice = decision ? decision.choice : "none";
  said.textContent = !decision ? "" : decision.choice === "correct" ? "corrected to " + decision.gold : decision.choice;
  if (decision && decision.choice === "correct") row.querySelector(".decide input").value = decision.gold;
}

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    row.hidden = !(
      filters.every((one) => !one.value || row.dataset[one.id] === one.value) &&
      (!decided || !decided.value || row.dataset.choice === decided.value) &&
      words.every((word) => row.words.includes(word))
    );
    count += row.hidden ? 0 : 1;
  }
  tell(count);
}

function tell(count) {
  const shown = count === undefined ? rows.filter((row) => !row.hidden).length : count;
  const done = decided ? ", " + facts.ids.filter((id) => decisions.has(id)).length + " decided" : "";
  find("count").textContent = shown + " of " + rows.length + " rows" + done;
}

function go(row) {
  if (!row) return;
  if (here) here.classList.remove("here");
  here = row;
  here.classList.add("here");
  here.focus({ preventScroll: true });
  here.scrollIntoView({ block: "start" });
}

function beside(step) {
  const shown = rows.filter((row) => !row.hidden || row === here);
  const place = shown.indexOf(here);
  const next = shown[place < 0 ? 0 : place + step];
  return next && !next.hidden ? next : null;
}

function decide(row, choice) {
  const id = facts.ids[rows.indexOf(row)];
  const gold = row.querySelector(".decide input").value;
  if (choice === "correct" && !gold.trim()) {
    row.querySelector(".decision").textContent = "write the right answer first";
    return false;
  }
  if (choice === null) decisions.delete(id);
  else decisions.set(id, choice === "correct" ? { choice, gold } : { choice });
  keep();
  mark(row);
  tell();
  return true;
}

function exported() {
  const listed = facts.ids.filter((id) => decisions.has(id)).map((id) => ({ id, ...decisions.get(id) }));
  const content = JSON.stringify({ format: facts.format, ladder: facts.ladder, decisions: listed }, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content + "\n"], { type: "application/json" }));
  link.download = "decisions.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.matches("input")) {
    if (event.key === "Escape") event.target.blur();
    if (event.key === "Enter" && here && here.contains(event.target) && decide(here, "correct")) go(beside(1) || here);
    return;
  }
  const acts = {
    j: () => go(beside(1)),
    k: () => go(beside(-1)),
    o: () => here && here.querySelectorAll("details").forEach((one) => (one.open = !one.open)),
    "/": () => search.focus(),
  };
  const choices = { y: "keep", n: "drop", u: null };
  if (decided) {
    acts.e = exported;
    acts.c = () => here && here.querySelector(".decide input").select();
    for (const [key, choice] of Object.entries(choices)) {
      acts[key] = () => here && decide(here, choice) && choice && go(beside(1));
    }
  }
  if (Object.hasOwn(acts, event.key)) {
    event.preventDefault();
    acts[event.key]();
  }
}

restore();
filters.forEach(options);
for (const row of rows) {
  const said = row.querySelectorAll(".seen, .why, .question, .gold, dl, table, .sides");
  row.words = Array.from(said, (part) => part.textContent.toLowerCase()).join(" ");
  mark(row);
  row.addEventListener("click", (event) => {
    if (here && here !== row) here.classList.remove("here");
    here = row;
    here.classList.add("here");
    if (event.target.dataset.choice) decide(row, event.target.dataset.choice);
  });
}
search.addEventListener("input", filter);
for (const select of [...filters, decided]) if (select) select.addEventListener("change", filter);
if (decided) find("export").addEventListener("click", exported);
document.addEventListener("keydown", pressed);
filter();
