// Two texts side by side: which lines differ, and where in a line.

const DIFF_LINES = 3000; // beyond, lines are paired by number
const DIFF_WORK = 4e6;
const KEEP_AROUND = 3;

// Pair the lines of two texts: [[left, right], ...], null where one side has none. Myers' O(ND), after trimming ends.
function alignLines(left, right) {
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start++;
  let endL = left.length, endR = right.length;
  while (endL > start && endR > start && left[endL - 1] === right[endR - 1]) { endL--; endR--; }
  const pairs = [];
  for (let at = 0; at < start; at++) pairs.push([left[at], right[at]]);
  pairs.push(...pairChanged(left.slice(start, endL), right.slice(start, endR)));
  for (let at = 0; endL + at < left.length; at++) pairs.push([left[endL + at], right[endR + at]]);
  return pairs;
}

function pairChanged(left, right) {
  const n = left.length, m = right.length;
  const zip = (a, b) => Array.from({ length: Math.max(a.length, b.length) }, (_, at) => [a[at] ?? null, b[at] ?? null]);
  if (!n || !m || n + m > DIFF_LINES || n * m > DIFF_WORK) return zip(left, right);
  // Longest common subsequence by dynamic programming: the trimmed middle is short.
  const width = m + 1, best = new Uint16Array((n + 1) * width);
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      best[i * width + j] = left[i] === right[j] ? best[(i + 1) * width + j + 1] + 1
        : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const pairs = [];
  let gone = [], come = [], i = 0, j = 0;
  const flush = () => { pairs.push(...zip(gone, come)); gone = []; come = []; };
  while (i < n && j < m) {
    if (left[i] === right[j]) { flush(); pairs.push([left[i++], right[j++]]); }
    else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) gone.push(left[i++]);
    else come.push(right[j++]);
  }
  gone.push(...left.slice(i)); come.push(...right.slice(j));
  flush();
  return pairs;
}

// Fill an element with a text, marking the part between the common prefix and suffix of both texts.
function markText(element, text, other) {
  if (other === null || text === other) { element.append(text); return element; }
  const a = [...text], b = [...other];
  let head = 0, tail = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  // A mark covers whole words and numbers: half a number misleads.
  const word = /[\p{L}\p{N}_.]/u;
  while (head > 0 && word.test(a[head - 1]) && (word.test(a[head] ?? "") || word.test(b[head] ?? ""))) head--;
  while (tail > 0 && word.test(a[a.length - tail]) && (word.test(a[a.length - tail - 1] ?? "") || word.test(b[b.length - tail - 1] ?? ""))) tail--;
  element.append(a.slice(0, head).join(""));
  const middle = a.slice(head, a.length - tail).join("");
  if (middle) element.append(make("mark", middle));
  element.append(a.slice(a.length - tail).join(""));
  return element;
}

function renderDiff(leftText, rightText) {
  const box = make("div.diff");
  const pairs = alignLines(leftText === "" ? [] : leftText.split("\n"), rightText === "" ? [] : rightText.split("\n"));
  const near = new Uint8Array(pairs.length);
  pairs.forEach(([a, b], at) => {
    if (a !== b) near.fill(1, Math.max(0, at - KEEP_AROUND), Math.min(pairs.length, at + KEEP_AROUND + 1));
  });
  const cells = ([a, b]) => {
    const kind = a === b ? ".same" : ".changed";
    return [
      a === null ? make("div.l.void") : markText(make(`div.l${kind}`), a, b),
      b === null ? make("div.r.void") : markText(make(`div.r${kind}`), b, a),
    ];
  };
  for (let at = 0; at < pairs.length; at++) {
    let to = at;
    while (to < pairs.length && !near[to]) to++;
    if (to - at > 4) {
      const hidden = pairs.slice(at, to);
      const button = make("button", { type: "button" }, `${plural(hidden.length, "equal line")}`);
      const gap = make("div.skip-lines", button);
      button.addEventListener("click", () => gap.replaceWith(...hidden.flatMap(cells)));
      box.append(gap);
      at = to - 1;
    } else box.append(...cells(pairs[at]));
  }
  return box;
}
