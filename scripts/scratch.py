"""What scripts/mutants and scripts/proofs share: C source with the text taken out, and copies of the tree to break."""
import atexit
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
FOLDERS = ("common", "target", "initiator", "conformance", "bench", "tests", "scripts", "docs", "Makefile")
MEMORY = 8 << 30  # bytes of address space of a test program: a broken loop may allocate without end


def mask(text):
    """The text, as long as before, with comments, strings, characters and preprocessor lines as blanks."""
    def blank(found):
        return re.sub(r"[^\n]", " ", found.group(0))
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|(?m:^[ \t]*#(?:\\\n|[^\n])*)'
    return re.sub(pattern, blank, text, flags=re.S)


def close_of(code, at):
    """Where the bracket at `at` of masked code closes; -1: nowhere."""
    pairs = {"(": ")", "{": "}", "[": "]"}
    depth, opens, closes = 0, code[at], pairs[code[at]]
    for i in range(at, len(code)):
        depth += (code[i] == opens) - (code[i] == closes)
        if depth == 0:
            return i
    return -1


class Scratch:
    """A copy of the tree, built by its own Makefile. Not thread safe: one for each worker."""

    def __init__(self, name, like=None):
        """`like`: another one, whose build is taken over."""
        self.root = tempfile.mkdtemp(prefix=f"lunette-{name}-")
        for folder in FOLDERS:
            source = os.path.join(ROOT, folder)
            if os.path.isdir(source):
                shutil.copytree(source, os.path.join(self.root, folder),
                                ignore=shutil.ignore_patterns("__pycache__"))
            elif os.path.exists(source):
                shutil.copy2(source, self.root)
        self.build = "build/release"
        # What the tree's own build has made already is not made again: make compares times, and cp keeps them.
        made = os.path.join(like.root if like else ROOT, self.build)
        if os.path.isdir(made):
            os.makedirs(self.path("build"), exist_ok=True)
            subprocess.run(["cp", "-a", made, self.path("build")], check=True)
        self.child = None
        atexit.register(self.drop)

    def drop(self):
        """Ends what still runs in it and removes it; also when the program is told to stop."""
        if self.child and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
        shutil.rmtree(self.root, ignore_errors=True)

    def path(self, relative):
        return os.path.join(self.root, relative)

    def read(self, relative):
        with open(self.path(relative), encoding="utf-8") as source:
            return source.read()

    def write(self, relative, text):
        """Newer than every object: make looks at times."""
        with open(self.path(relative), "w", encoding="utf-8") as out:
            out.write(text)

    def object_of(self, source):
        return self.path(f"{self.build}/obj/{source[:-2]}.o")

    def keep(self, source):
        """The object of a source that is about to be broken."""
        shutil.copyfile(self.object_of(source), self.object_of(source) + ".kept")

    def restore(self, source, text):
        """Source and object as they were, without compiling: newer than everything that was made from broken ones."""
        self.write(source, text)
        shutil.copyfile(self.object_of(source) + ".kept", self.object_of(source))

    def make(self, *arguments, seconds=900, debug=False):
        """True when it was made. Warnings are no errors: a change may leave something unused."""
        environment = {key: value for key, value in os.environ.items()
                       if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VARIANT", "B", "T", "SEED", "SEEDS", "N", "SAMPLE")}
        environment["CFLAGS"] = "-w"
        if not debug:
            environment["LDFLAGS"] = "-s"  # half of the time of a link is debug information
        run = self.run(["make", "-s", *arguments], seconds, environment)
        self.log = run[1]
        return run[0] == 0

    def run(self, command, seconds, environment=None):
        """(exit status, output). A program that takes too long is ended with all that it started: status -1."""
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with subprocess.Popen(command, cwd=self.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=limit) as child:
            self.child = child
            try:
                output, _ = child.communicate(timeout=seconds)
                return child.returncode, output.decode("utf-8", "replace")
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                output, _ = child.communicate()
                return -1, output.decode("utf-8", "replace")

    def timed(self, command, seconds, environment=None):
        start = time.monotonic()
        status, output = self.run(command, seconds, environment)
        return status, output, time.monotonic() - start


def test_programs(root=ROOT):
    folder = os.path.join(root, "tests/unit")
    return sorted(name[:-2] for name in os.listdir(folder) if name.startswith("test_") and name.endswith(".c"))
