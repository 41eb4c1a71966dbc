// The time line: one lane per virtual user, the recording above the replay, by the clock or by the server's steps.

const AXIS = 26, GUTTER_WIDE = 58, GUTTER_NARROW = 26;
let timeline = null;

function showTimeline(store) {
  if (!store.count) return;
  reveal("timeline");
  timeline = new Timeline(store);
}

class Timeline {
  constructor(store) {
    this.store = store;
    this.box = byId("lanes");
    this.canvas = byId("lanes-canvas");
    this.overview = byId("overview");
    this.tip = byId("tip");
    this.laneOf = new Map(store.users.map((user, lane) => [user, lane]));
    this.lanes = store.users.map(() => []);
    for (let row = 0; row < store.count; row++) this.lanes[this.laneOf.get(store.user(row))].push(row);
    this.mode = "clock";
    this.selected = -1;
    this.hovered = -1;
    this.drag = null;
    this.pointers = new Map();
    const users = store.users.length;
    this.lane = users <= 10 ? 40 : users <= 24 ? 30 : 20;
    this.legend();
    const ordered = store.sides.some((side) => side.steps > 0);
    const choices = document.querySelectorAll("input[name=axis]");
    choices.forEach((input) => input.addEventListener("change", () => this.setMode(input.value)));
    if (!ordered) choices[0].closest("fieldset").hidden = true;
    document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => this.button(button.dataset.zoom)));
    this.listen();
    this.setMode("clock");
    new ResizeObserver(() => this.redraw()).observe(this.box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  legend() {
    const item = (kind, text) => make("li", make(`span.key${kind}`, { "aria-hidden": "true" }), text);
    const items = [item("", "recorded")];
    if (this.store.sides.length > 1) items.push(item(".rep", "replayed"));
    if (this.store.data.differ.length) items.push(item(".bad", "differs"));
    byId("timeline-legend").append(...items);
  }

  // Where a request begins and ends on the axis, on one side; null if that is not known.
  span(side, row) {
    const columns = this.store.sides[side];
    const [from, to] = this.mode === "clock" ? [columns.sent[row], columns.done[row]] : [columns.enter[row], columns.leave[row] + 1];
    if (from === undefined || from < 0) return null;
    return [from, to > from ? to : to > NONE && this.mode === "clock" && columns.done[row] >= 0 ? from + 1 : this.end[side]];
  }

  setMode(mode) {
    this.mode = mode;
    this.end = this.store.sides.map((columns) => {
      if (mode === "order") return columns.steps;
      let last = 1;
      for (let row = 0; row < columns.sent.length; row++) last = Math.max(last, columns.done[row], columns.sent[row] + 1);
      return last;
    });
    this.whole = [0, Math.max(1, ...this.end) * 1.004];
    this.least = mode === "clock" ? 200 : 6;
    this.view = [...this.whole];
    this.flight = null;
    byId("timeline-note").textContent = mode === "clock"
      ? "One lane per virtual user; each session from its own first request."
      : "The steps in which the server let requests in and finished them. Bars that overlap were inside it together.";
    this.redraw();
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); this.drawOverview(); });
  }

  fit(canvas, width, height) {
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return context;
  }

  get gutter() { return this.width < 560 ? GUTTER_NARROW : GUTTER_WIDE; }
  x(value) { return this.gutter + ((value - this.view[0]) / (this.view[1] - this.view[0])) * (this.width - this.gutter); }
  value(x) { return this.view[0] + ((x - this.gutter) / (this.width - this.gutter)) * (this.view[1] - this.view[0]); }

  draw() {
    const full = AXIS + this.lanes.length * this.lane + 6;
    byId("lanes-space").style.height = `${full}px`;
    this.width = this.box.clientWidth;
    this.height = Math.min(full, this.box.clientHeight);
    if (this.width < 40 || !this.height) return;
    const context = this.fit(this.canvas, this.width, this.height);
    const ink = { rec: colour("rec"), rep: colour("rep"), bad: colour("bad"), line: colour("line"), text: colour("ink-2"), panel: colour("panel"), strong: colour("ink"), sunk: colour("sunk") };
    const top = this.box.scrollTop, sides = this.store.sides.length;
    context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    this.drawAxis(context, ink);
    context.save();
    context.beginPath();
    context.rect(0, AXIS, this.width, this.height - AXIS);
    context.clip();
    const bar = Math.max(3, (this.lane - 10) / sides - 1);
    const first = Math.max(0, Math.floor((top) / this.lane)), last = Math.min(this.lanes.length, Math.ceil((top + this.height) / this.lane));
    const marks = [];
    for (let lane = first; lane < last; lane++) {
      const y = AXIS + lane * this.lane - top;
      context.fillStyle = ink.line;
      context.fillRect(this.gutter, y + this.lane - 0.5, this.width, 1);
      for (let side = 0; side < sides; side++) this.drawLane(context, ink, lane, side, y + 5 + side * (bar + 2), bar, marks);
    }
    context.fillStyle = ink.bad;
    for (const [x, y] of marks) {
      context.beginPath();
      context.moveTo(x, y - 5); context.lineTo(x + 5, y); context.lineTo(x, y + 5); context.lineTo(x - 5, y);
      context.fill();
    }
    context.fillStyle = ink.panel;
    context.fillRect(0, AXIS, this.gutter - 1, this.height);
    context.fillStyle = ink.text;
    for (let lane = first; lane < last; lane++) {
      const y = AXIS + (lane + 0.5) * this.lane - top;
      context.fillText(this.gutter === GUTTER_WIDE ? `user ${this.store.users[lane]}` : this.store.users[lane], this.gutter === GUTTER_WIDE ? 12 : 7, y);
    }
    context.restore();
    if (this.drag && this.drag.kind === "select") {
      context.fillStyle = `${ink.rec}2e`;
      const [a, b] = [this.drag.from, this.drag.to].sort((one, other) => one - other);
      context.fillRect(a, AXIS, b - a, this.height);
    }
  }

  drawAxis(context, ink) {
    const [from, to] = this.view, wanted = Math.max(2, Math.floor((this.width - this.gutter) / 110));
    const rough = (to - from) / wanted, power = 10 ** Math.floor(Math.log10(rough));
    let step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
    if (this.mode === "order") step = Math.max(1, step);
    context.textAlign = "center";
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      const x = this.x(at);
      if (x < this.gutter) continue;
      context.fillStyle = ink.line;
      context.fillRect(x, AXIS - 4, 1, this.height);
      context.fillStyle = ink.text;
      const label = this.mode === "order" ? number(Math.round(at)) : clockLabel(at, step);
      const half = context.measureText(label).width / 2;
      context.fillText(label, Math.min(Math.max(x, this.gutter + half), this.width - half - 6), AXIS / 2);
    }
    context.textAlign = "left";
    if (this.mode === "order" && this.gutter === GUTTER_WIDE) { context.fillStyle = ink.text; context.fillText("step", 12, AXIS / 2); }
  }

  drawLane(context, ink, lane, side, y, bar, marks) {
    const rows = this.lanes[lane], { store } = this;
    let drawn = -1;
    for (let at = this.firstIn(rows, side); at < rows.length; at++) {
      const row = rows[at], span = this.span(side, row);
      if (!span) continue;
      if (span[0] > this.view[1]) break;
      const left = Math.max(this.gutter - 4, this.x(span[0])), right = Math.min(this.width + 4, this.x(span[1]));
      if (right < this.gutter) continue;
      const differs = store.differ[row] === 1, last = side === store.sides.length - 1;
      if (differs && last) marks.push([Math.max(this.gutter, left), y + bar / 2]);
      if (right < drawn && row !== this.selected) continue; // within a pixel that is full already
      const width = Math.max(1, right - left - (right - left > 3 ? 1 : 0));
      const answered = store.sides[side].status[row] > 0;
      context.fillStyle = differs && last ? ink.bad : side ? ink.rep : ink.rec;
      context.globalAlpha = answered ? 1 : 0.35;
      if (width > 5) { context.beginPath(); context.roundRect(left, y, width, bar, 2.5); context.fill(); } else context.fillRect(left, y, width, bar);
      context.globalAlpha = 1;
      drawn = Math.ceil(left + width);
      if (width > 54 && bar >= 11) this.label(context, ink, row, left, y, width, bar);
      if (row === this.selected || row === this.hovered) {
        context.strokeStyle = ink.strong;
        context.lineWidth = 2;
        context.strokeRect(left - 1, y - 1, width + 2, bar + 2);
      }
    }
  }

  label(context, ink, row, left, y, width, bar) {
    context.save();
    context.beginPath();
    context.rect(left, y, width - 4, bar);
    context.clip();
    context.fillStyle = ink.panel;
    context.font = `600 ${Math.min(11, bar - 1)}px ${getComputedStyle(document.body).fontFamily}`;
    context.fillText(`${row + 1} ${this.store.method(row)} ${this.store.target(row)}`, Math.max(left, this.gutter) + 6, y + bar / 2 + 0.5);
    context.restore();
  }

  // The first row of a lane that may be seen: one virtual user's requests follow each other.
  firstIn(rows, side) {
    let low = 0, high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1, span = this.span(side, rows[middle]);
      if (span && span[1] < this.view[0]) low = middle + 1; else high = middle;
    }
    return low;
  }

  // How many requests were open, over the whole axis.
  drawOverview() {
    const width = this.overview.parentElement.clientWidth, height = 46;
    const context = this.fit(this.overview, width, height), usable = width - this.gutter;
    const place = (value) => this.gutter + (value / this.whole[1]) * usable;
    const buckets = Math.max(1, Math.floor(usable / 2));
    if (!this.flight || this.flight.buckets !== buckets) this.flight = { buckets, curves: this.store.sides.map((_, side) => this.open(side, buckets)) };
    const most = Math.max(1, ...this.flight.curves.flatMap((curve) => [...curve]));
    context.fillStyle = colour("sunk");
    context.fillRect(0, 0, width, height);
    context.fillStyle = colour("panel");
    const [from, to] = this.view.map(place);
    context.fillRect(from, 0, Math.max(2, to - from), height);
    this.flight.curves.forEach((curve, side) => {
      const tint = colour(side ? "rep" : "rec");
      context.beginPath();
      context.moveTo(this.gutter, height);
      curve.forEach((count, at) => context.lineTo(this.gutter + (at + 0.5) * (usable / buckets), height - (count / most) * (height - 10)));
      if (side) { context.strokeStyle = tint; context.lineWidth = 1.25; context.stroke(); } else { context.lineTo(width, height); context.fillStyle = `${tint}66`; context.fill(); }
    });
    context.fillStyle = colour("bad");
    for (const seq of this.store.data.differ) {
      const span = this.span(this.store.sides.length - 1, seq - 1);
      if (span) context.fillRect(place(span[0]), 0, 1.5, 6);
    }
    context.strokeStyle = colour("line-2");
    context.lineWidth = 1;
    context.strokeRect(from + 0.5, 0.5, Math.max(2, to - from) - 1, height - 1);
    context.fillStyle = colour("ink-2");
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    if (this.gutter === GUTTER_WIDE) context.fillText("open", 12, height / 2);
  }

  open(side, buckets) {
    const change = new Int32Array(buckets + 1), scale = buckets / this.whole[1];
    for (let row = 0; row < this.store.sides[side].sent.length; row++) {
      const span = this.span(side, row);
      if (!span) continue;
      change[Math.floor(span[0] * scale)]++;
      change[Math.min(buckets, Math.floor(span[1] * scale) + 1)]--;
    }
    let now = 0;
    return change.subarray(0, buckets).map((by) => (now += by));
  }

  zoom(factor, around = (this.view[0] + this.view[1]) / 2) {
    const span = Math.min(this.whole[1], Math.max(this.least, (this.view[1] - this.view[0]) * factor));
    const share = (around - this.view[0]) / (this.view[1] - this.view[0]);
    this.look(around - span * share, span);
  }

  look(from, span) {
    const start = Math.min(Math.max(0, from), Math.max(0, this.whole[1] - span));
    this.view = [start, start + span];
    this.box.dataset.view = this.view.map((value) => Math.round(value)).join(" ");
    this.tip.hidden = true;
    this.redraw();
  }

  pan(share) { const span = this.view[1] - this.view[0]; this.look(this.view[0] + span * share, span); }

  button(what) {
    if (what === "all") this.look(0, this.whole[1]); else this.zoom(what === "in" ? 0.5 : 2);
  }

  // Which request lies under a point.
  at(x, y) {
    const lane = Math.floor((y - AXIS + this.box.scrollTop) / this.lane);
    const rows = this.lanes[lane];
    if (!rows || y < AXIS || x < this.gutter) return -1;
    const inside = (y - AXIS + this.box.scrollTop) % this.lane, sides = this.store.sides.length;
    const side = sides > 1 && inside > this.lane / 2 ? 1 : 0, value = this.value(x), slack = this.value(x + 3) - value;
    let best = -1, distance = slack;
    for (let at = Math.max(0, this.firstIn(rows, side) - 1); at < rows.length; at++) {
      const span = this.span(side, rows[at]);
      if (!span) continue;
      if (span[0] > value + slack) break;
      const away = Math.max(0, span[0] - value, value - span[1]);
      if (away <= distance) { best = rows[at]; distance = away; }
    }
    return best;
  }

  listen() {
    const { box } = this;
    box.addEventListener("scroll", () => this.redraw(), { passive: true });
    box.addEventListener("keydown", (event) => this.key(event));
    box.addEventListener("wheel", (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (sideways) { event.preventDefault(); this.pan(event.deltaX / this.width); return; }
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== box) return;
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-80, Math.min(80, event.deltaY)) * 0.006), this.value(event.offsetX));
    }, { passive: false });
    box.addEventListener("pointerdown", (event) => this.down(event));
    box.addEventListener("pointermove", (event) => this.moveTo(event));
    box.addEventListener("pointerup", (event) => this.up(event));
    box.addEventListener("pointercancel", (event) => { this.pointers.delete(event.pointerId); this.drag = null; this.redraw(); });
    box.addEventListener("pointerleave", () => { this.tip.hidden = true; if (this.hovered >= 0) { this.hovered = -1; this.redraw(); } });
    const slide = (event) => {
      const x = event.clientX - this.overview.getBoundingClientRect().left, span = this.view[1] - this.view[0];
      this.look(((x - this.gutter) / (this.overview.clientWidth - this.gutter)) * this.whole[1] - span / 2, span);
    };
    this.overview.addEventListener("pointerdown", (event) => { this.overview.setPointerCapture(event.pointerId); slide(event); });
    this.overview.addEventListener("pointermove", (event) => { if (event.buttons) slide(event); });
  }

  place(event) {
    const frame = this.canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  down(event) {
    const [x, y] = this.place(event);
    if (event.button || x > this.width) return;
    this.pointers.set(event.pointerId, x);
    if (this.pointers.size === 2) {
      const [a, b] = [...this.pointers.values()];
      this.drag = { kind: "pinch", gap: Math.max(8, Math.abs(a - b)), view: [...this.view], middle: this.value((a + b) / 2) };
    } else this.drag = { kind: event.pointerType === "touch" || event.shiftKey ? "pan" : "select", from: x, to: x, y, view: [...this.view] };
    if (event.pointerType !== "touch") this.box.setPointerCapture(event.pointerId);
  }

  moveTo(event) {
    const [x, y] = this.place(event);
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, x);
    const { drag } = this;
    if (!drag) { this.hover(x, y); return; }
    if (drag.kind === "pinch" && this.pointers.size === 2) {
      const [a, b] = [...this.pointers.values()], factor = drag.gap / Math.max(8, Math.abs(a - b));
      this.view = [...drag.view];
      this.zoom(factor, drag.middle);
    } else if (drag.kind === "pan") {
      drag.to = x;
      const span = drag.view[1] - drag.view[0];
      this.look(drag.view[0] - ((x - drag.from) / (this.width - this.gutter)) * span, span);
    } else { drag.to = Math.max(this.gutter, x); this.redraw(); }
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    const { drag } = this;
    this.drag = null;
    if (!drag || drag.kind === "pinch") return;
    if (Math.abs(drag.to - drag.from) < 5) {
      const row = this.at(drag.from, drag.y);
      if (row >= 0) { this.select(row, false); this.openSelected(); }
    } else if (drag.kind === "select") {
      const [a, b] = [this.value(drag.from), this.value(drag.to)].sort((one, other) => one - other);
      this.look(a, Math.max(this.least, b - a));
    }
    this.redraw();
  }

  hover(x, y) {
    const row = this.at(x, y);
    if (row !== this.hovered) { this.hovered = row; this.redraw(); }
    this.tip.hidden = row < 0;
    if (row < 0) return;
    const { store } = this, line = (side) => {
      const answer = store.answer(side, row);
      return answer && make("div", `${NAMES[side]}: ${answer.status} in ${duration(store.took(side, row))}, at ${duration(answer.sent)}`
        + (answer.enter >= 0 ? `, steps ${number(answer.enter + 1)}–${answer.leave >= 0 ? number(answer.leave + 1) : "…"}` : ""));
    };
    this.tip.replaceChildren(make("b", `#${row + 1}  ${store.method(row)} ${store.target(row)}`), ...[line(0), line(1)].filter(Boolean),
      store.differ[row] ? make("div", make("b", "The answers differ.")) : "");
    const frame = this.tip.parentElement.getBoundingClientRect(), box = this.box.getBoundingClientRect();
    const wide = this.tip.offsetWidth, left = Math.min(Math.max(8, x + 14), frame.width - wide - 8);
    const below = box.top - frame.top + y + 18;
    this.tip.style.left = `${left}px`;
    this.tip.style.top = `${below + this.tip.offsetHeight > frame.height ? Math.max(2, below - this.tip.offsetHeight - 32) : below}px`;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const acts = {
      "+": () => this.zoom(0.6), "=": () => this.zoom(0.6), "-": () => this.zoom(1 / 0.6), "_": () => this.zoom(1 / 0.6),
      arrowleft: () => this.pan(-0.2), arrowright: () => this.pan(0.2), 0: () => this.look(0, this.whole[1]), home: () => this.look(0, this.view[1] - this.view[0]),
      end: () => this.look(this.whole[1], this.view[1] - this.view[0]),
      n: () => this.step(1), p: () => this.step(-1), d: () => this.nextDivergence(), enter: () => this.openSelected(),
    };
    if (!acts[key]) return;
    event.preventDefault();
    acts[key]();
  }

  step(by) { this.select(Math.min(this.store.count - 1, Math.max(0, this.selected + by)), true); return this.selected; }

  nextDivergence() {
    const differ = this.store.data.differ;
    const next = differ.find((seq) => seq - 1 > this.selected) ?? differ[0];
    if (next) this.select(next - 1, true);
  }

  select(row, show) {
    this.selected = row;
    if (show) {
      const span = this.span(0, row), wide = this.view[1] - this.view[0];
      if (span && (span[0] < this.view[0] || span[1] > this.view[1])) this.look((span[0] + span[1]) / 2 - wide / 2, wide);
      const top = this.laneOf.get(this.store.user(row)) * this.lane;
      if (top < this.box.scrollTop || top + this.lane + AXIS > this.box.scrollTop + this.height) this.box.scrollTop = top - this.height / 3;
      byId("timeline-said").textContent = `Request ${row + 1}, user ${this.store.user(row)}, ${this.store.method(row)} ${this.store.target(row)}${this.store.differ[row] ? ", differs" : ""}`;
    }
    this.redraw();
  }

  openSelected() { if (this.selected >= 0) openDetail(this.store, this.selected, (by) => this.step(by)); }
}

function clockLabel(micros, step) {
  if (step >= 1e5) return `${+(micros / 1e6).toFixed(1)} s`;
  if (step >= 1000) return `${number(Math.round(micros / 1000))} ms`;
  return `${+(micros / 1000).toFixed(2)} ms`;
}
