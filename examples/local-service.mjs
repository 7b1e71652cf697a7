// A CloudWatch Logs of your own, in a terminal: prints what it gets.       node local-service.mjs
import { LocalCloudWatchLogs } from "cwlogger/testing";

const service = await LocalCloudWatchLogs.start({
  port: Number(process.env.PORT ?? 4587),
  onEvents: (logGroupName, logStreamName, events) => {
    for (const { timestamp, message } of events) {
      console.log(new Date(timestamp).toISOString(), logGroupName, logStreamName, message);
    }
  },
});

console.log("In another terminal:");
console.log(`export AWS_ENDPOINT_URL=${service.endpoint} AWS_REGION=us-east-1`);
console.log("export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local");
