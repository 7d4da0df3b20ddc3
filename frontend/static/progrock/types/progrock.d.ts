export type Options = import("./client.js").Options;
export type Connected = import("./client.js").Connected;
export type Lines = import("./client.js").Lines;
export type Line = import("./journal.js").Line;
export type Snapshot = import("./snapshot.js").Snapshot;
export type State = import("./snapshot.js").State;
export { ProgRock, ProgRockError } from "./client.js";
