/** The goals of the project, each computed from one run. */
import { TEXT_CLASSES } from "./records.ts";
import { type Results, type Spread, spreadOf, valuesOf } from "./report.ts";

export interface Goal {
  number: number;
  text: string;
  target: string;
  measured: Spread | undefined;
  /** The same ratio of CPU times, which other processes on the machine disturb less. */
  byCpu?: Spread | undefined;
  digits: number;
  isMet: boolean;
}

export function goalsOf(results: Results): Goal[] {
  const values = (scenario: string, row: string, figure: string): number[] => {
    const found = results.get(scenario)?.rows.get(row);
    return found ? valuesOf(found, figure) : [];
  };
  /** Round by round, so that a slow moment of the machine hits both sides. */
  const pair = (a: number[], b: number[], combine: (a: number, b: number) => number): number[] =>
    Array.from({ length: Math.min(a.length, b.length) }, (_, index) => combine(a[index] ?? NaN, b[index] ?? NaN));
  const ratio = (a: number[], b: number[]) => pair(a, b, (x, y) => x / y);
  const excess = (a: number[], b: number[]) => pair(a, b, (x, y) => x - y);

  /** Events per second of a row over those of another row. */
  const faster = (number: number, text: string, limit: number, scenario: string, rows: [string, string]): Goal => {
    const [rates, cpu] = ["eventsPerSecond", "cpuMicrosPerEvent"].map((figure) =>
      rows.map((row) => values(scenario, row, figure)),
    ) as [number[][], number[][]];
    const measured = spreadOf(ratio(rates[0] ?? [], rates[1] ?? []));
    const byCpu = scenario === "80 ms" ? undefined : spreadOf(ratio(cpu[1] ?? [], cpu[0] ?? []));
    const isMet = measured !== undefined && measured.median >= limit;
    return {
      number,
      text: `${text}, × ${rows[1].split(":")[0]}`,
      target: `≥ ${limit} ×`,
      measured,
      byCpu,
      digits: 2,
      isMet,
    };
  };
  const atMost = (number: number, text: string, limit: number, measured: number[], unit = "", digits = 2): Goal => {
    const spread = spreadOf(measured);
    const isMet = spread !== undefined && spread.median <= limit;
    return { number, text, target: limit === 0 ? "0" : `≤ ${limit}${unit}`, measured: spread, digits, isMet };
  };

  const steady = (figure: string) => values("steady 10000", "cwlogger", figure);
  const growth = (row: string, figure: string) => values("growth", row, figure);
  const sizes = [...(results.get("growth")?.rows.keys() ?? [])];
  /** CPU that each further event costs on the way from one size to the next: a straight line has one slope. */
  const totals = sizes.map((row) => (spreadOf(growth(row, "cpuMicrosPerEvent"))?.median ?? NaN) * countOf(row));
  const slopes = sizes.slice(1).map((row, index) => {
    const before = sizes[index] ?? "";
    return ((totals[index + 1] ?? NaN) - (totals[index] ?? NaN)) / (countOf(row) - countOf(before));
  });
  const [most, million] = ["10,000,000", "1,000,000"];

  return [
    faster(1, "burst", 2.2, "burst", ["cwlogger", "plain SDK logger"]),
    faster(1, "burst", 5, "burst", ["cwlogger", "winston-cloudwatch"]),
    faster(1, "burst", 150, "burst", ["cwlogger", "@serdnam/pino-cloudwatch-transport"]),
    faster(1, "burst", 1.5, "burst", ["cwlogger", "pino to /dev/null"]),
    faster(1, "burst", 0.55, "burst", ["cwlogger", "JSON.stringify"]),
    faster(1, "strings of 100 characters as JSON events", 2.5, "strings", ["cwlogger", "plain SDK logger"]),
    faster(1, "strings of 100 characters as they are", 2.5, "text", ["cwlogger", "plain SDK logger"]),
    ...TEXT_CLASSES.map((kind) => faster(1, kind, 1.8, "classes", [`cwlogger: ${kind}`, `plain SDK logger: ${kind}`])),
    faster(2, "80 ms endpoint", 10, "80 ms", ["cwlogger", "winston-cloudwatch"]),
    faster(2, "80 ms endpoint, maxInFlight 16", 10, "80 ms", ["cwlogger, 16 in flight", "winston-cloudwatch"]),
    faster(2, "80 ms endpoint", 3, "80 ms", ["cwlogger", "cwlogger, one in flight"]),
    atMost(2, "80 ms endpoint, events out of order", 0, values("80 ms", "cwlogger", "disordered"), "", 0),
    atMost(3, "log call, × JSON.stringify", 1.3, values("calls", "info()", "ratio"), " ×"),
    atMost(
      3,
      "call below the threshold, over an empty function",
      20,
      values("calls", "debug() below the threshold", "addedNanos"),
      " ns",
      1,
    ),
    atMost(4, "event loop delay at 10,000/s, p99", 2, steady("delayP99Ms"), " ms"),
    atMost(4, "event loop delay at 10,000/s, longest", 10, steady("delayMaxMs"), " ms", 1),
    atMost(5, "RSS of a burst of 1,000,000", 50, growth(million, "burstMb"), " MB", 0),
    atMost(
      5,
      "RSS of 10,000,000 over that after the first million",
      5,
      excess(growth(most, "burstMb"), growth(most, "firstMb")),
      " MB",
      0,
    ),
    atMost(5, "RSS of a full queue of 64 MiB", 160, values("full queue", "cwlogger", "fullMb"), " MB", 0),
    atMost(
      6,
      "import, over an empty module",
      5,
      excess(values("start", "cwlogger", "importMs"), values("start", "empty module", "importMs")),
      " ms",
      1,
    ),
    atMost(6, "constructor", 1, values("start", "cwlogger", "constructMs"), " ms"),
    atMost(6, "SDK modules loaded before the first batch", 0, values("start", "cwlogger", "sdkModulesBefore"), "", 0),
    atMost(
      7,
      `CPU of a further event, ${sizes[0]} to ${sizes.at(-1)} events, highest over lowest of the steps`,
      1.25,
      slopes.length > 1 ? [Math.max(...slopes) / Math.min(...slopes)] : [],
      " ×",
    ),
    atMost(7, "CPU at 10,000/s over the idle loop", 4, steady("cpuOverIdle"), " % of a core", 1),
    atMost(
      8,
      "compress: bytes on the wire, × uncompressed",
      0.25,
      ratio(values("gzip", "cwlogger, compress", "wireBytesPerEvent"), values("gzip", "cwlogger", "wireBytesPerEvent")),
      " ×",
    ),
    atMost(
      8,
      "compress: CPU of the main thread, × uncompressed",
      1.3,
      ratio(
        values("gzip", "cwlogger, compress", "mainMicrosPerEvent"),
        values("gzip", "cwlogger", "mainMicrosPerEvent"),
      ),
      " ×",
    ),
    atMost(
      9,
      "log call with spoolDirectory, × without",
      2,
      values("calls", "info() with spoolDirectory", "ratio"),
      " ×",
    ),
  ];
}

function countOf(row: string): number {
  return Number(row.replaceAll(",", ""));
}
