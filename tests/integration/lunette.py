"""Running Lunette's programs and its peers from tests."""

import os
import pathlib
import re
import select
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("LUNETTE_BIN", ROOT / "build/bin")).resolve()
IQN = "iqn.2026-01.org.lunette:test"
SANITIZERS = re.compile(r"ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed")
# Slow builds (sanitizers) need longer for the same work.
SLOW = 4 if any(word in str(BIN) for word in ("asan", "tsan")) else 1


def environment():
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:exitcode=99")
    env.setdefault("TSAN_OPTIONS", "halt_on_error=0:exitcode=99:second_deadlock_stack=1")
    env.setdefault("LUNETTE_INITIATOR_NAME", "iqn.2026-01.org.lunette:tests")
    return env


def run(*args, timeout=120, check=True, stdin=None, text=True, env=None):
    """Runs one command to its end; with check, a failure shows what it printed."""
    full = environment()
    full.update(env or {})
    done = subprocess.run([str(a) for a in args], capture_output=True, text=text, timeout=timeout * SLOW, input=stdin,
                          errors="replace" if text else None, env=full)
    if check:
        assert done.returncode == 0, (
            f"{' '.join(str(a) for a in args)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def initiator(*args, **kw):
    return run(BIN / "lunette-initiator", *args, **kw)


def target(*args, **kw):
    return run(BIN / "lunette-target", *args, **kw)


class Program:
    """A background process with its output in files; finish() stops it and says what was wrong with its end."""

    stop_signal = signal.SIGTERM

    def __init__(self, folder, name, args, env=None):
        self.args = [str(a) for a in args]
        n = len(list(folder.glob(name + "-*.err")))
        self.out_path = folder / f"{name}-{n}.out"
        self.err_path = folder / f"{name}-{n}.err"
        self.expect_exit = 0
        full = environment()
        full.update(env or {})
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.process = subprocess.Popen(self.args, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=full)

    def stdout(self):
        return self.out_path.read_text(errors="replace")

    def stderr(self):
        return self.err_path.read_text(errors="replace")

    def wait_for(self, pattern, timeout=20):
        """The first match in standard output."""
        limit = time.monotonic() + timeout * SLOW
        while time.monotonic() < limit:
            found = re.search(pattern, self.stdout())
            if found:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"{self.args}: no {pattern!r} in output:\n{self.stdout()}\n{self.stderr()}")

    def stop(self, timeout=20):
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return [f"{self.args} did not stop within {timeout} s:\n{self.stderr()[-4000:]}"]
        return []

    def finish(self):
        already = self.process.poll()
        problems = []
        if already is not None and self.expect_exit is not None and already != self.expect_exit:
            problems.append(f"{self.args} ended early with {already}:\n{self.stderr()[-4000:]}")
        problems += self.stop()
        code = self.process.returncode
        if not problems and self.expect_exit is not None and code != self.expect_exit:
            problems.append(f"{self.args}: exit {code}, expected {self.expect_exit}\n{self.stderr()[-4000:]}")
        if SANITIZERS.search(self.stderr()):
            problems.append(f"{self.args}: sanitizer report\n{self.stderr()[-8000:]}")
        return problems


def service_options(given=()):
    """What the environment asks for, unless the test itself says otherwise."""
    options = []
    for option, variable in (("--io", "LUNETTE_IO"), ("--reactors", "LUNETTE_REACTORS")):
        if os.environ.get(variable) and option not in given:
            options += [option, os.environ[variable]]
    return options


class Target(Program):
    """lunette-target serve without a state directory."""

    def __init__(self, folder, luns, iqn, options, portals, env=None):
        self.iqn = iqn
        self.count = len(portals)
        args = [BIN / "lunette-target", "serve", "--target", iqn]
        for lun in luns:
            args += ["--lun", lun]
        for portal in portals:
            args += ["--portal", portal]
        given = [str(o) for o in options]
        super().__init__(folder, "target", args + service_options(given) + given, env)

    def wait_listening(self):
        self.wait_for(r"(?:listening on \S+\n){%d}" % self.count)
        self.portals = re.findall(r"listening on (\S+)", self.stdout())
        self.portal = self.portals[0]

    def url(self, lun=0, user="", portal=None):
        at = f"{user}@" if user else ""
        tail = "" if lun is None else f"/{lun}"
        return f"iscsi://{at}{portal or self.portal}/{self.iqn}{tail}"

    @property
    def port(self):
        return int(self.portal.rsplit(":", 1)[1])


class Service(Target):
    """lunette-target serve on a state directory."""

    def __init__(self, folder, state, options, env=None, iqn=IQN, count=1):
        self.iqn = iqn
        self.count = count
        args = [BIN / "lunette-target", "serve", "--state", state, *service_options(), *options]
        Program.__init__(self, folder, "service", args, env)


def make_usr_image(image, tree, size_mib=1024):
    """An ext4 file system of size_mib filled to about 80 % with copies of files of /usr."""
    tree.mkdir()
    budget = size_mib * 1024 * 1024 * 80 // 100
    used = 0
    for folder, dirs, files in os.walk("/usr"):
        dirs.sort()
        for name in sorted(files):
            path = pathlib.Path(folder, name)
            if path.is_symlink() or not path.is_file() or not os.access(path, os.R_OK):
                continue
            length = path.stat().st_size + 4096
            if used + length > budget:
                continue
            copy = tree / path.relative_to("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, copy)
            except OSError:
                copy.write_bytes(path.read_bytes())
            used += length
        if used > budget - 65536:
            break
    part = image.with_suffix(".part")
    subprocess.run(["truncate", "-s", f"{size_mib}M", part], check=True)
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/sbin:/usr/sbin")
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, part], check=True, env=env)
    part.rename(image)


def fsck(path):
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/sbin:/usr/sbin")
    done = subprocess.run(["e2fsck", "-f", "-n", str(path)], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def same_bytes(a, b):
    """True when both files have the same length and content."""
    return subprocess.run(["cmp", str(a), str(b)], capture_output=True, timeout=300).returncode == 0
