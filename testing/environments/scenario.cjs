/**
 * What every environment does with the logger. It logs to GROUP of the local CloudWatch Logs at ENDPOINT; testing/matrix.mjs,
 * which runs that, looks at what has arrived, and whether the program ended promptly and silently.
 */
// Not by `require`: it is not there in the ES modules that bundlers make.
const builtin = (name) => process.getBuiltinModule(`node:${name}`);
const { mkdtempSync, readdirSync, rmSync } = builtin("fs");
const assert = builtin("assert/strict");

module.exports = async function scenario({ CloudwatchLogger }) {
  const { ENDPOINT: endpoint, GROUP: group } = process.env;
  const trouble = [];
  const hear = {
    // So long that who waits for it is told from a slow machine.
    closeTimeoutMs: 60_000,
    onError: ({ message }) => trouble.push(message),
    onLoss: (loss) => trouble.push(JSON.stringify(loss)),
  };

  const spoolDirectory = mkdtempSync(builtin("path").join(builtin("os").tmpdir(), "cwlogger-"));
  const credentials = { accessKeyId: "key", secretAccessKey: "secret" };
  const aws = { endpoint, region: "us-east-1", credentials };
  const logger = new CloudwatchLogger(group, { ...aws, ...hear, spoolDirectory, logStreamName: "of {hostname}" });
  logger.info("order placed", { orderId: 17 });
  await logger.withFields({ requestId: "r1" }, async () => {
    await null;
    logger.error(new Error("card declined"));
  });
  const release = logger.captureConsole();
  console.log("from the %s", "console");
  release();
  const stream = logger.stream();
  stream.write(Buffer.from("from a Buffer\n"));
  stream.write(Uint8Array.from(Buffer.from("from a Uint8Array\n")));
  await new Promise((resolve) => stream.end("from a string\n", resolve));
  const { delivered } = await logger.close();
  const left = readdirSync(spoolDirectory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  rmSync(spoolDirectory, { recursive: true });
  assert.deepEqual({ delivered, left: left.length, trouble }, { delivered: 6, left: 0, trouble: [] });

  // As `client: { send: jest.fn() }`: it answers undefined, and the inputs are looked at later.
  const inputs = [];
  const client = { send: (command) => void inputs.push(command.input) };
  const doubled = new CloudwatchLogger("doubled", { client, ...hear });
  doubled.info("to a double");
  const stats = await doubled.close();
  const events = inputs.flatMap(({ logEvents }) => logEvents ?? []);
  assert.deepEqual({ delivered: stats.delivered, trouble }, { delivered: 1, trouble: [] });
  assert.deepEqual([...events.map(({ message }) => message)], ['{"level":"INFO","message":"to a double"}']);
  assert.equal(typeof events[0].timestamp, "number");
};
