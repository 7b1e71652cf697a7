// The package in a program: as it is, or through a bundler.
import * as cwlogger from "cwlogger";
import scenario from "./scenario.cjs";

scenario(cwlogger);
