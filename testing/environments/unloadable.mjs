// As an ES module, built by esbuild's defaults: the SDK cannot be loaded, and that is told at once, with what to do.
import assert from "node:assert/strict";
import { CloudwatchLogger } from "cwlogger";

const errors = [];
const onError = ({ message }) => errors.push(message);
const options = { region: "us-east-1", closeTimeoutMs: 60_000, onError, onLoss() {} };
const logger = new CloudwatchLogger("unloadable", options);
logger.info("order placed");
logger.close().then(({ droppedReasons }) => {
  assert.deepEqual([droppedReasons.unsent, errors.length], [1, 1]);
  for (const word of ["node:https", "--main-fields", "createRequire"]) assert.ok(errors[0].includes(word), errors[0]);
});
