"""A provider with a form of its own (Anthropic) beside one that is passed through, same mock, same load: what it costs to
translate a request of 1 KiB and its answer of 400 bytes, an event of a stream, and to hold a translated stream open."""
import statistics
import time

from lib import cpu_time
from lib.parts import streams
from lib.peers.rota import api
from lib.processes import cpu_between, cpu_seconds, memory_mib
from lib.stage import Stage, say
from lib.table import Row, differences, median_of, table

ANSWER_TEXT_BYTES = 130  # of an answer of 400 bytes
STREAMS = 1000
SETTLE_SECONDS = 2  # until all are open, and from the measurement to their end
REQUEST_BAR_US = 25
EVENT_BAR_US = 4
STREAM_BAR_KIB = 64
# How much worse a short run on a noisy machine may be and still not fail.
SLACK = 2
PASSED, TRANSLATED = "passed through", "translated"


def engines(stage, mock):
    return {key: stage.engine("rota", mock, apis=[api(mock.url, provider=provider)])
            for key, provider in ((PASSED, "openai"), (TRANSLATED, "anthropic"))}


def stream_costs(stage, engine, seconds):
    """CPU time per event and memory per stream while all are open: what it takes to open them is not in it."""
    idle = memory_mib(engine.pid)
    child = stage.start_load(engine, "--streams", STREAMS, "--rate", STREAMS / streams.START_SECONDS, "--duration",
                             f"{seconds + 60}s", stream=True)
    time.sleep(SETTLE_SECONDS)
    before, start = cpu_seconds(engine.pid), time.monotonic()
    time.sleep(seconds)
    spent = cpu_between(before, cpu_seconds(engine.pid))[0]
    events = STREAMS * (time.monotonic() - start) / streams.EVENT_SECONDS
    kib = (memory_mib(engine.pid) - idle) * 1024 / STREAMS
    result = stage.finish_load(engine, child, strict=False)
    say(f"  {spent / events * 1e6:.1f} us/event, {kib:.1f} KiB/stream, {result['streams_finished']} finished")
    return {"us_per_event": spent / events * 1e6, "kib": kib, "streams": STREAMS, "finished": result["streams_finished"]}


def measure(options):
    say("a translated request")
    rounds = 3 if options.short else options.rounds
    with Stage(options, "one") as stage:
        both = engines(stage, stage.mock(answer_bytes=ANSWER_TEXT_BYTES))
        found = {"requests": cpu_time.per_request(stage, both, rounds, options.seconds, "translated")}
    say("translated streams")
    found["streams"] = {PASSED: [], TRANSLATED: []}
    seconds = 3 if options.short else 8
    chunks = int((seconds + 2 * SETTLE_SECONDS) / streams.EVENT_SECONDS)
    for _ in range(1 if options.short else 3):  # fresh processes: memory grows with the first round
        with Stage(options, "one") as stage:
            for key, engine in engines(stage, stage.mock(chunks=chunks)).items():
                found["streams"][key].append(stream_costs(stage, engine, seconds))
    return found


def beyond(values, key):
    """Median of what the translated ones have over those that are passed through."""
    return statistics.median(differences(values[PASSED], values[TRANSLATED], key))


def rows(found, _options):
    lost = streams.lost(found["streams"][TRANSLATED])
    made = []
    for what, values, key, bar, unit in (
            ("translated request of 1 KiB and answer of 400 B: CPU over pass-through", found["requests"], "us",
             REQUEST_BAR_US, "us"),
            ("... per event of a stream", found["streams"], "us_per_event", EVENT_BAR_US, "us"),
            (f"... memory of each of {STREAMS:,} open streams", found["streams"], "kib", STREAM_BAR_KIB, "KiB")):
        over = beyond(values, key)
        made.append(Row(f"{what} ({unit})", f"<= {bar}", {"rota": f"{over:.1f}" + (f", {lost} lost" if lost else "")},
                        met=over <= bar and not lost, failed=over > bar * SLACK or lost > 0))
    return made


def details(found):
    requests, events = found["requests"], found["streams"]
    return table(["", "us/request", "us/event", "KiB/stream", "streams finished"], [
        [key, f"{median_of(requests[key], 'us'):.1f}", f"{median_of(events[key], 'us_per_event'):.1f}",
         f"{median_of(events[key], 'kib'):.1f}", sum(value["finished"] for value in events[key])]
        for key in (PASSED, TRANSLATED)])
