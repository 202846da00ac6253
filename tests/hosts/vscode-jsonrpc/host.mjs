// A host for mail-smtp2 on vscode-jsonrpc, the library of language-server clients: it speaks Content-Length headers, and
// the plugin answers in kind. npm install vscode-jsonrpc@8. Try it: node host.mjs mail-smtp2 --mta sandbox

import { spawn } from "node:child_process";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { pathToFileURL } from "node:url";
import rpc from "vscode-jsonrpc/node.js";

/** The plugin is gone, or did not answer in time: what became of a change is not known. Ask late(), or listServiceInfo. */
export class NoAnswer extends Error {}

export class MailSmtp2 {
  /** In milliseconds. */
  timeOut;
  #command;
  #plugin = null;
  /** Envelopes that came after the time-out, by the error that told of it. */
  #late = new WeakMap();

  /** A change waits 10 s for its turn, works for 20 s and takes 20 s to undo what failed: a minute is enough. */
  constructor(command, timeOut = 60_000) {
    this.#command = command;
    this.timeOut = timeOut;
  }

  /**
   * Does one action; its envelope: { status: 0, payload: ... }, where a status that is not 0 is a failure. A fault of the
   * conversation is a ResponseError with its code.
   */
  async call(action, params = {}) {
    // Asking twice is harmless; a change that may have been made is never sent again.
    const tries = /^(is|list|query)/.test(action) ? 2 : 1;
    for (let at = 1; ; at++) {
      const plugin = this.#open();
      try {
        return await this.#ask(plugin, action, params);
      } catch (error) {
        // One that is silent may still answer.
        if (!(error instanceof NoAnswer) || at === tries || this.#plugin === plugin) throw error;
      }
    }
  }

  /** What became of a request that ran out of time: its envelope, if it has come by now. */
  late(noAnswer) {
    return this.#late.get(noAnswer);
  }

  /** Lets the plugin go without waiting: it finishes a change that has begun, and ends. */
  release() {
    const plugin = this.#plugin;
    this.#plugin = null;
    if (!plugin) return;
    plugin.input.end();
    plugin.connection.dispose();
    plugin.process.stdout.destroy();
    plugin.process.unref();
  }

  async #ask(plugin, action, params) {
    let timer;
    const silent = new NoAnswer(`no answer within ${this.timeOut} ms`);
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(silent), this.timeOut);
    });
    const gone = plugin.ended.then(() => Promise.reject(new NoAnswer(`mail-smtp2 ended before it answered ${action}`)));
    const answer = plugin.connection.sendRequest(action, rpc.ParameterStructures.byName, params);
    // After a time-out nobody else hears it.
    answer.then((envelope) => this.#late.set(silent, envelope), () => {});
    gone.catch(() => {});
    try {
      return await Promise.race([answer, gone, late]);
    } catch (error) {
      // What the library says of a request whose plugin is gone.
      throw error.code === rpc.ErrorCodes.PendingResponseRejected ? await gone.catch((why) => why) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Closing its input ends the plugin, after a change that has begun; its exit status, 0 if all is well. */
  async close() {
    const plugin = this.#plugin;
    if (!plugin) return 0;
    plugin.input.end();
    return await plugin.ended;
  }

  #open() {
    if (this.#plugin) return this.#plugin;
    // stderr is inherited: the plugin's log goes where this program's own goes.
    const process = spawn(this.#command[0], this.#command.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
    const reader = new rpc.StreamMessageReader(process.stdout);
    // Between the library and the pipe: it leaves a rejection that nobody hears when a write fails. That the plugin is
    // gone is told by its end.
    const input = new PassThrough();
    input.pipe(process.stdin).on("error", () => {});
    const connection = rpc.createMessageConnection(reader, new rpc.StreamMessageWriter(input));
    connection.onError(() => {});
    connection.listen();
    const plugin = { process, input, connection };
    const forget = (status) => {
      if (this.#plugin === plugin) this.#plugin = null;
      connection.dispose();
      return status;
    };
    plugin.ended = once(process, "close").then(([status]) => forget(status), () => forget(null));
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
