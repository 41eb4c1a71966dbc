// The call diff: the calls of changed code beside the recorded ones, by route and by request.

const ROUTES = 10, CALL_ROWS = 12;

function showCalls(store) {
  const { verification } = store.data;
  if (!verification || (!verification.calls.length && !verification.altered.length)) return;
  reveal("calls");
  byId("calls-note").textContent = verification.asked ? `${verification.asked[0].toUpperCase()}${verification.asked.slice(1)}.` : "";
  const list = byId("call-list");
  if (verification.altered.length) list.append(make("ul.altered", verification.altered.map((one) => make("li", one))));
  const groups = make("div");
  list.append(groups);
  portions(groups, verification.calls, [ROUTES, ROUTES], showRoute, (next, left) => `Show ${next} more of ${plural(left, "route")}`);
}

function showRoute({ title, rows }) {
  const few = rows.slice(0, CALL_ROWS), more = rows.length - few.length, group = make("section.group");
  group.append(make("div.group-head", make("h3", title)));
  if (rows.length) group.append(callTable(few));
  if (more > 0) {
    const button = make("button.more", { type: "button" }, `Show ${plural(more, "more call")}`);
    button.addEventListener("click", () => { group.querySelector("table").replaceWith(callTable(rows)); button.remove(); });
    group.append(button);
  }
  return group;
}

// One row per call: how it differs, then both sides; a moved read is the same on both.
function callTable(rows) {
  const side = (name, text, other) => text ? markText(make(`td.${name}`), text, other || null) : make(`td.${name}`, make("span.quiet", "nothing"));
  return make("table.differences",
    make("thead", make("tr", make("th", { scope: "col" }, "Call"), make("th.side-rec", { scope: "col" }, "recorded"), make("th.side-rep", { scope: "col" }, "replayed"))),
    make("tbody", rows.map(({ what, recorded, replayed, where, times }) => {
      const [location] = where ? located(where) : [""];
      return make("tr",
        make("th", { scope: "row" }, what, times > 1 && ` × ${number(times)}`, location && make("small.quiet.location", location)),
        side("rec", recorded, replayed), side("rep", replayed, recorded));
    })));
}

// The differing calls of one request, shown beside its answers.
function showCallsOf(store, seq, block) {
  const { verification } = store.data, rows = verification && verification.calls_of[seq];
  return rows ? block("Calls that differ", callTable(rows)) : null;
}
