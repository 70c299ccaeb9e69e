import { together } from "../support/together.ts";

await together("unit", 1, 4);
