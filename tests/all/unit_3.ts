import { together } from "../support/together.ts";

await together("unit", 3, 4);
