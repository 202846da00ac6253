"""The tests of host.py against the real plugin: python3 test.py PLUGIN. Where a plugin has to misbehave, a shell plays
it."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from host import Fault, MailSmtp2, NoAnswer

SANDBOX = [sys.argv.pop(1), "--mta", "sandbox"]
DONE = {"status": 0, "payload": "Success"}


def free_port():
    """A port that nobody holds."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def played(script, file="/dev/null"):
    """A plugin played by a shell script; $0 is a file that it may write to."""
    return ["sh", "-c", script, file]


def saying(number, what):
    """A line of such a script: a reply."""
    return f'printf \'{{"jsonrpc":"2.0","id":{number},"result":{{"status":0,"payload":"{what}"}}}}\\n\'; '


class Host(unittest.TestCase):
    def test_a_conversation_ends_in_order(self):
        settings = {"alternate_smtp_port": free_port(), "auth_mode": "auth_yes/tls_yes"}
        plugin = MailSmtp2(SANDBOX)
        self.assertEqual(plugin.call("update", settings), DONE)
        self.assertEqual(plugin.call("start"), DONE)
        info = plugin.call("listServiceInfo")["payload"]
        self.assertEqual((info["ports"], info["is_running"]), (str(settings["alternate_smtp_port"]), 1))
        self.assertEqual(plugin.call("stop"), DONE)
        self.assertEqual(plugin.call("isRunning"), {"status": 0, "payload": False})
        self.assertEqual(plugin.close(), 0)

    def test_the_demonstration_ends_well(self):
        host = Path(__file__).with_name("host.py")
        environment = {**os.environ, "PORT": str(free_port())}
        run = subprocess.run([sys.executable, host, *SANDBOX], env=environment, capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        self.assertIn('"is_running": 1', run.stdout.splitlines()[2])

    def test_refused_input_is_an_envelope_with_status_11(self):
        with MailSmtp2(SANDBOX) as plugin:
            self.assertEqual(plugin.call("update", {"alternate_smtp_port": "0587"})["status"], 11)

    def test_an_unknown_action_is_a_fault(self):
        with MailSmtp2(SANDBOX) as plugin, self.assertRaises(Fault) as fault:
            plugin.call("list")
        self.assertEqual(fault.exception.args[0], -32601)

    def test_a_request_that_is_too_big_is_a_fault_and_not_a_time_out(self):
        with MailSmtp2(SANDBOX) as plugin, self.assertRaises(Fault) as fault:
            plugin.call("update", {"auth_mode": "x" * (2 << 20)})
        self.assertEqual(fault.exception.args[0], -32007)

    def test_a_plugin_that_was_killed_is_started_anew(self):
        # Its input ends after one line, and so does it.
        with MailSmtp2(["sh", "-c", 'head -n 1 | "$@"', "sh", *SANDBOX]) as plugin:
            for _ in range(3):
                self.assertEqual(plugin.call("listServiceName")["payload"], "smtp2")

    def test_a_plugin_that_is_silent_is_given_up_after_the_time_out(self):
        with MailSmtp2(played("read line; exec sleep 3"), 0.2) as plugin, self.assertRaises(NoAnswer):
            plugin.call("start")

    def test_a_late_reply_is_not_taken_for_the_next_one(self):
        script = "read line; read line; " + saying(0, "late") + saying(1, "right")
        with MailSmtp2(played(script), 0.2) as plugin:
            self.assertRaises(NoAnswer, plugin.call, "start")
            plugin.time_out = 10
            self.assertEqual(plugin.call("listServiceName")["payload"], "right")

    def test_a_late_reply_says_what_became_of_a_change(self):
        script = "read line; read line; " + saying(0, "made") + saying(1, "x") + "cat"
        with MailSmtp2(played(script), 0.2) as plugin:
            with self.assertRaises(NoAnswer) as no_answer:
                plugin.call("start")
            self.assertIsNone(plugin.late(no_answer.exception))
            plugin.time_out = 10
            plugin.call("isRunning")
            self.assertEqual(plugin.late(no_answer.exception)["payload"], "made")

    def test_a_time_out_frees_the_caller_although_the_plugin_goes_on(self):
        begun = time.monotonic()
        with self.assertRaises(NoAnswer), MailSmtp2(played("read line; exec sleep 20"), 0.2) as plugin:
            plugin.call("start")
        self.assertLess(time.monotonic() - begun, 15)

    def test_text_that_is_no_utf_8_is_refused_under_its_field(self):
        with MailSmtp2(SANDBOX) as plugin:
            envelope = plugin.call("update", {"auth_mode": b"caf\xe9".decode("utf-8", "replace")})
            self.assertEqual(envelope["error"]["fields"][0]["name"], "auth_mode")
            # As os.environ and file names hold it: half a surrogate pair, which is no text.
            envelope = plugin.call("update", {"auth_mode": b"caf\xe9".decode("utf-8", "surrogateescape")})
            self.assertEqual((envelope["status"], envelope["error"]["reason"]), (11, "input_refused"))

    def test_a_sandbox_with_a_state_directory_is_there_for_the_next_plugin(self):
        with tempfile.TemporaryDirectory() as folder:
            command = [*SANDBOX, "--state-dir", folder + "/state"]
            with MailSmtp2(command) as first:
                settings = {"alternate_smtp_port": free_port(), "auth_mode": "auth_yes/tls_yes"}
                self.assertEqual((first.call("update", settings), first.call("start")), (DONE, DONE))
            with MailSmtp2(command) as second:
                self.assertIs(second.call("isRunning")["payload"], True)
                self.assertEqual(second.call("stop"), DONE)

    def test_the_sandbox_fails_as_it_is_told_to(self):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write('[sandbox]\nfail = "start:409:port_held"\n')
            file.flush()
            with MailSmtp2([*SANDBOX, "--config", file.name]) as plugin:
                envelope = plugin.call("start")
                self.assertEqual((envelope["status"], envelope["error"]["reason"]), (409, "port_held"))
                self.assertEqual(plugin.call("stop"), DONE)

    def test_a_last_reply_is_read_although_the_plugin_has_ended(self):
        with MailSmtp2(played("read line; " + saying(0, "last"))) as plugin:
            self.assertEqual(plugin.call("start")["payload"], "last")

    def test_a_listing_whose_plugin_dies_is_asked_again_and_a_change_is_not(self):
        for action, times in [("listServiceInfo", 2), ("start", 1)]:
            with tempfile.NamedTemporaryFile() as file:
                with MailSmtp2(played('echo begun >>"$0"; read line', file.name)) as plugin:
                    self.assertRaises(NoAnswer, plugin.call, action)
                self.assertEqual(len(file.readlines()), times, action)


if __name__ == "__main__":
    unittest.main()
