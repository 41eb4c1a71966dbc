// The schedule of an explored run: a lane for each request, its turns in the order in which they ran.

const WHY = { lock: "waits for a lock", slow: "waits for a call", off: "waits for something that is not recorded", end: "is done", start: "" };
const TURNS = 60;

function isSwitch(turn) { return ["line", "store", "call"].includes(turn.why); }

function showLanes(store) {
  const found = store.data.schedule;
  if (!found) return;
  reveal("schedule");
  const switches = found.turns.filter(isSwitch).length;
  byId("schedule-note").textContent = [
    `${plural(found.lanes.length, "lane")}, ${plural(found.turns.length + found.more, "turn")}, ${plural(switches, "preemption")}.`,
    "Time runs downwards; one thread ran at a time.",
    found.more ? `The first ${number(found.turns.length)} turns are shown.` : "",
  ].filter(Boolean).join(" ");
  byId("schedule-story").append(...found.story.map((text) => make("p", text)));
  byId("schedule-files").append(...found.excerpts.map(showExcerpt));
  byId("schedule-keys").hidden = !switches;
  const list = byId("schedule-lanes");
  list.style.setProperty("--lanes", found.lanes.length);
  portions(list, found.turns, [TURNS, TURNS * 5], (turn) => showTurn(store, found, turn), (next, left) => `Show ${next} more of ${plural(left, "turn")}`);
  list.parentElement.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !["n", "p"].includes(event.key.toLowerCase())) return;
    const stops = [...list.querySelectorAll(".stopped button")];
    if (!stops.length) return;
    const at = stops.indexOf(document.activeElement), by = event.key.toLowerCase() === "n" ? 1 : -1;
    const next = stops[at < 0 ? (by > 0 ? 0 : stops.length - 1) : (at + by + stops.length) % stops.length];
    next.focus();
    next.scrollIntoView({ block: "center" });
    event.preventDefault();
  });
}

function showTurn(store, found, turn) {
  const lane = found.lanes[turn.lane], row = lane.seq - 1, known = row >= 0 && row < store.count;
  const name = known ? `${lane.name}  ${store.method(row)} ${store.target(row)}` : lane.name;
  const button = make("button", { type: "button" }, name);
  if (known) button.addEventListener("click", () => openDetail(store, row, null));
  else button.disabled = true;
  const lines = turn.lines.map((at) => showLocation(found.locations[at]));
  const item = make(`div.turn${isSwitch(turn) ? ".stopped" : ""}`, { role: "listitem" }, button, make("div.turn-lines", lines), showEnd(found, turn));
  item.style.setProperty("--lane", turn.lane + 1);
  item.style.setProperty("--at", found.turns.indexOf(turn) + 1);
  item.dataset.hue = turn.lane % 6;
  return item;
}

function showLocation(location) {
  return make("div.location", make("span.at", `${location.file}:${location.line}`), make("code", location.code || location.function));
}

function showEnd(found, turn) {
  const to = turn.to >= 0 ? found.lanes[turn.to].name : "";
  if (isSwitch(turn)) {
    const location = turn.at >= 0 ? found.locations[turn.at] : null;
    const where = !location ? "after a recorded call" : (turn.why === "line" ? ["before ", make("code", location.code || `${location.file}:${location.line}`)] : turn.why === "store"
      ? ["in the middle of ", make("code", location.code || `${location.file}:${location.line}`)] : ["after a call at ", make("code", `${location.file}:${location.line}`)]);
    return make("p.end", make("b", "Stopped "), where, to && ` — ${to} goes on`);
  }
  return WHY[turn.why] ? make("p.end.quiet", WHY[turn.why], turn.why !== "end" && to && ` — ${to} goes on`) : null;
}

function showExcerpt(one) {
  return make("figure.excerpt", make("figcaption", one.title, make("span.quiet", one.file)),
    make("pre.code", { tabindex: "0", "aria-label": `${one.file}, lines around ${one.marked}` }, one.lines.map((text, at) => {
      const line = one.first + at;
      return make(`span.source${line === one.marked ? ".marked" : ""}`, make("span.n", String(line)), `${text}\n`);
    })));
}
