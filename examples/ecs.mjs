// A worker on Amazon ECS.            npm install cwlogger @aws-sdk/client-cloudwatch-logs
import { hostname } from "node:os";
import { CloudwatchLogger } from "cwlogger";

// ECS sends SIGTERM and, 30 s later (stopTimeout), SIGKILL. On SIGTERM the logger sends what is waiting, then the signal
// ends the process as usual. A program that has to finish something first handles SIGTERM itself: express-morgan.mjs.
const logger = new CloudwatchLogger("my-app", {
  fields: { task: hostname() },
  closeOnSignals: ["SIGTERM"],
});

logger.info("worker started");
setInterval(() => logger.info("queue polled", { jobs: 0 }), 20_000);
console.log("working");
