// A host for mail-smtp2: keeps one plugin process, tells replies apart by their ids, starts another when it is gone.
// Node 18 or newer, nothing besides. Try it: node host.mjs mail-smtp2 --mta sandbox

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

/** The plugin is gone, or did not answer in time: what became of a change is not known. Ask late(), or listServiceInfo. */
export class NoAnswer extends Error {
  /** The id of the request, for late(). */
  id;
}

/** The conversation itself went wrong: an unknown action, a message that is too long. */
export class Fault extends Error {
  constructor({ code, message }) {
    super(message);
    this.code = code;
  }
}

export class MailSmtp2 {
  /** In milliseconds. */
  timeOut;
  #command;
  #plugin = null;
  #lastId = -1;
  /** Replies that came after the time-out, by id. */
  #late = new Map();

  /** A change waits 10 s for its turn, works for 20 s and takes 20 s to undo what failed: a minute is enough. */
  constructor(command, timeOut = 60_000) {
    this.#command = command;
    this.timeOut = timeOut;
  }

  /** Does one action; its envelope: { status: 0, payload: ... }, where a status that is not 0 is a failure. */
  async call(action, params = {}) {
    const id = ++this.#lastId;
    const line = `${JSON.stringify({ jsonrpc: "2.0", id, method: action, params })}\n`;
    // Asking twice is harmless; a change that may have been made is never sent again.
    const tries = /^(is|list|query)/.test(action) ? 2 : 1;
    for (let at = 0; at < tries; at++) {
      const reply = await this.#ask(line, id);
      if (reply?.error) throw new Fault(reply.error);
      if (reply) return reply.result;
    }
    throw new NoAnswer(`mail-smtp2 ended before it answered ${action}`);
  }

  /** What became of a request that ran out of time: its envelope, if it has come by now. */
  late(noAnswer) {
    return this.#late.get(noAnswer.id)?.result;
  }

  /** Lets the plugin go without waiting: it finishes a change that has begun, and ends. */
  release() {
    const plugin = this.#plugin;
    this.#plugin = null;
    if (!plugin) return;
    plugin.process.stdin.end();
    plugin.process.stdout.destroy();
    plugin.process.unref();
  }

  /** Ends the plugin and waits for it, a change that has begun included; its exit status, 0 if all is well. */
  async close() {
    const plugin = this.#plugin;
    if (!plugin) return 0;
    plugin.process.stdin.end();
    return await plugin.ended;
  }

  /** The reply with this id, or null when the plugin is gone. */
  #ask(line, id) {
    const { process, waiting } = this.#open();
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        waiting.delete(id);
        reject(Object.assign(new NoAnswer(`mail-smtp2 did not answer within ${this.timeOut} ms`), { id }));
      };
      const timer = setTimeout(giveUp, this.timeOut);
      waiting.set(id, (reply) => {
        clearTimeout(timer);
        waiting.delete(id);
        resolve(reply);
      });
      process.stdin.write(line);
    });
  }

  #open() {
    if (this.#plugin) return this.#plugin;
    // stderr is inherited: the plugin's log goes where this program's own goes.
    const process = spawn(this.#command[0], this.#command.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
    const waiting = new Map();
    const plugin = { process, waiting };
    // What was written to a plugin that is gone is told by its end.
    process.stdin.on("error", () => {});
    createInterface({ input: process.stdout, crlfDelay: Infinity }).on("line", (line) => {
      const reply = JSON.parse(line);
      // Without an id it is a fault of a line of ours: of the oldest that waits.
      const id = reply.id ?? waiting.keys().next().value;
      const answered = waiting.get(id);
      if (answered) answered(reply);
      else this.#late.set(id, reply);
    });
    const gone = () => {
      if (this.#plugin === plugin) this.#plugin = null;
      [...waiting.values()].forEach((resolve) => resolve(null));
    };
    process.on("error", gone);
    plugin.ended = once(process, "close").then(([status]) => (gone(), status), () => null);
    return (this.#plugin = plugin);
  }
}

// A demonstration, when this file is run rather than imported.
if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const command = process.argv.slice(2);
  const plugin = new MailSmtp2(command.length ? command : ["mail-smtp2", "--mta", "sandbox"]);
  const steps = {
    update: { alternate_smtp_port: Number(process.env.PORT ?? 2587), auth_mode: "auth_yes/tls_yes" },
    start: { cascade_to_nodes: 0 },
    listServiceInfo: {},
    stop: {},
  };
  for (const [action, params] of Object.entries(steps)) {
    const envelope = await plugin.call(action, params);
    console.log(`${action}: ${JSON.stringify(envelope)}`);
    if (envelope.status !== 0) process.exitCode = 1;
  }
  if ((await plugin.close()) !== 0) process.exitCode = 1;
}
