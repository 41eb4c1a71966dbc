// The divergences, first in the server's order first; each opens to both answers side by side.

const PAGE = 50;

function showDivergences(store) {
  const all = store.divergences, verification = store.data.verification, list = byId("divergence-list");
  const order = verification && verification.server_order && verification.server_order.first_difference;
  if (!all.length && !order) return;
  reveal("divergences");
  const total = verification.diverged || all.length;
  byId("divergences-note").textContent = (all.length ? "In the server's order: the first is where it began." : "")
    + (total > all.length && all.length ? ` ${number(total)} requests differ; the details of ${number(all.length)} were kept.` : "");
  if (order) list.append(showOrder(order));
  const more = make("button", { type: "button" });
  let shown = 0;
  const next = () => {
    const items = all.slice(shown, shown + PAGE).map((one, at) => showDivergence(store, one, shown + at === 0));
    if (more.isConnected) more.before(...items); else list.append(...items);
    shown += items.length;
    if (shown < all.length) { more.textContent = `Show ${Math.min(PAGE, all.length - shown)} more of ${number(all.length - shown)}`; list.append(more); } else more.remove();
    return items[0];
  };
  more.addEventListener("click", () => next().querySelector("button").focus());
  next();
  const first = list.querySelector(".divergence button[aria-expanded]");
  if (first && all.length) first.click();
}

function showDivergence(store, one, first) {
  const row = one.seq - 1, difference = telling(one.differences), id = `divergence-${one.seq}`;
  const known = row < store.count;
  const gist = make("span.gist");
  if (difference) gist.append(make("code", difference[0].replace(/^body:/, "")), `${shorten(difference[1])} → ${shorten(difference[2])}`);
  if (one.differences.length > 1) gist.append(` +${one.differences.length - 1}`);
  const button = make("button", { type: "button", "aria-expanded": "false", "aria-controls": id },
    make("span.chevron", { "aria-hidden": "true" }), make("span.seq", `#${one.seq}`),
    make("span.name", known ? `${store.method(row)} ${store.target(row)}` : `${one.method} ${one.target}`), gist);
  const inside = make("div.inside", { id, hidden: "" });
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    inside.hidden = !open;
    if (!open || inside.childElementCount) return;
    if (first) inside.append(make("p.first", "The first to differ, in the server's order."));
    inside.append(known ? showExchange(store, row, { drawer: false }) : showDifferences(one));
  });
  return make("div.divergence", make("h3", button), inside);
}

// The difference that tells most: a status, then what the body says, then a header; a length follows from the rest.
function telling(differences) {
  const rank = ([field]) => (field === "header:content-length" ? 3 : field.startsWith("header") ? 2 : field.startsWith("body") ? 1 : 0);
  return [...differences].sort((a, b) => rank(a) - rank(b))[0];
}

function showOrder(order) {
  const differences = (order.differences || []).map((one) => [one.field, one.recorded, one.replayed]);
  return make("div.divergence", make("div.inside", make("p.first", "The server took its steps in another order. The first step that differs:"),
    make("div.block", showDifferences({ differences }))));
}

function shorten(text) { return text.length > 40 ? `${text.slice(0, 39)}…` : text; }
