// The divergences by cause, in the server's order; each opens to both answers side by side.

const PAGE = 50, FEW = 3, GROUPS = 10;
let causeGroups = null;

function showDivergences(store) {
  const all = store.divergences, { verification, causes } = store.data, list = byId("divergence-list");
  const order = verification && verification.server_order && verification.server_order.first_difference;
  if (!all.length && !order && !causes.length) return;
  reveal("divergences");
  const total = verification.diverged || all.length;
  byId("divergences-note").textContent = [
    all.length ? "In the server's order: the first is where it began." : "",
    total > all.length && all.length ? `${number(total)} requests differ; the details of ${number(all.length)} were kept.` : "",
  ].filter(Boolean).join(" ");
  const byCause = new Map(causes.map((cause) => [cause.number, []])), others = [];
  for (const one of all) (byCause.get(one.cause) || others).push(one);
  if (causes.length) {
    const groups = make("div");
    list.append(groups);
    causeGroups = portions(groups, causes, [GROUPS, GROUPS], (cause) => showGroup(store, cause, byCause.get(cause.number)),
      (next, left) => `Show ${next} more of ${plural(left, "cause")}`);
  }
  if (others.length) {
    const rows = make("div.divergence-rows"), level = causes.length ? 4 : 3;
    list.append(rows);
    portions(rows, others, [PAGE, PAGE], (one) => showDivergence(store, one, { level, first: one === all[0] }),
      (next, left) => `Show ${next} more of ${number(left)}`);
  }
  if (order) list.append(make("div.divergence-rows", showOrder(order)));
  const first = list.querySelector(".divergence button[aria-expanded]");
  if (first) first.click();
}

// One cause: its header, then its divergences; all but the first few are behind a button.
function showGroup(store, cause, members) {
  const rows = make("div.divergence-rows"), group = make("section.group", { "aria-labelledby": `cause-${cause.number}` });
  const elsewhere = cause.count - members.length;
  group.append(make("div.group-head",
    make("h3", { id: `cause-${cause.number}`, tabindex: "-1" },
      make("span.quiet", `Cause ${cause.number}`), " ", cause.request && make("code", cause.request), " ", make("span", `${plural(cause.count, "request")}`)),
    faultLabel(cause)), rows);
  if (members.length) {
    portions(rows, members, [FEW, PAGE], (one) => showDivergence(store, one, { level: 4, first: one === store.divergences[0] }),
      (next, left) => `Show ${next === left ? "" : `${next} of `}${plural(left, "more request")} of this cause`);
  } else if (cause.head) {
    rows.append(make("div.divergence", make("div.inside", make("div.block", showDifferences(cause.head)), showLeft(cause.head, blocks(4)))));
  }
  if (elsewhere > 0) group.append(make("p.quiet.elsewhere", `${members.length ? plural(elsewhere, "more request") : `${elsewhere === 1 ? "It" : "They"}`} differed in other replays only.`));
  return group;
}

function jumpToCause(at) {
  const { causes } = requestList.store.data;
  causeGroups.until(causes.findIndex((cause) => cause.number === at));
  const head = byId(`cause-${at}`), button = head.closest(".group").querySelector("button[aria-expanded=false]");
  const open = head.closest(".group").querySelector("button[aria-expanded=true]");
  if (button && !open) button.click();
  head.scrollIntoView();
  head.focus({ preventScroll: true });
}

function showDivergence(store, one, { level, first }) {
  const row = one.seq - 1, id = `divergence-${one.seq}`;
  const known = row < store.count;
  const button = make("button", { type: "button", "aria-expanded": "false", "aria-controls": id },
    make("span.chevron", { "aria-hidden": "true" }), make("span.seq", `#${one.seq}`),
    make("span.name", known ? `${store.method(row)} ${store.target(row)}` : `${one.method} ${one.target}`), showGist(one));
  const inside = make("div.inside", { id, hidden: "" });
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    inside.hidden = !open;
    if (!open || inside.childElementCount) return;
    if (first) inside.append(make("p.first", "The first to differ, in the server's order."));
    inside.append(known ? showExchange(store, row, { level: level + 1 }) : showDifferences(one));
  });
  return make("div.divergence", make(`h${level}.toggle`, button), inside);
}

function showGist(one) {
  const difference = telling(one.differences), gist = make("span.gist");
  if (!difference) return gist;
  const [field, recorded, replayed] = difference, [what, why] = replayed.split(/: (.*)/s);
  if (field === "outcome" && why) gist.append(make("b", what), shorten(why, 60));
  else gist.append(make("code", field.replace(/^body:/, "")), `${shorten(recorded)} → ${shorten(replayed)}`);
  if (one.differences.length > 1) gist.append(` +${one.differences.length - 1}`);
  return gist;
}

// The most telling difference: a status, then the body, then a header; a length is only a consequence.
function telling(differences) {
  const rank = ([field]) => (field === "header:content-length" ? 3 : field.startsWith("header") ? 2 : field.startsWith("body") ? 1 : 0);
  return [...differences].sort((a, b) => rank(a) - rank(b))[0];
}

function showOrder(order) {
  const differences = (order.differences || []).map((one) => [one.field, one.recorded, one.replayed]);
  return make("div.divergence", make("div.inside", make("p.first", "The server took its steps in a different order. The first differing step:"),
    make("div.block", showDifferences({ differences }))));
}

function shorten(text, limit = 40) { return text.length > limit ? `${text.slice(0, limit - 1)}…` : text; }
