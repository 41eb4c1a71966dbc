// The list of all requests: the search covers all of it, only the visible part is drawn.

const EXTRA = 12; // rows drawn beyond what is seen
let requestList = null;

class RequestList {
  constructor(store) {
    this.store = store;
    this.box = byId("rows");
    this.space = byId("rows-space");
    this.shown = Array.from({ length: store.count }, (_, row) => row);
    this.active = 0;
    this.filter = "all";
    this.lower = {};
    reveal("requests");
    this.filters();
    this.height = this.rowHeight();
    let waiting = 0;
    byId("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => this.apply(), 120); });
    byId("sort").addEventListener("change", () => this.apply());
    this.box.addEventListener("scroll", () => this.draw(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("focus", () => this.draw());
    this.space.addEventListener("click", (event) => {
      const element = event.target.closest(".row");
      if (!element) return;
      this.active = Number(element.dataset.at);
      this.draw();
      this.open();
    });
    new ResizeObserver(() => { this.height = this.rowHeight(); this.apply(true); }).observe(this.box);
    this.apply();
  }

  rowHeight() { return parseInt(colour("row"), 10) || 38; }

  filters() {
    const { store } = this, sides = store.sides.length;
    const counts = { all: store.count, differ: 0, errors: 0, none: 0 };
    for (let row = 0; row < store.count; row++) for (const name of ["differ", "errors", "none"]) if (this.is(name, row)) counts[name]++;
    const names = { all: "All", differ: "Differ", errors: "Errors", none: "No answer" };
    for (const [name, title] of Object.entries(names)) {
      if ((name === "differ" && sides < 2) || (name === "none" && !counts.none)) continue;
      const input = make("input", { type: "radio", name: "filter", value: name });
      if (name === "all") input.checked = true;
      input.addEventListener("change", () => { this.filter = name; this.apply(); });
      byId("filters").append(make("label", input, make("span", `${title} ${number(counts[name])}`)));
    }
    if (sides < 2) byId("sort").querySelector("[value=slow1]").remove();
  }

  is(name, row) {
    const { store } = this;
    if (name === "differ") return store.differ[row] === 1;
    if (name === "errors") return store.sides.some((side) => side.status[row] >= 400);
    return store.sides.some((side) => (side.status[row] ?? 0) <= 0);
  }

  // Which entries of a table of distinct values contain a text.
  matches(table, text, words) {
    this.lower[table] ??= this.store.data[table].map((value) => words(value).toLowerCase());
    const hits = new Uint8Array(this.lower[table].length);
    this.lower[table].forEach((value, at) => { if (value.includes(text)) hits[at] = 1; });
    return hits;
  }

  // The test that a row must pass for one word of the search.
  test(word) {
    const { data, sides } = this.store, { requests } = data;
    const [, field, value] = /^(status|user|method|is):(.+)$/.exec(word) ?? [];
    if (field === "status") return (row) => sides.some((side) => String(side.status[row]).startsWith(value.replace(/x+$/, "")));
    if (field === "user") return (row) => String(requests.user[row]) === value;
    if (field === "method") return (row) => this.store.method(row).toLowerCase() === value;
    if (field === "is") return (row) => this.is({ different: "differ", differs: "differ", error: "errors" }[value] ?? value, row);
    if (/^#\d+$/.test(word)) return (row) => row + 1 === Number(word.slice(1));
    const inWords = this.matches("words", word, String);
    const inPairs = this.matches("pairs", word, ([name, text]) => `${name}: ${text}`);
    const inBodies = this.matches("bodies", word, (body) => (typeof body === "string" ? body : body.text ?? body.hex));
    const inLists = Uint8Array.from(data.header_lists, (list) => (list.some((pair) => inPairs[pair]) ? 1 : 0));
    return (row) => inWords[requests.target[row]] || inWords[requests.method[row]] || inLists[requests.headers[row]] || inBodies[requests.body[row]]
      || sides.some((side) => inLists[side.headers[row]] || inBodies[side.body[row]] || String(side.status[row]) === word);
  }

  apply(keep = false) {
    const tests = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean).map((word) => this.test(word));
    if (this.filter !== "all") tests.push((row) => this.is(this.filter, row));
    const current = this.shown[this.active];
    const rows = [];
    for (let row = 0; row < this.store.count; row++) if (tests.every((test) => test(row))) rows.push(row);
    this.sort(rows);
    this.shown = rows;
    this.active = Math.max(0, keep ? rows.indexOf(current) : 0);
    byId("found").textContent = rows.length === this.store.count ? plural(rows.length, "request") : `${number(rows.length)} of ${plural(this.store.count, "request")}`;
    byId("nothing").hidden = rows.length > 0;
    this.box.hidden = rows.length === 0;
    this.space.style.height = `${rows.length * this.height}px`;
    if (!keep) this.box.scrollTop = 0;
    this.draw();
  }

  sort(rows) {
    const how = byId("sort").value, { store } = this;
    if (how === "order") {
      const enter = store.sides[0].enter;
      rows.sort((a, b) => (enter[a] < 0 ? Infinity : enter[a]) - (enter[b] < 0 ? Infinity : enter[b]) || a - b);
    } else if (how !== "seq") {
      const side = Number(how.at(-1));
      rows.sort((a, b) => store.took(side, b) - store.took(side, a) || a - b);
    }
  }

  draw() {
    const from = Math.max(0, Math.floor(this.box.scrollTop / this.height) - EXTRA);
    const to = Math.min(this.shown.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.height) + EXTRA);
    const rows = [];
    for (let at = from; at < to; at++) rows.push(this.row(at));
    const active = this.shown.length && (this.active < from || this.active >= to) ? [this.row(this.active)] : [];
    this.space.replaceChildren(...rows, ...active);
    if (this.shown.length) this.box.setAttribute("aria-activedescendant", `row-${this.shown[this.active]}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  row(at) {
    const { store } = this, row = this.shown[at];
    const recorded = store.answer(0, row), replayed = store.answer(1, row);
    const differs = store.differ[row] === 1;
    let status = recorded ? recorded.status : "—";
    if (replayed && recorded && replayed.status !== recorded.status) status = `${recorded.status} → ${replayed.status}`;
    const kind = differs ? ".differs" : /^[45n]/.test(status) ? ".error" : "";
    const time = (side) => {
      const took = store.took(side, row);
      if (took < 0) return make("span.num", "—");
      const [value, unit] = duration(took).split(" ");
      return make("span.num", value, make("small", ` ${unit}`));
    };
    const element = make("div.row",
      { id: `row-${row}`, role: "option", "aria-selected": String(at === this.active), "aria-posinset": at + 1, "aria-setsize": this.shown.length, "data-at": at },
      make("span.seq", row + 1), make("span.user", store.user(row)),
      make("span.what", make("b", store.method(row)), " ", store.target(row)),
      make("span.state", make(`span.pill${kind}`, differs && !status.includes("→") ? `${status} differs` : status)),
      time(0), time(1));
    element.style.transform = `translateY(${at * this.height}px)`;
    return element;
  }

  key(event) {
    const jump = Math.max(1, Math.floor(this.box.clientHeight / this.height) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: jump, PageUp: -jump, Home: -Infinity, End: Infinity };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.open(); return; }
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.move(moves[event.key]);
  }

  move(by) {
    if (!this.shown.length) return;
    this.active = Math.min(this.shown.length - 1, Math.max(0, this.active + by));
    const top = this.active * this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.height > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + this.height - this.box.clientHeight;
    this.draw();
  }

  open() { if (this.shown.length) openDetail(this.store, this.shown[this.active], (by) => { this.move(by); return this.shown[this.active]; }); }
}

// The exchange in a drawer; step(by) returns the next request, if there is an order.
let detailStep = null;

function openDetail(store, row, step) {
  const dialog = byId("detail"), body = byId("detail-body");
  detailStep = step;
  byId("detail-title").replaceChildren(make("span", `#${row + 1}  `), `${store.method(row)} ${store.target(row)}`);
  body.replaceChildren(showExchange(store, row, { level: 3, drawer: true }));
  body.scrollTop = 0;
  if (!dialog.open) { dialog.showModal(); byId("detail-title").focus(); }
}

function prepareDetail(store) {
  const dialog = byId("detail");
  const go = (by) => { if (detailStep) openDetail(store, detailStep(by), detailStep); };
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
    const what = event.target.dataset.go;
    if (what === "close") dialog.close(); else if (what) go(Number(what));
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j" || event.key === "k") go(event.key === "j" ? 1 : -1);
  });
}
