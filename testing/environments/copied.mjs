// The copied file, as it is: what runs this reads TypeScript.
import * as cwlogger from "./cloudwatch.ts";
import scenario from "./scenario.cjs";

scenario(cwlogger);
