"""A host for mail-smtp2: keeps one plugin process, asks it one thing at a time, starts another when it is gone.

Python 3.8 or newer, nothing besides. Try it: python3 host.py mail-smtp2 --mta sandbox
"""

import itertools
import json
import os
import re
import select
import subprocess
import sys
import threading
import time


class NoAnswer(Exception):
    """The plugin is gone, or did not answer in time: what became of a change is not known. Ask late(), or
    listServiceInfo."""

    number = None  # The id of the request, for late().


class Fault(Exception):
    """The conversation itself went wrong: an unknown action, a message that is too long. args: code, message."""


class MailSmtp2:
    def __init__(self, command, time_out=60.0):
        """A change waits 10 s for its turn, works for 20 s and takes 20 s to undo what failed: a minute is enough."""
        self.command, self.time_out = command, time_out
        self._process, self._heard, self._ids = None, b"", itertools.count()
        self._late = {}  # Replies that came after the time-out.

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        # Who gave up waiting does not wait here either.
        self.release() if kind is NoAnswer else self.close()

    def call(self, action, params=None):
        """Does one action; its envelope: {"status": 0, "payload": ...}, where a status that is not 0 is a failure."""
        number = next(self._ids)
        request = {"jsonrpc": "2.0", "id": number, "method": action, "params": params or {}}
        line = json.dumps(request).encode() + b"\n"
        reply = self._ask(line, number)
        # Asking twice is harmless; a change that may have been made is never sent again.
        if reply is None and re.match("is|list|query", action):
            reply = self._ask(line, number)
        if reply is None:
            raise NoAnswer(f"mail-smtp2 ended before it answered {action}")
        if "error" in reply:
            raise Fault(reply["error"]["code"], reply["error"]["message"])
        return reply["result"]

    def late(self, no_answer):
        """What became of a request that ran out of time: its envelope, if it has come by now; None if it has not."""
        while self._process is not None and (text := self._read_line(0)):
            self._keep(json.loads(text))
        return self._late.get(no_answer.number, {}).get("result")

    def _keep(self, reply):
        if reply["id"] is not None:
            self._late[reply["id"]] = reply

    def release(self):
        """Lets the plugin go without waiting: it finishes a change that has begun, and ends."""
        if self._process is not None:
            process, self._process, self._heard = self._process, None, b""
            process.stdout.close()
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass
            # So that it is no zombie once it has ended.
            threading.Thread(target=process.wait, daemon=True).start()

    def close(self):
        """Ends the plugin and waits for it, a change that has begun included; its exit status, 0 if all is well."""
        if self._process is None:
            return 0
        process, self._process, self._heard = self._process, None, b""
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass
        process.stdout.read()
        process.stdout.close()
        return process.wait()

    def _ask(self, line, number):
        """The reply with this id, or None when the plugin is gone."""
        deadline = time.monotonic() + self.time_out
        self._open()
        try:
            self._process.stdin.write(line)
        except BrokenPipeError:
            self.close()
            return None
        while (text := self._read_line(deadline)) is not None:
            if not text:
                no_answer = NoAnswer(f"mail-smtp2 did not answer within {self.time_out} seconds")
                no_answer.number = number
                raise no_answer
            reply = json.loads(text)
            # Another id is a late reply, to a request that ran out of time; null is a fault of this very line.
            if reply["id"] in (number, None):
                return reply
            self._keep(reply)
        self.close()
        return None

    def _open(self):
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        # stderr is inherited: the plugin's log goes where this program's own goes.
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, bufsize=0)

    def _read_line(self, deadline):
        """One line without its end; b"" where none has come by the deadline, None at the end of the plugin's output."""
        while b"\n" not in self._heard:
            left = max(0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                return b""
            piece = os.read(self._process.stdout.fileno(), 65536)
            if not piece:
                return None
            self._heard += piece
        line, self._heard = self._heard.split(b"\n", 1)
        return line


def demonstrate(command, port):
    """One conversation: configured, started, looked at, stopped. True if all of it went well."""
    with MailSmtp2(command) as plugin:
        for action, params in [
            ("update", {"alternate_smtp_port": port, "auth_mode": "auth_yes/tls_yes"}),
            ("start", {"cascade_to_nodes": 0}),
            ("listServiceInfo", {}),
            ("stop", {}),
        ]:
            envelope = plugin.call(action, params)
            print(f"{action}: {json.dumps(envelope)}")
            if envelope["status"] != 0:
                return False
        return plugin.close() == 0


if __name__ == "__main__":
    ok = demonstrate(sys.argv[1:] or ["mail-smtp2", "--mta", "sandbox"], int(os.environ.get("PORT", 2587)))
    sys.exit(0 if ok else 1)
