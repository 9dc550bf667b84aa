"""The rows of the table: which load, which contenders, and what is wanted."""

import dataclasses
import functools

from servers import Ceiling, Istgt, Lunette, Tgt


@dataclasses.dataclass
class Load:
    """One load, for lunette-bench and for the ceiling's client alike."""

    len: int = 4096
    depth: int = 32
    sessions: int = 1
    write: bool = False
    digests: bool = False
    poll: str = "never"
    rate: int = 0

    def bench_args(self, server):
        args = ["--size", self.len, "--depth", self.depth, "--sessions", self.sessions, "--read", 0 if self.write else 100]
        if self.digests:
            args += ["--header-digest", "--data-digest"]
        if self.rate:
            args += ["--rate", self.rate]
        return args + ["--poll", "always" if server.spins or self.poll == "always" else self.poll]

    def ceiling_args(self):
        args = ["--len", self.len, "--depth", self.depth]
        return args + (["--write"] if self.write else []) + (["--rate", self.rate] if self.rate else [])


@dataclasses.dataclass
class Row:
    """`contenders` maps a name to a function of (folder, load); ratios are against `base`. A goal is the name of a
    figure, of whom, against whom, required and aimed."""

    name: str
    load: Load
    contenders: dict
    unit: str = "iops"
    base: str = "ceiling"
    required: float = 0.80
    aimed: float = 0.90
    judged: tuple = ("lunette",)
    cpu_required: float = None  # beside the rate: at most so much of the base's CPU per command
    cpu_aimed: float = None
    tgt_times: float = 0  # and at least so many times what tgt does
    less: dict = dataclasses.field(default_factory=dict)  # who has a smaller goal than `required`
    note: str = ""

    def entry(self):
        """What the result's file says of the row; table.judge reads it."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("load", "contenders", "judged")} | {
            "load": dataclasses.asdict(self.load), "judged": list(self.judged)}


def ceiling(**kw):
    return functools.partial(Ceiling, **kw)


def lunette(**kw):
    return functools.partial(Lunette, **kw)


MEMORY = {"ceiling": ceiling(), "lunette": lunette(), "tgt": Tgt, "istgt": Istgt}
ENGINES = {"ceiling": ceiling(), "ceiling-spin": ceiling(spin=True), "lunette": lunette(options=["--io", "uring"]),
           "lunette-epoll": lunette(options=["--io", "epoll"]), "lunette-null": lunette(store="null"), "tgt": Tgt, "istgt": Istgt}
TWO = {"ceiling": ceiling(), "lunette": lunette()}


def small_rows():
    for depth in (32, 128):
        for write in (False, True):
            yield Row(f"4k-{'write' if write else 'read'}-{depth}", Load(depth=depth, write=write),
                      ENGINES if depth == 32 else MEMORY, cpu_required=1.25, cpu_aimed=1.15, tgt_times=10)
    for write in (False, True):
        yield Row(f"4k-{'write' if write else 'read'}-8x16", Load(depth=16, sessions=8, write=write), MEMORY)


def single_rows(has_poll):
    yield Row("depth1-sleeping", Load(depth=1), MEMORY, required=0.95, aimed=0.95)
    adaptive = lunette(options=["--poll", "adaptive"]) if has_poll else lunette()
    yield Row("depth1-adaptive", Load(depth=1, poll="always"), {"ceiling-spin": ceiling(spin=True), "lunette": adaptive},
              base="ceiling-spin", aimed=0.80, note="" if has_poll else "the target has no --poll")


def large_rows():
    for size, name in ((64 << 10, "64k"), (1 << 20, "1m")):
        for write in (False, True):
            for depth in (8, 32):
                yield Row(f"{name}-{'write' if write else 'read'}-{depth}", Load(len=size, depth=depth, write=write), MEMORY,
                          unit="mb", required=0.95, aimed=0.95)


class WithDigests(Lunette):
    """The same target; its client asks for digests."""

    def measure(self, load, seconds, warmup):
        import dataclasses as d
        return super().measure(d.replace(load, digests=True), seconds, warmup)


def digest_rows():
    both = {"lunette-plain": lunette(), "lunette": WithDigests}
    for size, name, want in ((4096, "4k", 0.85), (64 << 10, "64k", 0.80)):
        for write in (False, True):
            yield Row(f"digest-{name}-{'write' if write else 'read'}-32", Load(len=size, write=write), both,
                      unit="mb", base="lunette-plain", required=want, aimed=want)


def file_rows(data):
    """Reads like a page cache that holds a file in large folios, ext4's writes like small ones: each is measured on both."""
    def files(store, piece=1 << 20):
        return {f"lunette-{store}": lunette(store=store, data=data, piece=piece, options=["--io", "uring"]),
                f"lunette-{store}-epoll": lunette(store=store, data=data, piece=piece, options=["--io", "epoll"])}

    small, large = 4096, 1 << 20
    for folios, piece, direct in (("", large, files("direct")), ("-small-folios", small, {})):
        yield Row(f"file-read-32{folios}", Load(), {"lunette-memory": lunette(), **files("file", piece), **direct},
                  base="lunette-memory", required=0.75, aimed=0.75, judged=("lunette-file", "lunette-file-epoll"),
                  less={"lunette-file-epoll": 0.60})
    for folios, piece, direct in (("", small, files("direct")), ("-large-folios", large, {})):
        yield Row(f"file-write-32{folios}", Load(write=True),
                  {"ceiling-pwrite": ceiling(file=data, piece=piece), **files("file", piece), **direct},
                  base="ceiling-pwrite", required=0.85, aimed=0.85, judged=("lunette-file", "lunette-file-epoll"))


def rows(has_poll, data):
    """All rows that are a plain load; the special ones are in special.py."""
    return [*small_rows(), *single_rows(has_poll), *large_rows(), *digest_rows(), *file_rows(data)]
