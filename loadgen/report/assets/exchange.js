// One exchange: the request, the recorded answer and, if it differs, the replayed one beside it.

const MASKED = "(masked)";

// A body for reading: JSON indented, other text unchanged.
function readable(body) {
  if (typeof body === "string") {
    if (/^\s*[[{]/.test(body)) { try { return indent(body); } catch { /* not JSON: shown as it is */ } }
    return body;
  }
  // Part of a text: JSON cut anywhere cannot be indented, so it is only broken into lines, for comparing them.
  return body.hex ?? (/[[{]"/.test(body.text.slice(0, 4000)) ? body.text.replace(/([,{[])(?=[^\s])/g, "$1\n") : body.text);
}

// Indent JSON without parsing its numbers: 1.0 stays 1.0, and keys that appear twice are both shown.
function indent(text) {
  JSON.parse(text);
  let out = "", depth = 0;
  const line = () => { out += "\n" + "  ".repeat(depth); };
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}:,]|[^\s[\]{}:,"]+/g)) {
    if (token === "{" || token === "[") { out += token; depth++; line(); }
    else if (token === "}" || token === "]") {
      depth--;
      if (/[[{]\s*$/.test(out)) out = out.trimEnd(); else line();
      out += token;
    } else if (token === ",") { out += token; line(); } else out += token === ":" ? ": " : token;
  }
  return out;
}

function leftOut(body) {
  if (typeof body === "string") return "";
  if (body.hex !== undefined) return `Not text: the first ${number(body.shown)} of ${plural(body.size, "byte")}, in hexadecimal.`;
  const before = body.before ? `from byte ${number(body.before)} on, ` : "";
  return `Shown: ${before}${bytes(body.shown)} of ${bytes(body.size)}. ${bytes(body.size - body.shown)} are left out here; all of it was compared.`;
}

function showBody(body) {
  if (body === "") return make("p.quiet", "No body.");
  const note = leftOut(body);
  return make("div", make("pre.code", { tabindex: "0" }, readable(body)), note && make("p.left-out", note));
}

function showHeaders(headers) {
  return make("dl.headers", headers.map(([name, value]) => [
    make("dt", name), make(value === MASKED ? "dd.masked" : "dd", value),
  ]));
}

function headerText(headers) { return headers.map(([name, value]) => `${name}: ${value}`).join("\n"); }

function blocks(level) { return (title, ...content) => make("div.block", make(`h${level}`, title), ...content); }

function showAnswers(store, row, recorded, replayed, block) {
  const one = (answer, title) => answer && block(
    title,
    answer.failure ? make("p.note", answer.failure) : [showHeaders(answer.headers), make("div.block", showBody(answer.body))],
  );
  if (!replayed) return [one(recorded, `Recorded answer · ${recorded ? recorded.status : ""}`)];
  if (recorded && !store.differ[row] && !recorded.failure && !replayed.failure) {
    return [
      make("div.block", make("p.same", "The replay gave the same answer.")),
      one(recorded, `Answer · ${recorded.status}`),
    ];
  }
  if (!recorded || recorded.failure || replayed.failure) return [one(recorded, "Recorded answer"), one(replayed, "Replayed answer")];
  const head = () => make("div.pair-head", make("div.side-rec", "recorded"), make("div.side-rep", "replayed"));
  const notes = [...new Set([leftOut(recorded.body), leftOut(replayed.body)])].filter(Boolean);
  const out = leftOutHeaders(store);
  const compared = (answer) => {
    const own = new Set(answer.headers.filter(([name]) => name.toLowerCase() === "x-loadgen-own").flatMap(([, value]) => value.split(",")));
    const kept = answer.headers.filter(([name]) => !out.has(name.toLowerCase()) || own.has(name.toLowerCase()));
    return `${answer.status}\n${headerText(kept)}`;
  };
  const same = recorded.body === replayed.body && typeof recorded.body === "string";
  return [
    block("Body", same ? [make("p.quiet", "The same on both sides."), showBody(recorded.body)]
      : [head(), renderDiff(readable(recorded.body), readable(replayed.body)), ...notes.map((note) => make("p.left-out", note))]),
    block("Status and headers", head(), renderDiff(compared(recorded), compared(replayed)),
      make("p.left-out", `Not compared, by rule, and not shown here: ${[...leftOutHeaders(store)].join(", ") || "nothing"}.`)),
  ];
}

// The names of the headers that the verdict's rules leave out of the comparison.
function leftOutHeaders(store) {
  const rules = (store.data.verification && store.data.verification.rules) || [];
  return new Set(rules.flatMap((rule) => rule.leaves_out || []));
}

function showDifferences(found) {
  const table = make("table.differences",
    make("thead", make("tr", make("th", { scope: "col" }, "What differs"), make("th.side-rec", { scope: "col" }, "recorded"), make("th.side-rep", { scope: "col" }, "replayed"))));
  table.append(make("tbody", found.differences.map(([field, recorded, replayed]) => make("tr",
    make("th", { scope: "row" }, field),
    markText(make("td.rec"), recorded, replayed),
    markText(make("td.rep"), replayed, recorded)))));
  return table;
}

// Why a request left the tape, and the calls that led there.
function showLeft(found, block) {
  const told = found.differences.some(([, , replayed]) => replayed.includes(found.evidence));
  return [
    found.evidence && !told && block("What the server's boundary saw", make("p.note", found.evidence)),
    found.stack.length > 0 && block(found.left ? "Where it left the tape" : "Where it does so", showStack(found.stack)),
  ].filter(Boolean);
}

// In the drawer the facts come first; among the divergences, at a lower level of headings, what differs does.
function showExchange(store, row, { level, drawer = false }) {
  const block = blocks(level);
  const recorded = store.answer(0, row), replayed = store.answer(1, row), request = store.request(row);
  const found = store.found.get(row + 1);
  const facts = make("dl.exchange-facts");
  const fact = (name, value) => facts.append(make("div", make("dt", name), make("dd", value)));
  const steps = (answer) => (answer.enter < 0 ? "—" : `${number(answer.enter + 1)} to ${answer.leave < 0 ? "—" : number(answer.leave + 1)}`);
  fact("virtual user", String(store.user(row)));
  for (const [side, answer] of [["recorded", recorded], ["replayed", replayed]]) {
    if (!answer) continue;
    fact(`${side} in`, `${duration(store.took(side === "recorded" ? 0 : 1, row))}, at ${duration(answer.sent)}`);
    fact(`server steps, ${side}`, steps(answer));
  }
  return make("div.exchange",
    drawer ? facts : null,
    found && make("div.block", showDifferences(found)),
    found && showLeft(found, block),
    showCallsOf(store, row + 1, block),
    drawer ? null : make("div.block", facts),
    ...showAnswers(store, row, recorded, replayed, block),
    block("Request", showHeaders(request.headers), make("div.block", showBody(request.body))));
}
