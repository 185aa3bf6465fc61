// Which tokens of two texts are not the same.

const MOST = 1_000_000; // pairs that are compared; beyond that only the beginnings and ends that agree count

/** For two lists of tokens: for each a list of booleans, whether a token has no counterpart in the other. */
export function difference(first, second) {
  let start = 0;
  while (start < first.length && start < second.length && first[start] === second[start]) start += 1;
  let end = 0;
  const left = Math.min(first.length, second.length) - start;
  while (end < left && first.at(-1 - end) === second.at(-1 - end)) end += 1;
  const inner = [first, second].map((tokens) => tokens.slice(start, tokens.length - end));
  const few = inner[0].length * inner[1].length <= MOST;
  const changed = few ? uncommon(...inner) : inner.map((tokens) => tokens.map(() => true));
  return changed.map((marks) => [...Array(start).fill(false), ...marks, ...Array(end).fill(false)]);
}

/** By the longest common subsequence. */
function uncommon(first, second) {
  const common = Array.from({length: first.length + 1}, () => new Uint32Array(second.length + 1));
  for (let i = first.length - 1; i >= 0; i -= 1) {
    for (let j = second.length - 1; j >= 0; j -= 1) {
      const same = first[i] === second[j];
      common[i][j] = same ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const marks = [first.map(() => true), second.map(() => true)];
  for (let i = 0, j = 0; i < first.length && j < second.length;) {
    if (first[i] === second[j]) {
      marks[0][i++] = marks[1][j++] = false;
    } else if (common[i + 1][j] >= common[i][j + 1]) i += 1;
    else j += 1;
  }
  return marks;
}
