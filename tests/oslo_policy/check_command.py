"""Compares `glance-gate policy check` with the real oslopolicy-checker: what both print, and their exit codes.

    check_command.py GATE COUNT SEED
"""
import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile

from oslo_policy import shell

from generate import ROLES
from generate import RULES
from generate import Case


def real(arguments):
    """Runs oslopolicy-checker; what it says, and its exit code."""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            shell.tool(**arguments)
    except Exception:
        return "", 1
    return out.getvalue(), 0


def ours(gate, arguments):
    flags = {"policy_file": "policy", "access_file": "access", "apply_rule": "rule", "target_file": "target"}
    command = [gate, "policy", "check"]
    for name, flag in flags.items():
        if arguments[name]:
            command += [f"--{flag}", arguments[name]]
    if arguments["is_admin"]:
        command.append("--is_admin")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return ended.stdout, ended.returncode


def verdicts(out):
    """The lines that both write: what an exception says is Python's own."""
    return [line for line in out.splitlines() if line.startswith(("passed: ", "failed: ", "exception: "))]


def access(dice, case):
    roles = [{"id": str(number), "name": case.cased(name)} for number, name in enumerate(dice.sample(ROLES, 2))]
    token = {"roles": roles, "user": {"id": "u-1", "name": "somebody", "domain": {"id": "default", "name": "Default"}},
             "methods": ["password"]}
    scope = dice.choice(["project", "project", "domain", "system", "none"])
    if scope == "project":
        token["project"] = {"id": "11111111", "name": "p", "domain": {"id": "default", "name": "Default"}}
    elif scope == "domain":
        token["domain"] = {"id": "default", "name": "Default"}
    elif scope == "system":
        token["system"] = {"all": True}
    return {"token": token}


def main(gate, count, seed):
    compared, different = 0, []
    with tempfile.TemporaryDirectory() as folder:
        path = {name: os.path.join(folder, name) for name in ("policy.yaml", "access.json", "target.json")}
        for number in range(count):
            dice = random.Random(f"command-{seed}-{number}")
            case = Case(dice)
            for name, text in (("policy.yaml", case.policy()), ("access.json", json.dumps(access(dice, case))),
                               ("target.json", json.dumps({**case.target(), "deep": {"er": {"id": "x"}, "none": {}}}))):
                with open(path[name], "w", encoding="utf-8") as file:
                    file.write(text)
            arguments = {
                "policy_file": path["policy.yaml"], "access_file": path["access.json"],
                "apply_rule": dice.choice([None, *RULES, "missing"]), "is_admin": dice.random() < 0.5,
                "target_file": dice.choice([None, path["target.json"]]),
            }
            (theirs, their_code), (own, own_code) = real(arguments), ours(gate, arguments)
            compared += 1
            if (verdicts(theirs), their_code) != (verdicts(own), own_code):
                different.append(f"{number}: {arguments}\n  {their_code} {theirs!r}\n  {own_code} {own!r}")
    print(f"{compared} calls of the command, {len(different)} differ")
    print("\n".join(different[:20]))
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
