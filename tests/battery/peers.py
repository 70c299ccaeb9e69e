"""
Peers of a server that Deno would make a poor job of: crowds, floods and rude ones.

    peers.py WHAT PORT [NUMBER...]

Each prints what it saw as one JSON line at its end. `in-turn` runs those that standard input names.
"""

import json
import os
import select
import selectors
import signal
import socket
import struct
import sys
import time

STAMP = len("] Mon Dec  9 18:15:50 2019\n")


def dial(port, number=0):
    """A connection. Many come from several addresses: one has but 28,000 ports."""
    s = socket.socket()
    s.bind((f"127.0.0.{2 + number % 8}", 0))
    s.connect(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def reset(s):
    """Closes with RST, not FIN."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def reply_to(message):
    return 1 + len(message.rstrip(b"\n")) + STAMP


def receive(s, count):
    """So many bytes, or fewer at the end."""
    got = b""
    while len(got) < count:
        some = s.recv(count - len(got))
        if not some:
            break
        got += some
    return got


def tell(**what):
    print(json.dumps(what), flush=True)


def order():
    """Waits for a line on standard input."""
    return sys.stdin.readline()


def resets(port, times):
    """Connects and resets at once, again and again."""
    for number in range(times):
        reset(dial(port, number))
    tell(resets=times)


def vanish(port):
    """Says a line, gets its reply, and is gone without a FIN or RST. Wants root."""
    s = dial(port)
    s.sendall(b"boo\n")
    receive(s, reply_to(b"boo\n"))
    s.setsockopt(socket.IPPROTO_TCP, 19, 1)  # TCP_REPAIR: close() sends nothing
    s.close()
    tell(vanished=1)


def drops(port, size):
    """One message of so many bytes, each in a segment of its own."""
    s = dial(port)
    start = time.monotonic()
    for _ in range(size):
        s.send(b"x")
    s.sendall(b"\n")
    got = receive(s, reply_to(b"x" * size))
    tell(bytes=len(got), right=got.startswith(b"[" + b"x" * size + b"] "), seconds=time.monotonic() - start)


def state_of(pid, task):
    """What a thread does, as a letter: T is stopped."""
    with open(f"/proc/{pid}/task/{task}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def urgent(port, pid):
    """Urgent data in the middle of a message, all there when the server looks; says what comes of it."""
    s = dial(port)
    s.sendall(b"before\n")
    receive(s, reply_to(b"before\n"))
    os.kill(pid, signal.SIGSTOP)
    while any(state_of(pid, task) not in "Tt" for task in os.listdir(f"/proc/{pid}/task")):
        time.sleep(0.001)  # each thread stops by itself
    s.send(b"he")
    s.send(b"X", socket.MSG_OOB)
    s.send(b"llo\n")
    os.kill(pid, signal.SIGCONT)
    stalled = not select.select([s], [], [], 0.5)[0]
    s.sendall(b"after\n")
    got = receive(s, reply_to(b"hello") + reply_to(b"after"))
    tell(stalled=stalled, right=got.startswith(b"[hello] ") and b"\n[after] " in got)


def long_line(port, megabytes):
    """A line that is far too long; counts what comes back."""
    s = dial(port)
    piece = b"x" * (1 << 20)
    sent = 0
    try:
        for sent in range(1, megabytes + 1):
            s.sendall(piece)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the server has closed: what it said is here to be read
    tell(megabytes=sent, refused=receive(s, 1 << 20) == b"error: message longer than 65536 bytes\n")


def flood(port, size, seconds, byte):
    """Sends lines of so many such bytes and reads replies, both as fast as can be."""
    import threading  # here, as most peers do without

    s = dial(port)
    piece = (bytes([byte]) * (size - 1) + b"\n") * max(1, 65536 // size)
    sent = [0]

    def send():
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            s.sendall(piece)
            sent[0] += len(piece) // size
        s.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    got = 0
    while some := s.recv(1 << 20):
        got += len(some)
    sender.join()
    tell(messages=sent[0], replies=got / reply_to(piece[:size]), seconds=seconds)


def probe(port):
    """One of the others: a line and its reply, some hundred times a second, until standard input has a line."""
    s = dial(port)
    trips = []
    say = lambda: (s.sendall(b"others\n"), receive(s, reply_to(b"others\n")))
    say()
    tell(ready=1)
    while not select.select([sys.stdin], [], [], 0.003)[0]:
        start = time.monotonic()
        say()
        trips.append(time.monotonic() - start)
    tell(trips=len(trips), **percentiles(trips))


def percentiles(seconds):
    """In milliseconds."""
    ranked = sorted(seconds) or [0]
    at = lambda part: 1000 * ranked[min(len(ranked) - 1, int(part * len(ranked)))]
    return dict(p50=at(0.5), p99=at(0.99), p999=at(0.999), max=at(1))


def reconnects(port, times):
    """Connects, says a line, reads its reply and closes, again and again."""
    right = 0
    start = time.monotonic()
    for number in range(times):
        s = dial(port, number)
        s.sendall(b"hello\n")
        right += receive(s, reply_to(b"hello\n")).startswith(b"[hello] ")
        s.close()
    tell(times=times, right=right, seconds=time.monotonic() - start)


def crowd(port, size):
    """So many connections at rest; at a line on standard input each says one, and at the next all leave."""
    all_of_them = [dial(port, number) for number in range(size)]
    tell(connected=size)
    order()
    start = time.monotonic()
    for number, s in enumerate(all_of_them):
        s.sendall(b"%05d\n" % number)
    right = 0
    for number, s in enumerate(all_of_them):
        s.settimeout(20)
        right += receive(s, reply_to(b"12345\n")).startswith(b"[%05d] " % number)
    tell(right=right, seconds=time.monotonic() - start)
    order()


def busy(port, size, seconds):
    """So many connections, each with one message in flight at any time, once each was answered: accepted."""
    message, length = b"ping\n", reply_to(b"ping\n")
    watched = selectors.DefaultSelector()
    for number in range(size):
        s = dial(port, number)
        s.send(message)
        watched.register(s, selectors.EVENT_READ, [number, 0, 0.0])  # who, bytes so far, since
    for key in watched.get_map().values():
        receive(key.fileobj, length)
        key.fileobj.setblocking(False)
    start = time.monotonic()
    for key in list(watched.get_map().values()):
        key.data[2] = time.monotonic()
        key.fileobj.send(message)
    trips, replies = [], [0] * size
    while (now := time.monotonic()) < start + seconds:
        for key, _ in watched.select(0.1):
            state = key.data
            state[1] += len(key.fileobj.recv(length - state[1]))
            if state[1] < length:
                continue
            now = time.monotonic()
            trips.append(now - state[2])
            replies[state[0]] += 1
            state[1], state[2] = 0, now
            key.fileobj.send(message)
    # A reply that never came took at least so long.
    trips += [now - key.data[2] for key in watched.get_map().values() if now - key.data[2] > 1]
    tell(
        rate=sum(replies) / seconds, unanswered=replies.count(0), fewest=min(replies), most=max(replies),
        **percentiles(trips),
    )


def drip(port, size, seconds):
    """So many connections that send a byte a second each and never finish; tells when they were cut."""
    watched = selectors.DefaultSelector()
    start = time.monotonic()
    for number in range(size):
        s = dial(port, number)
        s.setblocking(False)
        watched.register(s, selectors.EVENT_READ, time.monotonic())
    cuts, said = [], 0.0
    while watched.get_map() and time.monotonic() < start + seconds:
        if time.monotonic() >= said + 1:
            said = time.monotonic()
            for key in list(watched.get_map().values()):
                try:
                    key.fileobj.send(b"x")
                except OSError:
                    pass  # it was cut: the reading side tells
        for key, _ in watched.select(0.05):
            try:
                if key.fileobj.recv(4096):
                    continue
            except OSError:
                pass
            cuts.append(time.monotonic() - key.data)
            watched.unregister(key.fileobj)
            key.fileobj.close()
    tell(cut=len(cuts), first=min(cuts, default=0), last=max(cuts, default=0))


def tls(port, size):
    """So many that speak TLS, say lines and never read, and as many that never finish the handshake."""
    import ssl  # here, as most peers do without

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    held = []
    for number in range(size):
        held.append(dial(port, number))
        held[-1].sendall(b"\x16\x03\x01")
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", port))
        secure = context.wrap_socket(s)
        secure.settimeout(0.05)
        held.append(secure)
        try:
            while True:
                secure.sendall(b"x" * 15999 + b"\n")
        except OSError:
            pass  # nobody takes it any more: the server is stuck, or has cut it
    tell(held=len(held))
    order()


WHAT = dict(
    resets=resets, vanish=vanish, drops=drops, long=long_line, flood=flood,
    reconnects=reconnects, crowd=crowd, busy=busy, drip=drip, probe=probe, tls=tls,
    urgent=urgent,
)


def run(what, *numbers):
    WHAT[what](*(float(number) if "." in number else int(number) for number in numbers))


if __name__ == "__main__":
    if sys.argv[1] != "in-turn":
        run(*sys.argv[1:])
    else:
        while line := order():
            run(*line.split())
