// The tests of host.mjs against the real plugin: PLUGIN=... node --test host.test.mjs, where vscode-jsonrpc is found.
// Where a plugin has to misbehave, a shell plays it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { MailSmtp2, NoAnswer } from "./host.mjs";

const sandbox = [process.env.PLUGIN, "--mta", "sandbox"];
const done = { status: 0, payload: "Success" };

/** A port that nobody holds. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

test("a conversation ends in order", async () => {
  const port = await freePort();
  const plugin = new MailSmtp2(sandbox);
  assert.deepEqual(await plugin.call("update", { alternate_smtp_port: port, auth_mode: "auth_yes/tls_yes" }), done);
  assert.deepEqual(await plugin.call("start"), done);
  const { payload } = await plugin.call("listServiceInfo");
  assert.deepEqual([payload.ports, payload.is_running], [String(port), 1]);
  assert.deepEqual(await plugin.call("stop"), done);
  assert.equal((await plugin.call("isRunning")).payload, false);
  assert.equal(await plugin.close(), 0);
});

test("the demonstration ends well", async () => {
  const host = fileURLToPath(new URL("host.mjs", import.meta.url));
  const env = { ...process.env, PORT: String(await freePort()) };
  const run = spawnSync(process.execPath, [host, ...sandbox], { env, encoding: "utf8" });
  assert.deepEqual([run.status, run.stderr], [0, ""], run.stdout);
  assert.match(run.stdout.split("\n")[2], /"is_running":1/);
});

test("an unknown action is an error with the number of the fault", async () => {
  const plugin = new MailSmtp2(sandbox);
  await assert.rejects(plugin.call("list"), (error) => error.code === -32601);
  assert.equal(await plugin.close(), 0);
});

test("a plugin that is silent is given up after the time-out", async () => {
  const plugin = new MailSmtp2(["sh", "-c", "read line; exec sleep 1"], 200);
  await assert.rejects(plugin.call("start"), NoAnswer);
  await plugin.close();
});

test("a plugin that is gone is started anew", async () => {
  const plugin = new MailSmtp2(sandbox);
  for (let at = 0; at < 3; at++) {
    assert.equal((await plugin.call("listServiceName")).payload, "smtp2");
    assert.equal(await plugin.close(), 0);
  }
});

test("a change whose plugin dies is no answer, and the next one has a plugin again", async () => {
  const plugin = new MailSmtp2(["sh", "-c", "head -c 1 >/dev/null"]);
  await assert.rejects(plugin.call("start"), NoAnswer);
  await assert.rejects(plugin.call("start"), NoAnswer);
});
