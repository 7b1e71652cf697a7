/** Where the time of a profiled process went, by whose code it was spent in. */
import { readFileSync } from "node:fs";

interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string } }[];
  samples: number[];
  timeDeltas: number[];
}

/** Whose time it is: the first that fits. `undefined` is no work on events. */
const SHARES: [what: string | undefined, functionName: RegExp, url: RegExp][] = [
  [undefined, /^\((idle|root)\)$/, /^$/],
  [undefined, /^/, /^node:internal\/(modules|bootstrap|main|deps|process\/(pre_)?execution)/],
  [undefined, /^(compileFunction|evaluate|rss|gc)$/, /^$/],
  ["garbage collection", /^\(garbage collector\)$/, /^$/],
  ["system calls: sockets, files", /^(writev|writeBuffer|writeUtf8String|writeSync|open(Sync)?)$/, /^(node:fs)?$/],
  ["Node.js: text to bytes", /^(utf8Write|write)$/, /^(node:buffer)?$/],
  ["Node.js: sha256, HMAC", /^/, /^node:internal\/crypto/],
  ["Node.js: HTTP, streams, timers", /^/, /^node:/],
  [
    "cwlogger: writing events",
    /^(write|is|begin$|json$|text$|walk$|length$|setSoftEnd$|readEvent$)/,
    /\/cloudwatch\.mjs$/,
  ],
  ["cwlogger: all else", /^/, /\/cloudwatch\.mjs$/],
  ["AWS SDK", /^/, /\/node_modules\//],
  ["this benchmark", /^/, /\/worker\.mjs$/],
  ["V8", /^/, /^/],
];

/** What there is, in the order of the table. */
export const WHOSE = SHARES.flatMap(([what]) => what ?? []);

/** Percent of the time that was spent on events. */
export function sharesOf(path: string): Map<string, number> {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(path, "utf8")) as Profile;
  const shareOf = new Map(
    nodes.map(({ id, callFrame: { functionName, url } }) => [
      id,
      SHARES.find(([, name, file]) => name.test(functionName) && file.test(url))?.[0],
    ]),
  );
  const micros = new Map<string, number>();
  let total = 0;
  for (const [index, id] of samples.entries()) {
    const what = shareOf.get(id);
    if (what === undefined) continue;
    const spent = timeDeltas[index] ?? 0;
    micros.set(what, (micros.get(what) ?? 0) + spent);
    total += spent;
  }
  return new Map([...micros].map(([what, spent]) => [what, (spent / total) * 100]));
}
