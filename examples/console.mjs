// A program that uses console.       npm install cwlogger @aws-sdk/client-cloudwatch-logs
import { CloudwatchLogger } from "cwlogger";

const logger = new CloudwatchLogger("my-app");
const release = logger.captureConsole();

console.log("order %d placed by %s", 17, "Ada");
console.warn({ message: "stock is low", article: 4711 });
console.error(new Error("card declined"));

release();
console.log("on the terminal only");
