import { together } from "../support/together.ts";

await together("programs", 2, 4);
