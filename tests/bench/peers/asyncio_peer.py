"""Python's asyncio (with --uvloop: on uvloop's event loop): a Protocol, the fast way of both.

All lines of a read are answered by one write; a client that does not take its replies is not read from.
"""

import asyncio
import resource
import sys
import time


class Readback(asyncio.Protocol):
    __slots__ = ("held", "transport")

    def connection_made(self, transport):
        self.transport = transport
        self.held = b""

    def data_received(self, data):
        *lines, self.held = (self.held + data).split(b"\n")
        if lines:
            stamp = time.ctime().encode()
            self.transport.write(b"".join([b"[%b] %b\n" % (line, stamp) for line in lines]))

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Readback, "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await server.serve_forever()


most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
if "--uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
