// The tests of host.mjs against the real plugin: PLUGIN=... node --test host.test.mjs, where vscode-jsonrpc is found.
// Where a plugin has to misbehave, a shell plays it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
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

test("a late reply says what became of a change", async () => {
  // It answers the first request when the second one comes, and then that.
  const script = `
    answer() { text='{"jsonrpc":"2.0","id":'$1',"result":{"status":0,"payload":"'$2'"}}'
      printf 'Content-Length: %d\\r\\n\\r\\n%s' \${#text} "$text"; }
    head -c 20 >/dev/null; while [ ! -e "$0" ]; do sleep 0.1; done
    answer 0 made; answer 1 asked; cat >/dev/null`;
  const folder = mkdtempSync(`${tmpdir()}/host-`);
  const plugin = new MailSmtp2(["sh", "-c", script, `${folder}/go`], 200);
  const noAnswer = await plugin.call("start").catch((error) => error);
  assert(noAnswer instanceof NoAnswer);
  assert.equal(plugin.late(noAnswer), undefined);
  plugin.timeOut = 60_000;
  writeFileSync(`${folder}/go`, "");
  assert.equal((await plugin.call("isRunning")).payload, "asked");
  assert.equal(plugin.late(noAnswer).payload, "made");
  await plugin.close();
  rmSync(folder, { recursive: true });
});

test("a time-out frees the caller although the plugin goes on", async () => {
  const folder = mkdtempSync(`${tmpdir()}/host-`);
  const script = 'while [ ! -e "$0/go" ]; do sleep 0.1; done; touch "$0/gone"';
  const plugin = new MailSmtp2(["sh", "-c", script, folder], 200);
  await assert.rejects(plugin.call("start"), NoAnswer);
  plugin.release();
  assert(!existsSync(`${folder}/gone`));
  writeFileSync(`${folder}/go`, "");
  while (!existsSync(`${folder}/gone`)) await new Promise((soon) => setTimeout(soon, 50));
  rmSync(folder, { recursive: true });
});

test("other people's fields of a form are refused, and so is text that is no UTF-8", async () => {
  const plugin = new MailSmtp2(sandbox);
  const { status, error } = await plugin.call("update", { csrf_token: "x", auth_mode: Buffer.from([0xff]).toString() });
  assert.deepEqual([status, error.fields.map(({ name }) => name).sort()], [11, ["auth_mode", "csrf_token"]]);
  await plugin.close();
});

test("a sandbox with a state directory is the same from one page load to the next", async () => {
  const folder = mkdtempSync(`${tmpdir()}/host-`);
  const load = async (work) => {
    const plugin = new MailSmtp2([...sandbox, "--state-dir", folder]);
    const answer = await work(plugin);
    assert.equal(await plugin.close(), 0);
    return answer;
  };
  const port = await freePort();
  await load((plugin) => plugin.call("update", { alternate_smtp_port: port, auth_mode: "auth_yes/tls_yes" }));
  assert.deepEqual(await load((plugin) => plugin.call("start")), done);
  assert.equal((await load((plugin) => plugin.call("isRunning"))).payload, true);
  assert.deepEqual(await load((plugin) => plugin.call("stop")), done);
  rmSync(folder, { recursive: true });
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
