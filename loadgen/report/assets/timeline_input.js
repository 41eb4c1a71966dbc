// Wheel, drag, pinch and keys on the time line.

class Timeline extends PaintedLanes {
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

  // The request under a point.
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

  pointer(event) {
    const frame = this.canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  down(event) {
    const [x, y] = this.pointer(event);
    if (event.button || x > this.width) return;
    this.pointers.set(event.pointerId, x);
    if (this.pointers.size === 2) {
      const [a, b] = [...this.pointers.values()];
      this.drag = { kind: "pinch", gap: Math.max(8, Math.abs(a - b)), view: [...this.view], middle: this.value((a + b) / 2) };
    } else this.drag = { kind: event.pointerType === "touch" || event.shiftKey ? "pan" : "select", from: x, to: x, y, view: [...this.view] };
    if (event.pointerType !== "touch") this.box.setPointerCapture(event.pointerId);
  }

  moveTo(event) {
    const [x, y] = this.pointer(event);
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
