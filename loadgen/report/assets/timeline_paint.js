// Draws a lane and the axis.

class PaintedLanes extends Lanes {
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
      if (differs && last && right - left < 9) marks.push([Math.max(this.gutter, (left + right) / 2), y + bar / 2]);
      if (right < drawn && row !== this.selected) continue; // within a pixel that is full already
      const width = Math.max(1, right - left - (right - left > 5 ? 1 : 0));
      const answered = store.sides[side].status[row] > 0;
      context.fillStyle = differs && last ? ink.bad : side ? ink.rep : ink.rec;
      context.globalAlpha = answered ? 1 : 0.35;
      if (width > 10) { context.beginPath(); context.roundRect(left, y, width, bar, 2.5); context.fill(); } else context.fillRect(left, y, width, bar);
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
}

function clockLabel(micros, step) {
  if (step >= 1e5) return `${+(micros / 1e6).toFixed(1)} s`;
  if (step >= 1000) return `${number(Math.round(micros / 1000))} ms`;
  return `${+(micros / 1000).toFixed(2)} ms`;
}
