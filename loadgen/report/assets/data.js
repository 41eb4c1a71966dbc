"use strict";
// The run, unpacked: columns by request (row = sequence number - 1) and tables of distinct values.

const NONE = -1;

async function unpack() {
  const text = document.getElementById("data").textContent;
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Store(await new Response(stream).json());
}

class Store {
  constructor(data) {
    this.data = data;
    this.count = data.requests.user.length;
    this.sides = data.sides;
    this.differ = new Uint8Array(this.count);
    for (const seq of data.differ) if (seq >= 1 && seq <= this.count) this.differ[seq - 1] = 1;
    this.divergences = data.divergences;
    this.found = new Map(data.divergences.map((one) => [one.seq, one]));
    this.users = [...new Set(data.requests.user)].sort((a, b) => a - b);
  }

  user(row) { return this.data.requests.user[row]; }
  method(row) { return this.data.words[this.data.requests.method[row]]; }
  target(row) { return this.data.words[this.data.requests.target[row]]; }
  headers(number) { return number < 0 ? [] : this.data.header_lists[number].map((pair) => this.data.pairs[pair]); }
  body(number) { return number < 0 ? "" : this.data.bodies[number]; }
  request(row) { return { headers: this.headers(this.data.requests.headers[row]), body: this.body(this.data.requests.body[row]) }; }

  // The answer of one side: 0 is the recording, 1 the replay; null if that side has no such request.
  answer(side, row) {
    const columns = this.sides[side];
    if (!columns || row >= columns.status.length) return null;
    const status = columns.status[row];
    return {
      status: status > 0 ? String(status) : status < 0 ? "none" : "—",
      failure: status < 0 ? this.data.failures[-1 - status] : status === 0 ? "no answer was seen" : "",
      headers: this.headers(columns.headers[row]),
      body: this.body(columns.body[row]),
      enter: columns.enter[row], leave: columns.leave[row], sent: columns.sent[row], done: columns.done[row],
    };
  }

  // Microseconds an answer took; NONE without one.
  took(side, row) {
    const columns = this.sides[side];
    if (!columns || !(columns.status[row] > 0) || columns.done[row] < 0) return NONE;
    return columns.done[row] - columns.sent[row];
  }
}

// Make an element: make("p.note", {id: "x"}, "text", child, ...). Text never becomes markup.
function make(what, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    if (child instanceof Node) element.append(child);
    else if (typeof child === "object") for (const [name, value] of Object.entries(child)) element.setAttribute(name, value);
    else element.append(String(child));
  }
  return element;
}

function byId(id) { return document.getElementById(id); }
function number(value) { return Number(value).toLocaleString("en"); }
function plural(count, what) { return `${number(count)} ${what}${count === 1 ? "" : "s"}`; }

function bytes(count) {
  if (count < 1024) return plural(count, "byte");
  const unit = count < 1048576 ? ["KiB", 1024] : ["MiB", 1048576];
  return `${(count / unit[1]).toFixed(1)} ${unit[0]}`;
}

// A duration in microseconds, three digits long.
function duration(micros) {
  if (micros < 0) return "—";
  const [value, unit] = micros < 1000 ? [micros, "µs"] : micros < 1e6 ? [micros / 1000, "ms"] : [micros / 1e6, "s"];
  return `${value >= 100 || unit === "µs" ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ${unit}`;
}

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }
