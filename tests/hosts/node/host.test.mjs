// The tests of host.mjs against the real plugin: PLUGIN=... node --test host.test.mjs. Where a plugin has to misbehave,
// a shell plays it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Fault, MailSmtp2, NoAnswer } from "./host.mjs";

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

/** A plugin played by a shell script; $0 is a file that it may write to. */
const played = (script, file = "/dev/null") => ["sh", "-c", script, file];

/** A line of such a script: a reply. */
const saying = (id, what) => `printf '{"jsonrpc":"2.0","id":${id},"result":{"status":0,"payload":"${what}"}}\\n'; `;

test("a conversation ends in order", async () => {
  const port = await freePort();
  const plugin = new MailSmtp2(sandbox);
  assert.deepEqual(await plugin.call("update", { alternate_smtp_port: port, auth_mode: "auth_yes/tls_yes" }), done);
  assert.deepEqual(await plugin.call("start"), done);
  const { payload } = await plugin.call("listServiceInfo");
  assert.deepEqual([payload.ports, payload.is_running], [String(port), 1]);
  assert.deepEqual(await plugin.call("stop"), done);
  assert.deepEqual(await plugin.call("isRunning"), { status: 0, payload: false });
  assert.equal(await plugin.close(), 0);
});

test("the demonstration ends well", async () => {
  const host = fileURLToPath(new URL("host.mjs", import.meta.url));
  const env = { ...process.env, PORT: String(await freePort()) };
  const run = spawnSync(process.execPath, [host, ...sandbox], { env, encoding: "utf8" });
  assert.deepEqual([run.status, run.stderr], [0, ""], run.stdout);
  assert.match(run.stdout.split("\n")[2], /"is_running":1/);
});

test("replies may overtake each other", async () => {
  const plugin = new MailSmtp2(sandbox);
  const settings = { alternate_smtp_port: await freePort(), auth_mode: "auth_yes/tls_yes" };
  const [updated, name] = await Promise.all([plugin.call("update", settings), plugin.call("listServiceName")]);
  assert.deepEqual([updated, name.payload], [done, "smtp2"]);
  assert.equal(await plugin.close(), 0);
});

test("refused input is an envelope with status 11", async () => {
  const plugin = new MailSmtp2(sandbox);
  assert.equal((await plugin.call("update", { alternate_smtp_port: "0587" })).status, 11);
  await plugin.close();
});

test("an unknown action and a request that is too big are faults", async () => {
  const plugin = new MailSmtp2(sandbox);
  const code = (number) => (error) => error instanceof Fault && error.code === number;
  await assert.rejects(plugin.call("list"), code(-32601));
  await assert.rejects(plugin.call("update", { auth_mode: "x".repeat(2 << 20) }), code(-32007));
  await plugin.close();
});

test("a plugin that was killed is started anew", async () => {
  // Its input ends after one line, and so does it.
  const plugin = new MailSmtp2(["sh", "-c", 'head -n 1 | "$@"', "sh", ...sandbox]);
  for (let at = 0; at < 3; at++) {
    assert.equal((await plugin.call("listServiceName")).payload, "smtp2");
  }
  await plugin.close();
});

test("a plugin that is silent is given up after the time-out", async () => {
  const plugin = new MailSmtp2(played("read line; exec sleep 3"), 200);
  await assert.rejects(plugin.call("start"), NoAnswer);
  await plugin.close();
});

test("a late reply is not taken for the next one", async () => {
  const script = `read line; read line; ${saying(0, "late")}${saying(1, "right")}`;
  const plugin = new MailSmtp2(played(script), 200);
  await assert.rejects(plugin.call("start"), NoAnswer);
  plugin.timeOut = 10_000;
  assert.equal((await plugin.call("listServiceName")).payload, "right");
  await plugin.close();
});

test("a late reply says what became of a change", async () => {
  const plugin = new MailSmtp2(played(`read line; read line; ${saying(0, "made")}${saying(1, "x")}cat`), 200);
  const noAnswer = await plugin.call("start").catch((error) => error);
  assert.equal(plugin.late(noAnswer), undefined);
  plugin.timeOut = 10_000;
  await plugin.call("isRunning");
  assert.equal(plugin.late(noAnswer).payload, "made");
  await plugin.close();
});

test("a time-out frees the caller although the plugin goes on", async () => {
  const begun = Date.now();
  const plugin = new MailSmtp2(played("read line; exec sleep 20"), 200);
  await assert.rejects(plugin.call("start"), NoAnswer);
  plugin.release();
  assert(Date.now() - begun < 15_000);
});

test("a plugin that cannot be started is no answer", async () => {
  await assert.rejects(new MailSmtp2(["/nowhere/mail-smtp2"]).call("isRunning"), NoAnswer);
});

test("a listing whose plugin dies is asked again, and a change is not", async () => {
  for (const [action, times] of [["listServiceInfo", 2], ["start", 1]]) {
    const folder = mkdtempSync(`${tmpdir()}/host-`);
    const plugin = new MailSmtp2(played('echo begun >>"$0"; read line', `${folder}/begun`));
    await assert.rejects(plugin.call(action), NoAnswer);
    assert.equal(readFileSync(`${folder}/begun`, "utf8"), "begun\n".repeat(times), action);
    rmSync(folder, { recursive: true });
  }
});
