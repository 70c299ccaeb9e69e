/** The assertions of the examples, for Node. */

export * from "@std/assert";
