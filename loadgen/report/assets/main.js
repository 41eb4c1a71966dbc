// Assembles the page, section by section: an error in one section does not affect the others.

function reveal(id) {
  byId(id).hidden = false;
  const link = document.querySelector(`.bar nav a[href="#${id}"]`);
  if (link) link.hidden = false;
}

const REASONS = 5;

function showReasons(store) {
  const { story, notices } = store.data, more = story.reasons.length - REASONS;
  byId("reasons").append(
    ...story.reasons.slice(0, REASONS).map((one) => make("div.reason", make("p", make("b", one.fault), `: ${one.message}`), one.advice && make("p", one.advice))),
    more > 0 ? make("div.reason", make("p", `… and ${plural(more, "further reason")} like these, in the verification's verdict.json`)) : "",
    ...notices.map((text) => make("div.reason", make("p", text))));
  const said = store.data.verification && store.data.verification.engine_log;
  if (said) byId("causes").after(showEngineLog(said));
}

function showFacts(store) {
  const { verification, run } = store.data, totals = run.totals || {}, facts = byId("facts");
  const fact = (name, value, small, alarm) => facts.append(make(`div${alarm ? ".alarm" : ""}`, make("dt", name), make("dd", value, small && make("small", small))));
  if (verification && verification.verdict) {
    fact("Answers compared", number(verification.compared), `of ${number(verification.requests)}`);
    fact("Differ", number(verification.diverged), "status, headers, body bytes", verification.diverged > 0);
    const replays = verification.replays || [], diverged = replays.filter((one) => one.verdict === "diverged").length;
    if (replays.length > 1) fact("Replays that diverged", number(diverged), `of ${number(replays.length)}; shown: verification ${verification.number}`, diverged > 0);
    const order = verification.server_order || {};
    fact("Server order", order.same === true ? "same" : order.same === false ? "differs" : "unknown", order.steps ? plural(order.steps, "step") : "not compared", order.same === false);
    if (verification.asked) fact("Calls", verification.asked === "the same" ? "same" : "differ", verification.asked);
  } else fact("Requests", number(store.count), run.state === "complete" ? "recorded" : "readable");
  fact("Virtual users", number(run.concurrency), `${run.scenario}, seed ${run.seed}`);
  if (totals.seconds) fact("Recorded in", `${totals.seconds.toFixed(2)} s`, `${number(Math.round(totals.requests / totals.seconds))} requests a second`);
  const seconds = verification && verification.seconds;
  if (seconds && seconds.replay) fact("Replayed in", `${seconds.replay.toFixed(2)} s`, `${number(Math.round(verification.requests / seconds.replay))} requests a second`);
}

function table(title, rows) {
  return make("div", make("h3", title), make("table.table", make("tbody", rows.filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => make("tr", name ? make("th", { scope: "row" }, name) : null, make("td", value))))));
}

function command(label, text) {
  const button = make("button", { type: "button", "aria-label": `Copy the command: ${label}` }, "Copy");
  const code = make("code", text);
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; } catch {
      getSelection().selectAllChildren(code); button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
  return make("div.command", make("div", make("span.label", label), code), button);
}

function describeLoad({ concurrency, iterations, load }) {
  const { duration, ramp_up: rampUp, rate } = load;
  const how = rate ? `${number(rate)} iterations a second for ${duration} s` : duration ? `for ${duration} s` : `${plural(iterations, "iteration")} each`;
  return `${plural(concurrency, "virtual user")}, ${how}${rampUp ? `, ramped up over ${rampUp} s` : ""}`;
}

function showRun(store) {
  reveal("run");
  const { run, verification, masking, logs } = store.data;
  byId("commands").append(command("Recorded by; run it to record again", run.record));
  if (run.state === "complete") byId("commands").append(command(verification ? "Verify again" : "Verify", run.verify));
  if (run.debug) byId("commands").append(command("Stop in a request, in a debugger", run.debug));
  const rules = (verification && verification.rules) || [];
  const masked = Object.entries(masking.masked);
  byId("about").append(
    table("Run", [["name", run.name], ["note", run.note], ["tags", run.tags], ["run", run.id], ["folder", run.path], ["recorded", run.created], ["state", run.state], ["target", run.target], ["scenario", `${run.scenario}, seed ${run.seed}`],
      ["load", describeLoad(run)], ["threads", `in ${run.schedule} while recording`], ["runtime", run.runtime]]),
    table("Versions", Object.entries(run.versions)),
    table("Verification", verification ? [["number", `${verification.number} of ${verification.of}`], ["evidence", verification.path], ["verdict", verification.verdict || "none"],
      ["database", verification.database && `${verification.database.path} ${verification.database.exists ? "exists" : "does not exist"}`],
      ["client order", verification.client_order_same === true ? "same (reported, not judged)" : verification.client_order_same === false ? "another (reported, not judged)" : ""]] : [["", "none yet"]]),
    table("Not compared, by rule", rules.map((rule) => [rule.name, `${(rule.leaves_out || []).join(", ")} (${rule.why})`]).concat(rules.length ? [] : [["", "nothing was compared yet"]])),
    table("Masked on this page, but not in the comparison", [["rules", masking.rules.join(", ")], ["masked", masked.length ? masked.map(([name, count]) => `${name}: ${plural(count, "value")}`).join("; ") : "nothing had to be"]]),
    table("SHA-256", Object.entries(run.files).map(([name, digest]) => [name, make("code", digest)])));
  for (const [name, text] of Object.entries(logs)) {
    byId("logs").append(make("details", make("summary", `Server log of the ${name}`), make("pre.code", { tabindex: "0" }, text)));
  }
  byId("foot").textContent = `Made by loadgen ${store.data.loadgen}. This file needs no network, and asks for none.`;
}

// Highlight the current section in the bar.
function follow() {
  const links = [...document.querySelectorAll(".bar nav a")];
  const mark = () => {
    const seen = links.filter((link) => !link.hidden && document.querySelector(link.hash).getBoundingClientRect().top < innerHeight * 0.4);
    const bottom = innerHeight + scrollY >= document.documentElement.scrollHeight - 4;
    const current = bottom ? links.filter((link) => !link.hidden).at(-1) : seen.at(-1);
    links.forEach((link) => (link === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
}

async function main() {
  const loading = byId("loading");
  let store;
  try { store = await unpack(); } catch (error) {
    loading.textContent = `This browser could not unpack the run (${error}). A browser of 2023 or later can.`;
    return;
  }
  const parts = [showReasons, showCauses, showFacts, showDivergences, showCalls, showLanes, showTimeline, showFigures, (all) => { if (all.count) requestList = new RequestList(all); }, prepareDetail, showRun];
  const failed = [];
  for (const part of parts) {
    try { part(store); } catch (error) { failed.push(error); console.error(error); }
  }
  if (failed.length) loading.textContent = `Part of this page could not be drawn: ${failed[0]}`;
  else loading.remove();
  follow();
  if (location.hash.length > 1) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  document.documentElement.dataset.ready = "true";
}

main();
