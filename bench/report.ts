/** Figures to tables: RESULTS.md, or the comparison of two versions of cloudwatch.ts. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { CANDIDATES } from "./candidates.ts";
import type { Scenario } from "./scenarios.ts";
import type { Figures } from "./worker.ts";

/** What was measured, by scenario, row, version of Node.js and file, with a line break between. */
export type Measured = Map<string, { rounds: Figures[]; notes: Set<string> }>;

type Named = Scenario & { name: string };

export interface Run {
  command: string;
  startedAt: number;
  isPinned: boolean;
  /** The program of each version of Node.js, and which of them are compared. */
  nodes: Map<string, string>;
  versions: string[];
  /** The compiled files, and what they were made of: cwlogger, and what it is compared with. */
  files: Map<string, string>;
}

/** The figures that docs/benchmarks.md shows first: scenario, row, figure, and what it is called there. */
const FELT = [
  ["calls", "cwlogger", "info(message, fields) ns", "a log call, ns"],
  ["calls", "cwlogger", "× pino", "over pino's call to /dev/null, ×"],
  ["waiting", "largest batches", "1,000,000 waiting: p99 µs", "a log call while 1,000,000 events wait, p99 µs"],
  ["steady", "cwlogger", "10,000/s: CPU %", "CPU at 10,000 events a second, % of a core"],
  ["steady", "cwlogger", "delay p99 ms", "delay of the event loop meanwhile, p99 ms"],
  ["import", "cwlogger", "import ms", "import, ms"],
  ["script", "an empty program", "start to end ms", "`node script.js`, an empty one, ms"],
  ["script", "with credentials", "start to end ms", "one that logs an event and ends, ms"],
  ["script", "with credentials", "first event ms", "its event is at CloudWatch Logs, ms"],
  ["memory", "largest batches", "RSS MB", "memory of a full queue, MB"],
] as const;
const BAR_CHARACTERS = 40;

export function reportOf(scenarios: Named[], measured: Measured, run: Run): string {
  const { versions } = run;
  const [ours, against] = [...run.files.keys()];
  const newest = versions.at(-1) ?? "";
  const cellOf = (scenario: string, row: string, node: string, file = ours) =>
    measured.get([scenario, row, node, file].join("\n")) ?? { rounds: [], notes: new Set<string>() };
  const valuesOf = (figure: string, ...cell: Parameters<typeof cellOf>) =>
    cellOf(...cell).rounds.flatMap((figures) => figures[figure] ?? []);
  const figuresOf = ({ name, rows }: Named) => {
    const rounds = rows.flatMap(({ label }) => versions.flatMap((node) => cellOf(name, label, node).rounds));
    return [...new Set(rounds.flatMap(Object.keys))];
  };

  /** A line for each row; where there are only one or two rows or two files, for each figure. */
  function tableOf(scenario: Named): string[] {
    const { name, rows } = scenario;
    const figures = figuresOf(scenario);
    if (rows.length < 3 || against !== undefined) {
      const lines = rows.flatMap(({ label }) =>
        figures.map((figure) => [
          rows.length === 1 ? figure : `${label}: ${figure}`,
          ...versions.flatMap((node) => comparedCells(figure, name, label, node)),
        ]),
      );
      const compared = against === undefined ? [] : ["against", "ratio in a round", "of the lowest"];
      return table(["", ...versions.flatMap((node) => [`Node.js ${node}`, ...compared])], lines);
    }
    const notesOf = (label: string) => [...new Set(versions.flatMap((node) => [...cellOf(name, label, node).notes]))];
    const hasNotes = rows.some(({ label }) => notesOf(label).length > 0);
    const lines = rows.map(({ label, isOurs }) => [
      isOurs ? `**${label}**` : label,
      ...figures.flatMap((figure) => versions.map((node) => shown(valuesOf(figure, name, label, node)))),
      ...(hasNotes ? [notesOf(label).join("; ")] : []),
    ]);
    const header = figures.flatMap((figure) => versions.map((node) => `${figure} (${node})`));
    return table(["", ...header, ...(hasNotes ? ["arrived"] : [])], lines);
  }

  function comparedCells(figure: string, ...cell: [string, string, string]): string[] {
    const ours = valuesOf(figure, ...cell);
    if (against === undefined) return [shown(ours)];
    const theirs = valuesOf(figure, ...cell, against);
    const ratios = ours.flatMap((value, round) => value / (theirs[round] ?? Number.NaN) || []);
    return [shown(ours), shown(theirs), `**${shown(ratios)}**`, shown([Math.min(...ours) / Math.min(...theirs)])];
  }

  function footnoteOf({ name }: Named): string[] {
    const [round] = !versions.includes("20") ? cellOf(name, "cwlogger", "20").rounds : [];
    const texts = Object.keys(round ?? {}).map(
      (figure) => `${figure} ${shown(valuesOf(figure, name, "cwlogger", "20"))}`,
    );
    return texts.length > 0 ? ["", `cwlogger on Node.js 20: ${texts.join("; ")}.`] : [];
  }

  function chartOf({ name, rows }: Named): string[] {
    const bars = rows
      .filter(({ label }) => label !== "JSON.stringify")
      .map(({ label }) => ({ label, rate: median(valuesOf("events/s", name, label, newest)) }))
      .sort((a, b) => b.rate - a.rate);
    const width = Math.max(...bars.map(({ label }) => label.length));
    const lines = bars.map(({ label, rate }) => {
      const bar = "█".repeat(Math.round((rate / (bars[0]?.rate ?? 1)) * BAR_CHARACTERS));
      return `${label.padEnd(width)}  ${bar} ${written(rate)}`;
    });
    return [`Events a second in a burst, on Node.js ${newest}:`, "", "```text", ...lines, "```"];
  }

  const felt = FELT.map(([scenario, row, figure, title]) => {
    return [title, ...versions.map((node) => shown(valuesOf(figure, scenario, row, node)))];
  });
  const feltTable = table(["", ...versions.map((node) => `Node.js ${node}`)], felt);
  const sections = scenarios.flatMap((scenario) => {
    const { name, title, text } = scenario;
    const lines = [...marked(`bench-${name}`, tableOf(scenario)), ...footnoteOf(scenario)];
    const chart = name === "burst" && !against ? ["", ...marked("chart", chartOf(scenario))] : [];
    return ["", `## ${title}`, "", text, "", ...lines, ...chart];
  });
  const settings = Object.entries(CANDIDATES).map(([name, { label }]) => `- ${name}: ${label}`);
  return [
    "# Results",
    "",
    "Median (lowest–highest) of the rounds; in brackets the version of Node.js.",
    "",
    ...describe(run),
    ...(against ? [] : ["", ...marked("bench-feel", feltTable)]),
    ...sections,
    ...(against ? [] : ["", "## Settings", "", ...settings]),
    "",
  ].join("\n");
}

/** A page with the figures of RESULTS.md where its own marks are. */
export function withFigures(page: string, results: string): string {
  return page.replace(/<!-- FIGURE:([\w-]+) -->.*?<!-- \/FIGURE:\1 -->/gs, (old, name) => {
    return new RegExp(`<!-- FIGURE:${name} -->.*?<!-- /FIGURE:${name} -->`, "s").exec(results)?.[0] ?? old;
  });
}

function marked(name: string, lines: string[]): string[] {
  return [`<!-- FIGURE:${name} -->`, ...lines, `<!-- /FIGURE:${name} -->`];
}

function table(header: string[], rows: string[][]): string[] {
  const line = (cells: string[]) => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map((_, index) => (index === 0 ? "---" : "---:"))), ...rows.map(line)];
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
}

function shown(values: number[]): string {
  if (!values.some(Number.isFinite)) return "–";
  const [low, high] = [written(Math.min(...values)), written(Math.max(...values))];
  return low === high ? low : `${written(median(values))} (${low}–${high})`;
}

/** Three digits at least. */
function written(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function describe({ command, startedAt, isPinned, nodes, files }: Run): string[] {
  const { dependencies } = JSON.parse(readFileSync(new URL("./package.json", import.meta.url), "utf8"));
  const versions = [...nodes.values()].map((node) => execFileSync(node, ["-v"], { encoding: "utf8" }).trim());
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  return [
    `- Machine: ${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${gibibytes} GiB, ${type()} ${release()}`,
    `- Placement: ${isPinned ? "what is measured on the last core, the service on the first" : "not pinned to cores"}`,
    `- Node.js: ${versions.join(", ")}`,
    `- Packages: ${Object.entries(dependencies)
      .map((entry) => entry.join(" "))
      .join(", ")}`,
    `- cwlogger: ${[...files.values()].join(", against ")}`,
    `- Date: ${new Date(startedAt).toISOString().slice(0, 16)}Z, ${Math.round((Date.now() - startedAt) / 1_000)} s`,
    `- Command: \`${command}\``,
  ];
}
