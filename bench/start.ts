/** Fresh processes: `import` times a module over an empty one; the others are a program that logs one event and ends. */
const [, , what = "", module = "", endpoint = ""] = process.argv;

if (what === "import") {
  await timed("1"); // the first import pays for the loader
  const emptyMs = await timed("2");
  const cpu = process.cpuUsage();
  const importMs = await timed();
  const { user, system } = process.cpuUsage(cpu);
  process.stdout.write(JSON.stringify({ "import ms": importMs - emptyMs, "CPU ms": (user + system) / 1_000 }));
} else if (what !== "empty") {
  const { CloudwatchLogger } = (await import(module)) as typeof import("../cloudwatch.ts");
  const logger = new CloudwatchLogger(what === "null" ? null : "bench", what === "null" ? {} : { endpoint });
  logger.info("the first event");
  if (what === "stay") setTimeout(() => process.exit(), 2_000);
}

async function timed(empty?: string): Promise<number> {
  const path = empty === undefined ? module : new URL(`./empty.mjs?${empty}`, import.meta.url).href;
  const start = performance.now();
  await import(path);
  return performance.now() - start;
}
