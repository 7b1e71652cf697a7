// Express with morgan, request ids.  npm install express morgan cwlogger @aws-sdk/client-cloudwatch-logs
import { randomUUID } from "node:crypto";
import { CloudwatchLogger } from "cwlogger";
import express from "express";
import morgan from "morgan";

const logger = new CloudwatchLogger("my-app");
const app = express();

app.use((request, response, next) => {
  request.id = request.get("x-request-id") ?? randomUUID();
  response.set("x-request-id", request.id);
  // Whatever is logged on behalf of this request carries its id, awaited calls included.
  logger.withFields({ requestId: request.id }, next);
});
// morgan's lines are text, so they name the id themselves.
morgan.token("id", (request) => request.id);
const line =
  ':remote-addr - :remote-user [:date[clf]] ":method :url" :status :res[content-length] :id ":referrer" ":user-agent"';
app.use(morgan(line, { stream: logger.stream() }));
app.get("/orders/:id", (request, response) => {
  logger.info("order read", { orderId: request.params.id });
  response.json({ id: request.params.id });
});
app.use((error, _request, response, _next) => {
  logger.error(error);
  response.status(500).json({ error: "internal error" });
});

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
// Answers what has been asked, then sends what has been logged.
process.once("SIGTERM", () => server.close(() => logger.close()));
