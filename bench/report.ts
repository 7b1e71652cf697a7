/** Figures to tables: results.json, RESULTS.md and results.svg. Every number in them is computed here from one run. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { join } from "node:path";
import { CANDIDATES, candidateOf } from "./candidates.ts";
import { type Goal, goalsOf } from "./goals.ts";
import { WHOSE } from "./profile.ts";
import type { Measurement, Scenario } from "./scenarios.ts";
import type { Figures } from "./worker.ts";

export interface Row {
  measurement: Measurement;
  rounds: Figures[];
  /** Why there are no figures, or fewer. */
  notes: Set<string>;
}

export type Results = Map<string, { scenario: Scenario; rows: Map<string, Row> }>;

/** Percent of the time by whose it was, for each profiled scenario. */
export type Profiles = Map<string, Map<string, number>>;

export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** Above this ratio of time to CPU time a run is no measurement of throughput. */
const BUSY = 1.1;

interface Run {
  command: string;
  startedAt: number;
  isPinned: boolean;
}

export function spreadOf(values: number[]): Spread | undefined {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = (sorted.length - 1) / 2;
  const median = ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
  return { median, min: sorted[0] ?? 0, max: sorted.at(-1) ?? 0 };
}

/** Writes the three files into `folder` and returns the text of RESULTS.md. */
export function writeReport(folder: string, results: Results, profiles: Profiles, run: Run): string {
  addOverIdle(results);
  const goals = goalsOf(results);
  const about = describeRun(run);
  const text = [
    "# Results",
    "",
    `Written by \`${run.command}\`; every number is from that run.`,
    "",
    ...about.map(([name, value]) => `- ${name}: ${value}`),
    "",
    ...(results.has("burst") ? ["![Events per second in a burst](results.svg)", ""] : []),
    "## Goals",
    "",
    "Ratios are of the two figures of the same round; median (min–max) over the rounds.",
    ...busyNote(results),
    "",
    ...table(["", "goal", "target", "measured", "by CPU time", ""], goals.map(goalCells)),
    "",
    ...profileText(profiles),
    ...[...results.values()].flatMap(({ scenario, rows }) => scenarioText(scenario, [...rows.values()])),
    "## Settings",
    "",
    ...Object.entries(CANDIDATES).map(([name, { label }]) => `- ${name}: ${label}`),
    "",
  ].join("\n");
  writeFileSync(join(folder, "RESULTS.md"), text);
  writeFileSync(join(folder, "results.json"), toJson(results, goals, about));
  const burst = results.get("burst");
  if (burst) writeFileSync(join(folder, "results.svg"), chartOf([...burst.rows.values()], about));
  return text;
}

/** What the steady scenarios take beyond the timers that drive them. */
function addOverIdle(results: Results): void {
  for (const { rows } of results.values()) {
    const idle = rows.get("idle loop")?.rounds;
    if (!idle) continue;
    for (const { rounds } of rows.values()) {
      for (const [index, figures] of rounds.entries()) {
        figures.cpuOverIdle = (figures.cpuPercent ?? NaN) - (idle[index]?.cpuPercent ?? NaN);
      }
    }
  }
}

/** JSON.stringify waits for nothing: where its time is longer than its CPU time, something else was running. */
function busyNote(results: Results): string[] {
  const row = results.get("burst")?.rows.get("JSON.stringify");
  const busy = row?.rounds.map(
    ({ eventsPerSecond = 0, cpuMicrosPerEvent = 0 }) => 1e6 / eventsPerSecond / cpuMicrosPerEvent,
  );
  const { max } = spreadOf(busy ?? []) ?? { max: 1 };
  if (max < BUSY) return [];
  return [
    `**The machine was busy with something else**: JSON.stringify took up to ${number(max, 2)} × its CPU time; the verdicts are void.`,
  ];
}

// ── Tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function scenarioText({ title, text, columns }: Scenario, rows: Row[]): string[] {
  const isDelivering = rows.some(({ rounds }) => rounds[0]?.lost !== undefined);
  const header = ["", ...columns.map((column) => column.title), ...(isDelivering ? ["arrived"] : [])];
  const cells = rows.map((row) => [
    row.measurement.row.startsWith("cwlogger") ? `**${row.measurement.row}**` : row.measurement.row,
    ...(row.rounds.length === 0
      ? [[...row.notes].join("; ")]
      : columns.map((column) => shown(spreadOf(valuesOf(row, column.figure)), column.digits))),
    ...(isDelivering && row.rounds.length > 0 ? [arrivalOf(row)] : []),
  ]);
  const rounds = Math.max(0, ...rows.map((row) => row.rounds.length));
  return [`## ${title}`, "", `${text} Rounds: ${rounds}.`, "", ...table(header, cells), ""];
}

function profileText(profiles: Profiles): string[] {
  if (profiles.size === 0) return [];
  const rows = WHOSE.map((what) => [
    what,
    ...[...profiles.values()].map((shares) => `${number(shares.get(what) ?? 0, 0)} %`),
  ]);
  const text = "Of one more burst of cwlogger with a CPU profile, without what Node.js takes to load modules.";
  return ["## Where the time goes", "", text, "", ...table(["", ...profiles.keys()], rows), ""];
}

/** What became of the events, the worst of all rounds; nothing for what ships nothing. */
function arrivalOf({ rounds, notes, measurement }: Row): string {
  const worst = (figure: string) => Math.max(0, ...rounds.map((figures) => figures[figure] ?? 0));
  if (candidateOf(measurement.candidate).role === "limit") return "";
  const faults = [
    [worst("lost"), "lost"],
    [worst("duplicates"), "twice or unknown"],
    [worst("damaged"), "damaged"],
    [worst("disordered"), "out of order"],
    [worst("violations"), "limits broken"],
  ].flatMap(([count, what]) => (Number(count) > 0 ? [`${whole(Number(count))} ${what}`] : []));
  return [faults.length === 0 ? "all, in order" : faults.join(", "), ...notes].join("; ");
}

function goalCells({ number, text, target, measured, byCpu, digits, isMet }: Goal): string[] {
  const verdict = measured === undefined ? "not measured" : isMet ? "met" : "**not met**";
  return [String(number), text, target, shown(measured, digits), byCpu ? shown(byCpu, digits) : "", verdict];
}

function table(header: string[], rows: string[][]): string[] {
  const line = (cells: string[]) => `| ${header.map((_, index) => cells[index] ?? "").join(" | ")} |`;
  return [line(header), line(header.map((_, index) => (index === 0 ? "---" : "---:"))), ...rows.map(line)];
}

function shown(spread: Spread | undefined, digits: number): string {
  if (!spread) return "–";
  const [median, min, max] = [spread.median, spread.min, spread.max].map((value) => number(value, digits));
  return min === max ? `${median}` : `${median} (${min}–${max})`;
}

function number(value: number, digits: number): string {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function whole(value: number): string {
  return number(value, 0);
}

export function valuesOf({ rounds }: Row, figure: string): number[] {
  return rounds.map((figures) => figures[figure] ?? NaN);
}

// ── The run ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function describeRun({ command, startedAt, isPinned }: Run): [string, string][] {
  const [cpu] = cpus();
  const modules = new URL("./node_modules/", import.meta.url);
  const versionOf = (name: string) =>
    (JSON.parse(readFileSync(new URL(`${name}/package.json`, modules), "utf8")) as { version: string }).version;
  const { dependencies } = JSON.parse(readFileSync(new URL("./package.json", import.meta.url), "utf8"));
  return [
    ["Machine", `${cpu?.model.trim()}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, ${system()}`],
    ["Placement", isPinned ? "what is measured on the last core, the service on the first" : "not pinned to cores"],
    ["Node.js", process.version],
    [
      "Packages",
      Object.keys(dependencies)
        .map((name) => `${name} ${versionOf(name)}`)
        .join(", "),
    ],
    ["cwlogger", commit()],
    ["Date", `${new Date(startedAt).toISOString().slice(0, 16)}Z, ${Math.round((Date.now() - startedAt) / 1_000)} s`],
    ["Command", `\`${command}\``],
  ];
}

function system(): string {
  try {
    return `${/PRETTY_NAME="(.*)"/.exec(readFileSync("/etc/os-release", "utf8"))?.[1]}, ${type()} ${release()}`;
  } catch {
    return `${type()} ${release()}`;
  }
}

function commit(): string {
  const git = (...given: string[]) => execFileSync("git", given, { cwd: import.meta.dirname, encoding: "utf8" }).trim();
  try {
    const isChanged = git("status", "--porcelain", "../cloudwatch.ts") !== "";
    return `commit ${git("rev-parse", "--short", "HEAD")}${isChanged ? ", with changes" : ""}`;
  } catch {
    return "no git repository";
  }
}

// ── Files ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function toJson(results: Results, goals: Goal[], about: [string, string][]): string {
  const rounded = (value: number) => Number(value.toPrecision(6));
  const figuresOf = (row: Row) =>
    Object.keys(row.rounds[0] ?? {}).map((name) => {
      const values = valuesOf(row, name);
      return [name, { ...spreadOf(values), rounds: values.map(rounded) }];
    });
  const scenarios = [...results].map(([name, { scenario, rows }]) => [
    name,
    {
      title: scenario.title,
      rows: Object.fromEntries(
        [...rows].map(([row, entry]) => [
          row,
          {
            settings: candidateOf(entry.measurement.candidate).label,
            ...(entry.notes.size > 0 && { note: [...entry.notes].join("; ") }),
            figures: Object.fromEntries(figuresOf(entry)),
          },
        ]),
      ),
    },
  ]);
  const all = { run: Object.fromEntries(about), goals, scenarios: Object.fromEntries(scenarios) };
  const text = JSON.stringify(all, (_, value) => (typeof value === "number" ? rounded(value) : value), 2);
  // Arrays of numbers on one line, as the formatter of this repository wants them.
  return `${text.replace(/\[[\s\d.,e+-]*\]/g, (array) => array.replace(/\s+/g, " ").replace(/\[ | \]/g, (end) => end.trim()))}\n`;
}

/** Horizontal bars, drawn for light and dark backgrounds. */
function chartOf(rows: Row[], about: [string, string][]): string {
  const bars = rows
    .flatMap((row) => {
      const spread = spreadOf(valuesOf(row, "eventsPerSecond"));
      return spread ? [{ name: row.measurement.row, role: candidateOf(row.measurement.candidate).role, spread }] : [];
    })
    .sort((a, b) => b.spread.median - a.spread.median);
  const [left, width, step, top] = [250, 400, 28, 58];
  const scale = width / Math.max(...bars.map(({ spread }) => spread.max));
  const height = top + bars.length * step + 34;
  const lines = bars.flatMap(({ name, role, spread: { median, min, max } }, index) => {
    const y = top + index * step;
    const [from, to, end] = [min, max, median].map((value) => (left + value * scale).toFixed(1));
    return [
      `<text class="${role}" x="${left - 10}" y="${y + 15}" text-anchor="end">${escapeXml(name)}</text>`,
      `<rect class="${role}" x="${left}" y="${y}" width="${(median * scale).toFixed(1)}" height="20" rx="3"/>`,
      `<path class="spread" d="M${from} ${y + 10}H${to}"/>`,
      `<text class="${role}" x="${Math.max(Number(to), Number(end)) + 8}" y="${y + 15}">${whole(median)}</text>`,
    ];
  });
  const style = [
    "text{font:13px system-ui,sans-serif;fill:#57606a}text.ours,text.title{font-weight:600;fill:#1f2328}",
    "text.title{font-size:15px}text.note{font-size:11px}",
    "rect.limit{fill:#c8ccd1}rect.peer{fill:#8c959f}rect.ours{fill:#e8710a}.spread{stroke:#1f2328;stroke-opacity:.55}",
    "@media(prefers-color-scheme:dark){text{fill:#9198a1}text.ours,text.title{fill:#f0f6fc}",
    "rect.limit{fill:#3d444d}rect.peer{fill:#656c76}rect.ours{fill:#ff9233}.spread{stroke:#f0f6fc}}",
  ].join("");
  const find = (name: string) => about.find(([key]) => key === name)?.[1] ?? "";
  const note = `${find("Machine").split(",").slice(0, 2).join(",")}, Node.js ${find("Node.js")}; median, line: min to max; faint: sends nothing`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 ${height}" width="760" height="${height}" role="img">`,
    `<title>Events per second in a burst of structured records</title>`,
    `<style>${style}</style>`,
    `<text class="title" x="${left}" y="24">Events per second, burst of structured records</text>`,
    `<text class="note" x="${left}" y="42">more is better</text>`,
    ...lines,
    `<text class="note" x="${left}" y="${height - 12}">${escapeXml(note)}</text>`,
    "</svg>",
    "",
  ].join("\n");
}

function escapeXml(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
}
