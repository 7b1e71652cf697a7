// The copied file, as it is: what runs this reads TypeScript.
import scenario from "./scenario.cjs";

scenario(await import(process.env.LOGGER ?? "./cloudwatch.ts"));
