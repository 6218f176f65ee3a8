# SPDX-License-Identifier: GPL-2.0
#
# usage: qmp.py SOCKET COMMAND [NAME=VALUE]...
# Prints what QEMU returned: a string as it is, all else as JSON. A value is JSON,
# or else a string. COMMAND "hold" connects and stays, until it is killed.
import json
import signal
import socket
import sys


def value(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


monitor = socket.socket(socket.AF_UNIX)
monitor.connect(sys.argv[1])
answers = monitor.makefile()
assert "QMP" in json.loads(answers.readline())


def call(command, arguments):
    order = {"execute": command, "arguments": arguments}
    monitor.sendall(json.dumps(order).encode())
    for line in answers:
        answer = json.loads(line)
        if "event" not in answer:
            return answer
    sys.exit("QEMU has closed the connection")


call("qmp_capabilities", {})
if sys.argv[2] == "hold":
    print("held", flush=True)
    signal.pause()
answer = call(sys.argv[2], {name: value(text) for name, text in
                            (word.split("=", 1) for word in sys.argv[3:])})
if "error" in answer:
    sys.exit(answer["error"]["desc"])
answer = answer["return"]
print(answer if isinstance(answer, str) else json.dumps(answer))
