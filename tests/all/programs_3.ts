import { together } from "../support/together.ts";

await together("programs", 3, 4);
