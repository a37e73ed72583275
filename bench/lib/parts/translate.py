"""A provider with a form of its own (Anthropic) beside one that is passed through, same mock, same load: what it costs to
translate a request of 1 KiB and its answer of 400 bytes, an event of a stream, and to hold a translated stream open."""
import statistics

from lib import cpu_time
from lib.parts import streams
from lib.peers.rota import api
from lib.stage import Stage, say
from lib.table import Row, median_of, paired, table

ANSWER_TEXT_BYTES = 130  # of an answer of 400 bytes
STREAMS = 1000
REQUEST_BAR_US = 25
EVENT_BAR_US = 4
STREAM_BAR_KIB = 64
# How much worse a short run on a noisy machine may be and still not fail.
SLACK = 2
PASSED, TRANSLATED = "passed through", "translated"


def engines(stage, mock):
    return {key: stage.engine("rota", mock, apis=[api(mock.url, provider=provider)])
            for key, provider in ((PASSED, "openai"), (TRANSLATED, "anthropic"))}


def measure(options):
    say("a translated request")
    rounds = 3 if options.short else options.rounds
    with Stage(options, "one") as stage:
        both = engines(stage, stage.mock(answer_bytes=ANSWER_TEXT_BYTES))
        found = {"requests": cpu_time.per_request(stage, both, rounds, options.seconds, "translated")}
    say("translated streams")
    found["streams"] = {PASSED: [], TRANSLATED: []}
    for _ in range(1 if options.short else 3):  # fresh processes: memory grows with the first round
        with Stage(options, "one") as stage:
            for key, engine in engines(stage, stage.mock(chunks=50 if options.short else 100)).items():
                found["streams"][key].append(streams.run(stage, engine, STREAMS, 50 if options.short else 100))
    return found


def beyond(values, key):
    """Median of what the translated ones have over those that are passed through."""
    return statistics.median(paired(values[PASSED], values[TRANSLATED], key, lambda ours, theirs: ours - theirs))


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
