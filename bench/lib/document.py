"""Everything that was found -> docs/performance.md: the table, the method, the details, the commands."""
from lib import machine, peers
from lib.parts import PARTS
from lib.table import table

METHOD = """\
CPU time is user and system time of the proxy's whole process tree from `/proc`, divided by the requests; on loopback it
includes the kernel's network work on both ends of what the proxy sends. All proxies stand in front of one mock provider
and under one load generator, both written in C++ (`tests/support/mock_llm`, `bench/load`). They take turns within each
round; a figure is the median over the rounds, a ratio is taken within a round, and its 95 % upper bound is a bootstrap
over them. Latency is measured open loop, from when a request was due, so that a stall is charged for what waited behind
it. Bodies have 1 KiB and answers about 1 KiB where nothing else is said; connections are 64, kept alive.

Layouts: **one** = load, mock and proxy share one core (no wake-ups across cores: the most repeatable); **split** = the
proxy alone on a core (Rota's controller is with the load); **two** = two workers, everything on two cores. CPU time, latency,
memory and the delay of streams are held to their bars in layout one, 5,000 streams in split, the rate of changes in two.
"""


def verdict(row):
    return {True: "yes", False: "**no**", None: ""}[row.met]


def one_table(rows, engines):
    shown = [name for name in engines if any(name in row.cells for row in rows)]
    head = ["what", "bar", *(peers.title(name) for name in shown), "met?"]
    return table(head, [[row.what, row.bar, *(row.cells.get(name, "") for name in shown), verdict(row)]
                        for row in rows])


def jobs(engines):
    return [f"* {peers.title(name)}: {peers.CLASSES[name].job}" for name in engines]


def commands():
    return ["```", "scripts/install-deps test && scripts/build release",
            "bench/setup-peers                               # Envoy, LiteLLM, Portkey, where a registry is reached",
            "bench/run --output docs/performance.md          # everything; 35 minutes, the machine otherwise idle",
            "bench/run --only cpu --only tls                 # single parts; bench/run --help lists them",
            "bench/run --short                               # as in CI: some four minutes", "```"]


def render(results, rows, options, load_before):
    """The document. `results`: {part: what it found}; `rows`: of all parts."""
    lines = ["# Performance" + (" (short run: an instrument check, not figures)" if options.short else ""), "",
             "Written by `bench/run`; the figures are what that run has printed.", "",
             *machine.describe(load_before), "", f"Versions: {machine.versions(options.engines)}.",
             f"Command: `{options.command}`.", "", "## Every bar", "", *one_table(rows, options.engines), ""]
    lines += ["What each one does with a request:", "", *jobs(options.engines), ""]
    if options.missing:
        lines += ["Not measured: " + "; ".join(f"{peers.title(name)} (not installed: `{how}`)"
                                               for name, how in options.missing.items()) + ".", ""]
    lines += ["## Method", "", METHOD, "## Again", "", *commands(), "", "## Details"]
    for name, found in results.items():
        part = PARTS[name]
        lines += ["", f"### {name}", "", part.__doc__.strip(), "", *part.details(found)]
    return "\n".join(lines).rstrip() + "\n"
