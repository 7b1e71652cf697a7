// Tests with Jest.                   npm install jest cwlogger @aws-sdk/client-cloudwatch-logs && npx jest
const { CloudwatchLogger } = require("cwlogger");

function placeOrder(logger, orderId) {
  logger.info("order placed", { orderId });
}

/** The log events that a double of the AWS SDK's client was given. */
function eventsOf(client) {
  const logEvents = client.send.mock.calls.flatMap(([command]) => command.input.logEvents ?? []);
  return logEvents.map(({ message }) => JSON.parse(message));
}

test("an order is logged", async () => {
  const client = { send: jest.fn() }; // what answers, and be it undefined, has delivered
  const logger = new CloudwatchLogger("my-app", { client });

  placeOrder(logger, 17);
  await logger.close();

  expect(eventsOf(client)).toEqual([{ level: "INFO", message: "order placed", orderId: 17 }]);
});

test("an order is placed although CloudWatch Logs refuses its event", async () => {
  const refusal = Object.assign(new Error("no"), { name: "AccessDeniedException", $metadata: { httpStatusCode: 400 } });
  const client = { send: jest.fn().mockRejectedValue(refusal) };
  const [onError, onLoss] = [jest.fn(), jest.fn()];
  const logger = new CloudwatchLogger("my-app", { client, onError, onLoss });

  placeOrder(logger, 17);
  await logger.close();

  expect(onError).toHaveBeenCalledTimes(1);
  expect(onLoss).toHaveBeenCalledWith(expect.objectContaining({ reason: "unsent", count: 1 }));
});
