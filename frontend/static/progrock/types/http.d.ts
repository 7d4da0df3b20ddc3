/** Server-sent events. @type {typeof import('./socket.js').socket} */
export const stream: typeof import("./socket.js").socket;
/** The long poll. @type {typeof import('./socket.js').socket} */
export const poll: typeof import("./socket.js").socket;
export type Received = import("./connection.js").Received;
