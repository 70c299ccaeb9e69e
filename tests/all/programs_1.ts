import { together } from "../support/together.ts";

await together("programs", 1, 4);
