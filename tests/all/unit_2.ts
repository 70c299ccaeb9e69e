import { together } from "../support/together.ts";

await together("unit", 2, 4);
