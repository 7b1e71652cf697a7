/** Figures to tables: RESULTS.md, or the comparison of two versions of cloudwatch.ts. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { basename } from "node:path";
import { CANDIDATES } from "./candidates.ts";
import { isPinned } from "./measure.ts";
import type { Scenario } from "./scenarios.ts";
import type { Figures } from "./worker.ts";

export interface Results {
  /** The versions of Node.js that are compared, and the program of each that is used. */
  versions: string[];
  nodes: Map<string, string>;
  /** The compiled files, and what they were made of: cwlogger, and what it is compared with. */
  files: Map<string, string>;
  scenarios: [name: string, Scenario][];
  /** Of each round, and why there are none, by `keyOf`. */
  figures: Map<string, Figures[]>;
  failures: Map<string, string>;
}

export function keyOf(scenario: string, row: string, node: string, file: string): string {
  return [scenario, row, `Node.js ${node}`, basename(file)].join(", ");
}

/** The figures that docs/benchmarks.md shows first: what they are called there, scenario, row and figure. */
const FELT = [
  ["a log call, ns", "burst", "cwlogger", "a call ns"],
  ["one of pino to /dev/null, ns", "burst", "pino to /dev/null", "a call ns"],
  ["one of a plain SDK logger, ns", "burst", "plain SDK logger", "a call ns"],
  ["one of winston-cloudwatch, ns", "burst", "winston-cloudwatch", "a call ns"],
  ["a log call while 1,000,000 events wait, p99 µs", "waiting", "1,000,000 events in largest batches", "p99 µs"],
  ["the longest of 10,000 such calls, µs", "waiting", "1,000,000 events in largest batches", "longest µs"],
  ["CPU at 10,000 events a second, % of a core", "steady", "cwlogger, 10,000/s", "CPU %"],
  ["delay of the event loop meanwhile, p99 ms", "steady", "cwlogger, 10,000/s", "delay p99 ms"],
  ["import, ms", "import", "cwlogger", "import ms"],
  ["`node script.js`, an empty one, ms", "script", "an empty program", "start to end ms"],
  ["one that logs an event and ends, ms", "script", "with credentials", "start to end ms"],
  ["its event is at CloudWatch Logs, ms", "script", "with credentials", "first event ms"],
  ["one that logs an event without credentials, ms", "script", "without credentials", "start to end ms"],
  ["memory of a full queue, MB", "waiting", "a full queue of largest batches", "RSS MB"],
  ["memory of a full queue of the smallest batches, MB", "waiting", "a full queue of smallest batches", "RSS MB"],
  ["longest stall while a spool of 1 GiB is recovered, ms", "recovery", "cwlogger", "longest stall ms"],
] as const;
const BAR_CHARACTERS = 40;

type Value = Figures[string];

export function reportOf(results: Results): string {
  const { scenarios, versions, files, figures, failures } = results;
  const [ours = ""] = files.keys();
  const valuesOf = (title: string, scenario: string, row: string, node: string, file = ours) =>
    (figures.get(keyOf(scenario, row, node, file)) ?? []).flatMap((round) => round[title] ?? []);

  /** A line for each row. What arrived stands once, for all versions of Node.js. */
  function tableOf(name: string, { rows, node: only }: Scenario): string {
    const nodes = only ? [only] : versions;
    const keys = rows.flatMap(({ label }) => nodes.map((node) => keyOf(name, label, node, ours)));
    const titles = new Set(keys.flatMap((key) => figures.get(key) ?? []).flatMap(Object.keys));
    const columns = [...titles].flatMap((title) => {
      if (nodes.length === 1 || title === "arrived") return [{ title, heading: title, of: nodes }];
      return nodes.map((node) => ({ title, heading: `${title} (${node})`, of: [node] }));
    });
    const lines = rows.map(({ label, isOurs }) => [
      isOurs ? `**${label}**` : label,
      ...columns.map(({ title, of }) => {
        const [mine = [], others] = [...files.keys()].map((file) => {
          return of.flatMap((node) => valuesOf(title, name, label, node, file));
        });
        return others ? compared(title, mine, others) : shown(mine);
      }),
    ]);
    return table(["", ...columns.map(({ heading }) => heading)], lines);
  }

  function chartOf(name: string, { rows }: Scenario): string {
    const newest = versions.at(-1) ?? "";
    const loggers = rows.filter(({ label }) => label !== "JSON.stringify");
    const rateOf = (label: string) => median(valuesOf("events/s", name, label, newest).map(Number));
    const bars = loggers.map(({ label }) => ({ label, rate: rateOf(label) })).sort((a, b) => b.rate - a.rate);
    const width = Math.max(...bars.map(({ label }) => label.length));
    const barOf = (rate: number) => "█".repeat(Math.round((rate / (bars[0]?.rate || 1)) * BAR_CHARACTERS));
    const lines = bars.map(({ label, rate }) => `${label.padEnd(width)}  ${barOf(rate)} ${written(rate)}`);
    return [`Events a second in a burst, on Node.js ${newest}:`, "", "```text", ...lines, "```"].join("\n");
  }

  const felt = FELT.map(([title, scenario, row, figure]) => {
    return [title, ...versions.map((node) => shown(valuesOf(figure, scenario, row, node)))];
  });
  const feltTable = table(["", ...versions.map((node) => `Node.js ${node}`)], felt);
  const sections = scenarios.flatMap(([name, scenario]) => {
    const block = marked(name === "fleet" ? name : `bench-${name}`, tableOf(name, scenario));
    const chart = name === "burst" && files.size === 1 ? [marked("chart", chartOf(name, scenario))] : [];
    return [`## ${scenario.title}`, scenario.text, block, ...chart];
  });
  const failed = [...failures].map(([key, text]) => `- ${key}: ${text.replaceAll("\n", " ")}`);
  const settings = Object.entries(CANDIDATES).map(([name, { label }]) => `- ${name}: ${label}`);
  const blocks = [
    "# Results",
    "Median (lowest–highest) of the rounds; in brackets the version of Node.js.",
    describe(results),
    ...(failed.length > 0 ? ["## Failed", failed.join("\n")] : []),
    ...(files.size > 1 ? [] : ["## What you feel", marked("bench-feel", feltTable)]),
    ...sections,
    "## Settings",
    settings.join("\n"),
  ];
  return `${blocks.join("\n\n")}\n`;
}

/** A page with the figures of RESULTS.md where its own marks are. */
export function withFigures(page: string, results: string): string {
  return page.replace(/<!-- FIGURE:([\w-]+) -->.*?<!-- \/FIGURE:\1 -->/gs, (old, name) => {
    return new RegExp(`<!-- FIGURE:${name} -->.*?<!-- /FIGURE:${name} -->`, "s").exec(results)?.[0] ?? old;
  });
}

function marked(name: string, block: string): string {
  return `<!-- FIGURE:${name} -->\n${block}\n<!-- /FIGURE:${name} -->`;
}

function table(header: string[], rows: string[][]): string {
  const alignment = header.map((_, index) => (index === 0 ? "---" : "---:"));
  return [header, alignment, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Both, the ratio in a round, and that of the best rounds, which are least touched by what else runs on the machine. */
function compared(title: string, ours: Value[], theirs: Value[]): string {
  const [mine, others] = [ours.map(Number), theirs.map(Number)];
  const ratios = mine.flatMap((value, round) => value / (others[round] ?? Number.NaN) || []);
  if (ratios.length === 0) return `${shown(ours)} / ${shown(theirs)}`;
  const best = title.endsWith("/s") ? Math.max : Math.min;
  return `${shown(ours)} / ${shown(theirs)} = **${shown(ratios)}**, of the best ${written(best(...mine) / best(...others))}`;
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
}

/** Text as it is, once. */
function shown(values: Value[]): string {
  const numbers = values.filter((value) => typeof value === "number" && Number.isFinite(value)) as number[];
  if (numbers.length === 0) return [...new Set(values.filter((value) => typeof value === "string"))].join("; ") || "–";
  const [low, high] = [written(Math.min(...numbers)), written(Math.max(...numbers))];
  return low === high ? low : `${written(median(numbers))} (${low}–${high})`;
}

/** Three digits at least. */
function written(value: number): string {
  const digits = value >= 100 || value === 0 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function describe({ nodes, files }: Results): string {
  const command = ["npm run bench", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" ");
  const { dependencies } = JSON.parse(readFileSync(new URL("./package.json", import.meta.url), "utf8"));
  const packages = Object.entries(dependencies).map((entry) => entry.join(" "));
  const versions = [...nodes.values()].map((node) => execFileSync(node, ["-v"], { encoding: "utf8" }).trim());
  return `- Machine: ${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, ${type()} ${release()}
- Placement: ${isPinned ? "what is measured on the last core, the service on the first" : "not pinned to cores"}
- Node.js: ${versions.join(", ")}
- Packages: ${packages.join(", ")}
- cwlogger: ${[...files.values()].join(", against ")}
- Date: ${new Date().toISOString().slice(0, 16)}Z, after ${Math.round(performance.now() / 1_000)} s
- Command: \`${command}\``;
}
