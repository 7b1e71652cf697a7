/** A fresh process that imports one module, and where it is the logger constructs it and delivers one event. */
const [, , module = "", endpoint = ""] = process.argv;

const importStart = performance.now();
const imported = await import(module);
const importMs = performance.now() - importStart;
const figures: Record<string, number> = { importMs };

if (imported.CloudwatchLogger !== undefined) {
  const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" };
  const constructStart = performance.now();
  const logger = new imported.CloudwatchLogger("bench", { region: "us-east-1", endpoint, credentials });
  figures.constructMs = performance.now() - constructStart;
  logger.info("the first event");
  await new Promise((resolve) => setImmediate(resolve));
  figures.sdkModulesBefore = await sdkModules();
  await logger.close();
  figures.sdkModulesAfter = await sdkModules();
}
process.stdout.write(JSON.stringify(figures), () => process.exit());

async function sdkModules(): Promise<number> {
  const { createRequire } = await import("node:module");
  return Object.keys(createRequire(import.meta.url).cache).filter((path) => /@aws-sdk|@smithy/.test(path)).length;
}
