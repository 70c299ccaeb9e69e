"""Python's socketserver: a thread a connection, a write a message."""

import resource
import socketserver
import time


class Readback(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        try:
            for line in self.rfile:
                self.wfile.write(b"[%b] %b\n" % (line.rstrip(b"\n"), time.ctime().encode()))
        except OSError:
            pass  # the client is gone


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 4096


most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
with Server(("127.0.0.1", 0), Readback) as server:
    print(f"listening on 127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
