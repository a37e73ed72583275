"""Figures -> one table (Markdown), and the bars that they are held to."""
import json
import random
import statistics

# CPU per request in one layout, against nginx. The first bar; the goal is 1.0.
CPU_RATIO_BAR = 1.5
IDLE_RSS_MIB_BAR = 20


def upper_bound(ratios):
    """95 % upper bound of the median ratio: bootstrap over the rounds, repeatable."""
    generator = random.Random(20260101)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(4000))
    return medians[int(0.95 * len(medians))]


def ratios_to(base, values):
    return [value["us"] / reference["us"] for value, reference in zip(values, base)]


def median_of(values, key):
    return statistics.median(value[key] for value in values)


def render_cpu(results, lines, missed):
    lines += ["", f"## CPU per request, {results['body_bytes']} byte body, {results['rounds']} rounds of "
              f"{results['seconds']:g} s", "",
              "| layout | engine | us/request | user / system | requests/s | p50 / p99 us | against nginx | 95 % bound |",
              "|---|---|---|---|---|---|---|---|"]
    for layout, engines in results["cpu"].items():
        for name, values in engines.items():
            us, user = median_of(values, "us"), median_of(values, "user_us")
            ratio = bound = None
            if "nginx" in engines and name != "nginx":
                ratios = ratios_to(engines["nginx"], values)
                ratio, bound = statistics.median(ratios), upper_bound(ratios)
            lines.append(f"| {layout} | {name} | {us:.1f} | {user:.1f} / {us - user:.1f} | "
                         f"{median_of(values, 'per_second'):.0f} | {median_of(values, 'p50_us'):.0f} / "
                         f"{median_of(values, 'p99_us'):.0f} | "
                         + (f"{ratio:.2f} | {bound:.2f} |" if ratio else "1.00 | |"))
            if name == "rota" and layout == "one" and ratio and ratio > CPU_RATIO_BAR:
                missed.append(f"CPU per request is {ratio:.2f} times nginx's in layout one (bar {CPU_RATIO_BAR})")


def render_memory(results, lines, missed):
    lines += ["", "## Idle memory, MiB", "", "| engine | resident | anonymous |", "|---|---|---|"]
    for name, value in results["memory"].items():
        lines.append(f"| {name} | {value['rss']:.1f} | {value['anonymous']:.1f} |")
        if name == "rota" and value["rss"] > IDLE_RSS_MIB_BAR:
            missed.append(f"{value['rss']:.1f} MiB resident when idle (bar {IDLE_RSS_MIB_BAR})")


def render_latency(results, lines):
    lines += ["", "## Latency at 500 requests a second, us", "", "| engine | p50 | p99 | added p50 | added p99 |",
              "|---|---|---|---|---|"]
    direct = results["latency"]["direct"]
    for name, value in results["latency"].items():
        added = ["", ""] if name == "direct" else [f"{value[key] - direct[key]:+.0f}" for key in ("p50", "p99")]
        lines.append(f"| {name} | {value['p50']:.0f} | {value['p99']:.0f} | {added[0]} | {added[1]} |")


def render_streams(results, lines, missed):
    lines += ["", f"## SSE streams at once, an event every 100 ms (layout {results['streams_layout']})", "",
              "| engine | finished | delay p50 / p99 / max us | us/event | peak RSS MiB |", "|---|---|---|---|---|"]
    for name, value in results["streams"].items():
        delay = value["delay_us"]
        own = f"{value['us_per_event']:.1f} | {value['peak_rss']:.1f}" if name != "direct" else " | "
        lines.append(f"| {name} | {value['finished']} of {value['streams']} | {delay['p50']:.0f} / {delay['p99']:.0f} / "
                     f"{delay['max']:.0f} | {own} |")
        if name == "rota" and value["finished"] != value["streams"]:
            missed.append(f"{value['streams'] - value['finished']} of {value['streams']} streams were lost: "
                          f"{value['errors']}")


def render(results, options):
    """The text and the bars that were missed."""
    lines = ["# Rota beside nginx and haproxy" + (" (short form)" if options.short else ""), "",
             "nginx and haproxy pass through; Rota routes, rotates, rewrites `model`, injects a credential, counts and",
             "logs (1 % of the successes). Medians of interleaved rounds; how: `bench/run --help`."]
    missed = []
    if results["cpu"]:
        render_cpu(results, lines, missed)
    if "memory" in results:
        render_memory(results, lines, missed)
    if "latency" in results:
        render_latency(results, lines)
    if "streams" in results:
        render_streams(results, lines, missed)
    return "\n".join(lines) + "\n", missed


def write_json(results, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n")
