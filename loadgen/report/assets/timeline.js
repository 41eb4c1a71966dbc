// The time line: one lane per virtual user, the recording above the replay, by the clock or by the server's steps.

const AXIS = 26, GUTTER_WIDE = 58, GUTTER_NARROW = 26;
let timeline = null;

function showTimeline(store) {
  if (!store.count) return;
  reveal("timeline");
  timeline = new Timeline(store);
}

class Lanes {
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

  // Where a request begins and ends on the axis, on one side; null if unknown.
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
      : "The steps in which the server entered and finished requests. Overlapping bars were inside the server together.";
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
    const toPixel = (value) => this.gutter + (value / this.whole[1]) * usable;
    const buckets = Math.max(1, Math.floor(usable / 2));
    if (!this.flight || this.flight.buckets !== buckets) this.flight = { buckets, curves: this.store.sides.map((_, side) => this.open(side, buckets)) };
    const most = Math.max(1, ...this.flight.curves.flatMap((curve) => [...curve]));
    const [from, to] = this.view.map(toPixel);
    this.flight.curves.forEach((curve, side) => {
      const tint = colour(side ? "rep" : "rec");
      context.beginPath();
      context.moveTo(this.gutter, height);
      curve.forEach((count, at) => context.lineTo(this.gutter + (at + 0.5) * (usable / buckets), height - (count / most) * (height - 10)));
      if (side) { context.strokeStyle = tint; context.lineWidth = 1.25; context.stroke(); } else { context.lineTo(width, height); context.fillStyle = `${tint}66`; context.fill(); }
    });
    context.fillStyle = `${colour("sunk")}c8`;
    context.fillRect(0, 0, from, height);
    context.fillRect(Math.max(from + 2, to), 0, width, height);
    context.fillStyle = colour("bad");
    for (const seq of this.store.data.differ) {
      const span = this.span(this.store.sides.length - 1, seq - 1);
      if (span) context.fillRect(toPixel(span[0]), 0, 2, 7);
    }
    context.strokeStyle = colour("ink-3");
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
}
