import { together } from "../support/together.ts";

await together("programs", 4, 4);
