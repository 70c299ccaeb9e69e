import { together } from "../support/together.ts";

await together("unit", 4, 4);
