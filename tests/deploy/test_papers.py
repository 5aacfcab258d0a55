"""Manual pages and shell completions, which the binary makes of its own arguments."""
import re

import pytest
from conftest import GATE, run


def test_the_manual_pages_are_good_to_mandoc(tmp_path):
    run(GATE, "man", tmp_path)
    pages = sorted(tmp_path.glob("*.1"))
    assert len(pages) > 10
    for page in pages:
        # warnings are of the generator's own: no date, and a blank line too many
        run("mandoc", "-T", "lint", "-W", "error", page)
        # bold is written as a letter over itself
        shown = re.sub(".\b", "", run("mandoc", "-T", "utf8", "-O", "width=100", page).stdout)
        assert page.stem in shown and "SYNOPSIS" in shown


@pytest.mark.parametrize("words, expected", [
    (["ser"], "serve"), (["kill-switch", "o"], "off"), (["check", "--con"], "--config"), (["completions", "z"], "zsh"),
])
def test_bash_completes_commands_options_and_values(tmp_path, words, expected):
    (tmp_path / "completions").write_text(run(GATE, "completions", "bash").stdout)
    line = " ".join(["glance-gate", *words])
    script = f"""
source {tmp_path / 'completions'}
COMP_WORDS=({line}) COMP_CWORD={len(words)} COMP_LINE={line!r} COMP_POINT={len(line)}
$(complete -p glance-gate | sed -E "s|.*-F (\\S+) .*|\\1|") glance-gate {words[-1]} {(['glance-gate'] + words)[-2]}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    assert expected in run("bash", "--norc", "-c", script).stdout.split()
