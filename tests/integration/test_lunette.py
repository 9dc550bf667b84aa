"""The program `lunette`: one word for all programs.

Goal: `lunette NAME` is `lunette-NAME` found beside itself, else in PATH; it lists the programs; a wrong word is told.
Method: the real program, copies of it in folders of their own, and small scripts in PATH.
"""

import os
import shutil
import signal
import subprocess

import pytest

import lunette

LUNETTE = lunette.BIN / "lunette"


@pytest.mark.parametrize("args", [(), ("help",), ("--help",)])
def test_it_lists_the_programs(args):
    lines = lunette.run(LUNETTE, *args).stdout.splitlines()
    for word in ("target", "initiator", "conformance", "bench"):
        line = [line for line in lines if line.split()[:1] == [word]]
        assert len(line) == 1 and len(line[0].split()) > 3 and "not installed" not in line[0], lines


def test_it_runs_its_neighbour_with_all_arguments(tmp_path):
    assert lunette.run(LUNETTE, "initiator", "--version").stdout == lunette.initiator("--version").stdout
    alone = lunette.run(lunette.BIN / "lunette-conformance", "check", tmp_path / "a file", check=False)
    through = lunette.run(LUNETTE, "conformance", "check", tmp_path / "a file", check=False)
    assert (through.returncode, through.stderr) == (alone.returncode, alone.stderr) and through.returncode == 2


def test_version():
    assert lunette.run(LUNETTE, "--version").stdout.split()[0] == "lunette"


@pytest.mark.parametrize("word", ["nonsense", "--nonsense", "../target", "target/", "", "Target"])
def test_an_unknown_word_is_told(word):
    done = lunette.run(LUNETTE, word, check=False)
    assert done.returncode == 2 and done.stdout == "" and f'"{word}"' in done.stderr and "help" in done.stderr


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def test_beside_itself_comes_before_path(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    script(there / "lunette-greet", 'echo there "$0" "$@"; exit 7\n')
    path = {"PATH": f"{tmp_path}/missing:{there}:{os.environ['PATH']}"}
    here.mkdir()
    shutil.copy(LUNETTE.resolve(), here / "lunette")
    found = lunette.run(here / "lunette", "greet", "a b", "", env=path, check=False)
    assert found.returncode == 7 and found.stdout.split() == ["there", str(there / "lunette-greet"), "a", "b"]
    script(here / "lunette-greet", "echo here\n")
    assert lunette.run(here / "lunette", "greet", env=path).stdout == "here\n"
    # A link to the program finds what is beside the program.
    (tmp_path / "link").symlink_to(here / "lunette")
    assert lunette.run(tmp_path / "link", "greet", env=path).stdout == "here\n"
    assert "(not installed)" in lunette.run(here / "lunette", env={"PATH": str(there)}).stdout


def test_signals_and_exit_codes_are_the_programs_own(tmp_path):
    script(tmp_path / "lunette-wait", "echo ready; exec sleep 60\n")
    shutil.copy(LUNETTE.resolve(), tmp_path / "lunette")
    running = subprocess.Popen([tmp_path / "lunette", "wait"], stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "ready\n"
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == -signal.SIGTERM
    running.stdout.close()
