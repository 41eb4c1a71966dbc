// The causes under the headline: what differs, where it began, whose fault that is, and what to do next.

const CARDS = 3, MORE_CARDS = 20;

const FAULTS = {
  application: "the application", engine: "the engine", transcript: "the transcript", harness: "loadgen", unknown: "not known yet",
};

function faultLabel(fault) { return make("span.fault", { "data-fault": fault }, `At fault: ${FAULTS[fault] || fault}`); }

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
  const link = make("a.jump", { href: `#cause-${cause.number}` }, followers(cause));
  link.addEventListener("click", (event) => { event.preventDefault(); jumpToCause(cause.number); });
  return make("article.cause",
    make("p.cause-top", faultLabel(cause.fault), causes.length > 1 && make("span.quiet", `Cause ${cause.number} of ${number(causes.length)}`)),
    make("h2", cause.request && make("code", cause.request), cause.what[0].toUpperCase() + cause.what.slice(1)), rows, link);
}

// Where a card leads: its request, and how many more are of the same cause.
function followers(cause) {
  const rest = cause.count - 1;
  if (!rest) return `See request ${number(cause.first)}`;
  return `${plural(rest, "more request")} ${rest === 1 ? "follows" : "follow"} from it, or ${rest === 1 ? "is" : "are"} alike`;
}

// Where a request left the tape: the application's own calls stand out from those of libraries.
function showStack(calls) {
  const items = calls.map((call) => {
    const [, place, line] = /^(.*?:\d+ in [^:]*)(?:: (.*))?$/s.exec(call) || [null, call, ""];
    const far = /\/(site|dist)-packages\/|\/lib\/python3|^<frozen /.test(place);
    return make(far ? "li.far" : "li", place, line && make("code", line));
  });
  return make("ol.code.stack", { tabindex: "0", "aria-label": "Calls, innermost first" }, items);
}

// Put items into a container: the first so many, and the rest in portions, by a button.
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
