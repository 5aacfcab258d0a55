"""Writes rules, targets and credentials with what the real oslo.policy says to them, one JSON document a line.

    generate.py COUNT SEED > cases.jsonl

The same arguments give the same lines.
"""
import copy
import json
import logging
import os
import random
import string
import sys
import tempfile
import warnings

import yaml
from oslo_config import cfg
from oslo_policy import policy

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

RULES = ["get_image", "get_member", "modify_member", "context_is_admin", "default", "admin_or_owner", "a:b", "Ünicode"]
ROLES = ["admin", "member", "reader", "service", "Ädmin", "cloud admin", "none"]
PROJECTS = ["11111111", "2222", "p-3", "it's", 'say "x"', "", "ﬁ", "None", "True", "5"]
ATTRIBUTES = ["project_id", "user_id", "user.id", "user.domain.name", "roles", "groups.name", "token.methods", "is_admin",
              "a-b", "deep.list.id", "nothing", "domain_id", "system_scope", "number", "flag", "user", "ProjectID"]
KEYS = ["project_id", "member_id", "visibility", "owner", "user.id", "flag", "number", "size", "list", "dict", "none",
        "missing", "name (1)", "é"]
LITERALS = ["'public'", "'shared'", "\"x\"", "True", "False", "None", "5", "-5", "1.5", "0x10", "1_0", "[]", "()", "{}",
            "[1,'a']", "(1,)", "''", "'a''b'", "r'\\n'", "'\\x41'", "1e16", "0.1", "...", "-True", "--1", "1+2", "a<b"]
BROKEN_KINDS = ["", "from", "1abc", "'open", "user.class", "a..b", ".a", "$x", "a=b", "(a", "a)b", "007", "is", "a.1"]
VALUES = [None, True, False, 5, -1, 0, 1.5, 1e16, 1e-05, 0.1, "", "x", "public", "shared", "a\nb", "5", "True", "None",
          [], ["a", 1], {"id": "x"}, {"a": [None, True]}, [["a"]], "ß", "tab\t", "back\\slash"]


class Case:
    """One case, made of random parts."""

    def __init__(self, dice):
        self.dice = dice

    def pick(self, *lists):
        return self.dice.choice(self.dice.choice(lists))

    def chance(self, percent):
        return self.dice.random() * 100 < percent

    def cased(self, text):
        return self.dice.choice([text, text, text.upper(), text.title(), text.swapcase()])

    def wanted(self):
        key = self.pick(KEYS)
        return self.dice.choice([
            f"%({key})s", f"%({key})s", f"%({key})s", f"%({self.pick(KEYS)})s", self.pick(PROJECTS, ROLES).replace(" ", ""),
            f"x-%({key})s", f"%({key})s-%({self.pick(KEYS)})s", f"%({key})10s", f"%({key})-4s", f"%({key}).2s", f"%({key})r",
            f"%({key})d", "100%", f"%({key})", f"%({key}", "%%", "%d", f"%({key})q", "a:b:c", "", str(self.pick(VALUES)),
        ])

    def atom(self):
        dice = self.dice.random()
        if dice < 0.25:
            return f"role:{self.cased(self.dice.choice(ROLES))}".replace(" ", self.dice.choice(["", " "]))
        if dice < 0.29:
            return f"role:{self.wanted()}"
        if dice < 0.45:
            return f"rule:{self.dice.choice(RULES + ['missing', 'GET_IMAGE'])}"
        if dice < 0.72:
            return f"{self.dice.choice(ATTRIBUTES)}:{self.wanted()}"
        if dice < 0.85:
            return f"{self.dice.choice(LITERALS)}:{self.wanted()}"
        if dice < 0.90:
            return f"{self.dice.choice(BROKEN_KINDS)}:{self.wanted()}"
        return self.dice.choice(["@", "!", "@", "!", "", "role", "'quoted'", "\"quoted\"", "ROLE:admin", "true:x", "Rule:default"])

    def expression(self, depth):
        dice = self.dice.random()
        if depth == 0 or dice < 0.25:
            return self.atom()
        if dice < 0.40:
            return f"{self.cased('not')} {self.expression(depth - 1)}"
        if dice < 0.55:
            space = self.dice.choice(["", "", " "])
            return f"({space}{self.expression(depth - 1)}{space})"
        parts = [self.expression(depth - 1) for _ in range(self.dice.choice([2, 2, 3]))]
        text = parts[0]
        for part in parts[1:]:
            text += self.dice.choice([" ", " ", "  ", "\t"]) + self.cased(self.dice.choice(["and", "or"])) + " " + part
        return text

    def text(self):
        text = self.expression(self.dice.choice([0, 1, 1, 2, 2, 3, 4]))
        if self.chance(8):  # a slip of the pen
            words = text.split(" ")
            at = self.dice.randrange(len(words))
            words[at:at + self.dice.choice([0, 1])] = self.dice.choice([[], ["and"], ["("], [")"], ["not"], ["or", "or"]])
            text = " ".join(words)
        return text

    def rule(self):
        dice = self.dice.random()
        if dice < 0.88:
            return self.text()
        if dice < 0.97:
            return [self.dice.choice([self.atom(), [self.atom() for _ in range(self.dice.choice([0, 1, 2, 3]))]])
                    for _ in range(self.dice.choice([0, 1, 2, 3]))]
        return self.dice.choice([None, False, True, 0, 7, {}, {"role:admin": 1}, [[None]], [[5, "@"]], [True], ""])

    def policy(self):
        rules = {name: self.rule() for name in RULES if self.chance(55)}
        if self.chance(70):
            rules.pop("default", None)
        dice = self.dice.random()
        if dice < 0.25:
            return json.dumps(rules, indent=self.dice.choice([None, 2]), ensure_ascii=self.chance(50))
        if dice < 0.35 and rules:  # written by hand, without quotes
            return "".join(f"{json.dumps(name)}: {self.dice.choice([self.text(), self.bare()])}\n" for name in rules)
        style = self.dice.choice([None, None, "'", '"', "|", ">"])
        text = yaml.safe_dump(rules, default_style=style if self.chance(50) else None, allow_unicode=self.chance(50), width=1000)
        return self.dice.choice(["", "# a comment\n", "---\n"]) + text

    def bare(self):
        return self.dice.choice(["no", "yes", "~", "!", "@", "'!'", "'@'", "1:30", "0", "12", "0x1", "1.5", "2001-01-02", "[]",
                                 "role:admin", "[role:admin, [role:member, '@']]", "off", "on", "null", "=", "08", "{}"])

    def target(self):
        target = {}
        for key in KEYS:
            if key != "missing" and self.chance(75):
                target[key] = self.pick(PROJECTS) if key.endswith("_id") or key == "owner" else self.pick(VALUES)
        if self.chance(70):
            target["visibility"] = self.dice.choice(["public", "shared", "private", "community"])
        return target

    def credentials(self, target):
        creds = {
            "roles": [self.cased(role) for role in self.dice.sample(ROLES, self.dice.choice([0, 1, 1, 2, 3]))],
            "project_id": self.dice.choice([self.pick(PROJECTS), target.get("project_id"), target.get("member_id"), None]),
            "user_id": self.pick(PROJECTS),
            "user": {"id": self.pick(PROJECTS), "domain": {"name": "Default"}},
            "groups": [{"name": self.pick(ROLES)}, {"name": self.pick(PROJECTS)}, {}],
            "token": {"methods": [self.dice.choice(["password", "x"]), ["a"]]},
            "is_admin": self.chance(50), "a-b": self.pick(PROJECTS), "number": self.dice.choice([5, 5.0, "5", None]),
            "deep": {"list": [{"id": self.pick(PROJECTS)}, {"id": [self.pick(PROJECTS)]}]},
            "flag": self.pick(VALUES), "domain_id": self.dice.choice([None, None, None, "d"]),
            "system_scope": self.dice.choice([None, None, None, None, "all"]),
        }
        for key in list(creds):
            if self.chance(10):
                del creds[key]
            elif self.chance(4):
                creds[key] = self.pick(VALUES)
        return creds

    def defaults(self):
        """What a service registers: name, check, name and check of before, scope types."""
        defaults = []
        for name in RULES[:6]:
            if self.chance(35):
                before = None
                if self.chance(60):
                    before = [self.dice.choice([name, name, "admin_or_owner", "a:b"]), self.text()]
                defaults.append([name, self.text(), before, self.dice.choice([[], [], ["project"], ["system", "project"]])])
        return defaults

    def make(self):
        target = self.target()
        return {
            "policy": self.policy(), "defaults": self.defaults() if self.chance(50) else [],
            "enforce_new_defaults": self.chance(50), "target": target, "credentials": self.credentials(target),
        }


def say(case, folder):
    """Asks oslo.policy for each rule; what it raises is an answer too."""
    path = os.path.join(folder, "policy.yaml")
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(case["policy"])
    conf = cfg.ConfigOpts()
    conf([], project="test", default_config_files=[], default_config_dirs=[])
    enforcer = policy.Enforcer(conf, policy_file=path)
    conf.set_override("policy_dirs", [], "oslo_policy")
    conf.set_override("enforce_new_defaults", case["enforce_new_defaults"], "oslo_policy")
    for name, check, before, scope_types in case["defaults"]:
        deprecated = before and policy.DeprecatedRule(before[0], before[1], deprecated_reason="x", deprecated_since="x")
        enforcer.register_default(policy.RuleDefault(name, check, deprecated_rule=deprecated, scope_types=scope_types or None))
    try:
        enforcer.load_rules()
    except Exception:
        return "unloadable", []
    said = {}
    for name in [*RULES, "missing"]:
        try:
            passed = enforcer.enforce(name, case["target"], copy.deepcopy(case["credentials"]))
            said[name] = "passed" if passed else "failed"
        except Exception:
            said[name] = "raised"
    return said, sorted(str(name) for name, check in enforcer.rules.items() if enforcer._cycle_check(check))


def main(count, seed):
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            case = Case(random.Random(f"{seed}-{number}")).make()
            said, cyclic = say(case, folder)
            json.dump({**case, "said": said, "cyclic": cyclic}, sys.stdout, ensure_ascii=True)
            sys.stdout.write("\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
