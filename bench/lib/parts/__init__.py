"""The parts of bench/run: each measures one thing (measure), says what it has seen in rows of the one table (rows) and
in full (details). Every figure of one row comes from one run, the proxies taking turns within each round."""
from lib.parts import (body, change_one, change_rate, cpu, latency, memory, overload, pick, scale, streams, tls,
                       translate, weights)

# In the order of the table.
PARTS = {"cpu": cpu, "body": body, "latency": latency, "tls": tls, "streams": streams, "memory": memory,
         "overload": overload, "change-one": change_one, "change-rate": change_rate, "scale": scale,
         "translate": translate, "weights": weights, "pick": pick}
# Those that measure nothing without Rota.
ROTA_ONLY = {"overload", "change-one", "change-rate", "scale", "translate", "pick"}
