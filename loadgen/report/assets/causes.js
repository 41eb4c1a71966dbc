// The causes below the headline: what differs, where it began, the fault, and what to do next.

const CARDS = 3, MORE_CARDS = 20;

function faultLabel({ fault, label }) { return make("span.fault", { "data-fault": fault }, `At fault: ${label}`); }

function showCauses(store) {
  const { causes } = store.data;
  if (!causes.length) return;
  const list = byId("causes");
  portions(list, causes, [CARDS, MORE_CARDS], (cause) => showCause(store, cause),
    (next, left) => `And ${plural(left, "more cause")}`);
}

function showCause(store, cause) {
  const { causes } = store.data, rows = make("dl");
  const say = (name, ...value) => rows.append(make("div", make("dt", name), make("dd", ...value)));
  if (cause.where) say("Where", make("code", cause.where));
  say("Why", cause.why);
  say("Next", cause.advice);
  if (cause.debug) say("Debug", make("code", cause.debug));
  const link = make("a.jump", { href: `#cause-${cause.number}` }, cause.others || `See request ${number(cause.first)}`);
  link.addEventListener("click", (event) => { event.preventDefault(); jumpToCause(cause.number); });
  const { call_log: callLog } = store.data.verification;
  const seen = callLog && callLog.seq === cause.first && callLog.logged;
  return make("article.cause",
    make("p.cause-top", faultLabel(cause), causes.length > 1 && make("span.quiet", `Cause ${cause.number} of ${number(causes.length)}`)),
    make("h2", cause.request && make("code", cause.request), cause.what[0].toUpperCase() + cause.what.slice(1)), rows, seen && showWatched(seen), link);
}

// The results of a request's calls from the recording, and the next items where it left the tape.
function showWatched({ calls, count, left_over }) {
  const far = (call) => FAR.test(call);
  const own = (at) => at.find((call) => !far(call)) || at[0];
  const rows = calls.map(({ at, got }) => {
    const [location, line] = located(own(at));
    return make("tr", make("td", make("code", line || location), line && make("small.quiet", location)), make("td", make("code", got || "nothing")));
  });
  const skipped = count - calls.length;
  return make("details.call-log", make("summary", `Results of its ${plural(count, "call")}, from the recording`),
    skipped > 0 && make("p.quiet", `The first ${number(skipped)} are left out.`),
    make("div.table-wrap", { tabindex: "0", role: "group", "aria-label": "Calls, in order" }, make("table.table.calls",
      make("thead", make("tr", make("th", { scope: "col" }, "call"), make("th", { scope: "col" }, "got"))), make("tbody", rows))),
    left_over.length > 0 && [make("p.quiet", "The recording goes on with:"), make("ol.code.stack", left_over.map((one) => make("li", one)))]);
}

// The engine's first message, with its surroundings in the log.
function showEngineLog({ first, line, lines }) {
  return make("details.engine-log", make("summary", `What the server's log says first of the engine, line ${number(line)}`),
    make("pre.code", { tabindex: "0" }, lines.map((text, at) => make(first + at === line ? "b" : "span", `${text}\n`))));
}

const FAR = /\/(site|dist)-packages\/|\/lib\/python3|^<frozen /;

// Split a call into its location and its line of code.
function located(call) {
  const [, location, line] = /^(.*?:\d+ in [^:]*)(?:: (.*))?$/s.exec(call) || [null, call, ""];
  return [location, line];
}

// Where a request left the tape; the application's own calls are highlighted.
function showStack(calls) {
  const items = calls.map((call) => {
    const [location, line] = located(call);
    return make(FAR.test(location) ? "li.far" : "li", location, line && make("code", line));
  });
  return make("ol.code.stack", { tabindex: "0", "aria-label": "Calls, innermost first" }, items);
}

// Put items into a container: the first few, and the rest in portions, with a button.
function portions(container, items, [few, then], show, label) {
  const more = make("button.more", { type: "button" });
  let shown = 0;
  const next = (count) => {
    const elements = items.slice(shown, shown + count).map(show);
    container.append(...elements);
    shown += elements.length;
    if (shown < items.length) {
      more.textContent = label(Math.min(then, items.length - shown), items.length - shown);
      if (!more.isConnected) container.after(more);
    } else more.remove();
    return elements[0];
  };
  more.addEventListener("click", () => next(then).querySelector("button, a").focus());
  next(few);
  return { until: (at) => { if (at >= shown) next(at + 1 - shown); } };
}
